/** Kinds of operands whose products tell what taking them apart costs: by row and k, what the numbers drawn are multiplied by. */

export type Weight = (row: number, k: number) => number;

export interface OperandKind {
  readonly weight: Weight;
  /** Drawn from [0, 1), so that nothing cancels; else from a normal distribution. */
  readonly isPositive?: boolean;
}

export const one: Weight = () => 1;

/** By size: f16 ends at 6e-8 and at 65504, and a block of 16 rows has one scale. */
export const operandKinds: Readonly<Record<string, OperandKind>> = {
  'of one size': { weight: one },
  positive: { weight: one, isPositive: true },
  tiny: { weight: () => 1e-9 },
  huge: { weight: () => 1e15 },
  'rows of 10^-4 to 10^4': { weight: (row) => 10 ** ((row % 9) - 4) },
};
