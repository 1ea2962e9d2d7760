/**
 * The single matrices of the golden cases: for each, the library file, its sizes from the shapes of the cores, and which core is
 * which param. Written from the `definition` of each; a case's `program` and `dense` are never read.
 */
import { UserError } from '../../compiler/command-line/errors.ts';
import type { SizeValue } from '../options/mixers.ts';

export type CoreShapes = Readonly<Record<string, readonly number[]>>;

export interface MatrixStructure {
  /** Library file, by bare name. */
  readonly file: string;
  readonly sizes: (cores: CoreShapes) => Readonly<Record<string, SizeValue>>;
  /** The param that a core is. */
  readonly param: (core: string) => string;
}

/** `L0`, `L1`, … in order. */
function levels(cores: CoreShapes, letter: string): readonly (readonly number[])[] {
  const found: (readonly number[])[] = [];
  while (cores[`${letter}${found.length}`] !== undefined) found.push(cores[`${letter}${found.length}`]);
  return found;
}

const sameName = (core: string): string => core;

/** `L2` is `U.2` for the names { L: 'U' }. */
function levelNames(names: Readonly<Record<string, string>>): (core: string) => string {
  return (core) => `${names[core[0]]}.${core.slice(1)}`;
}

export const matrixStructures: Readonly<Record<string, MatrixStructure>> = {
  dense: {
    file: 'dense',
    sizes: ({ W: [rows, columns] }) => ({ I: columns, O: rows }),
    param: sameName,
  },
  low_rank: {
    file: 'low_rank',
    sizes: ({ L: [rows, rank], R: [columns] }) => ({ D: columns, rows, rank }),
    param: sameName,
  },
  kronecker: {
    file: 'kronecker',
    sizes: ({ A: [a, c], B: [b, d] }) => ({ a, b, c, d }),
    param: (core) => ({ A: 'P', B: 'Q' })[core] ?? core,
  },
  block_diagonal: {
    file: 'block_diagonal',
    sizes: ({ D: [blocks, height, width] }) => ({ blocks, height, width }),
    param: () => 'W',
  },
  monarch: {
    file: 'monarch',
    sizes: ({ L: [outer, height], R: [blocks, , width] }) => ({ D: blocks * width, blocks, width, outer, height }),
    param: sameName,
  },
  btt: {
    file: 'btt',
    sizes: ({ L: [b, a, c, s], R: [, d] }) => ({ D: c * d, rows: a * b, a, b, c, d, s }),
    param: sameName,
  },
  tensor_train: {
    file: 'tensor_train',
    sizes: ({ G1, G2, G3 }) => ({
      rows: [G1[0], G2[1], G3[1]],
      columns: [G1[1], G2[2], G3[2]],
      ranks: [G1[2], G2[3]],
    }),
    param: sameName,
  },
  mlr: {
    file: 'mlr',
    sizes: (cores) => ({
      D: cores.R0[0] * cores.R0[1],
      rows: cores.L0[0] * cores.L0[1],
      ranks: levels(cores, 'L').map(([, , rank]) => rank),
    }),
    param: levelNames({ L: 'U', R: 'V' }),
  },
  mlbtc: {
    file: 'mlbtc',
    sizes: (cores) => {
      const left = levels(cores, 'L');
      return {
        D: cores.R0[0] * cores.R0[1] * cores.R0[2],
        rows: cores.L0[0] * cores.L0[1] * cores.L0[2],
        outer: left.map(([outer]) => outer),
        inner_rows: left.map(([, inner]) => inner),
        inner: left.map(([, , , inner]) => inner),
        ranks: left.map((core) => core[4]),
      };
    },
    param: levelNames({ L: 'L', R: 'R' }),
  },
  butterfly: {
    file: 'butterfly',
    sizes: (cores) => ({ depth: levels(cores, 'B').length }),
    param: levelNames({ B: 'F' }),
  },
};

export function matrixStructure(name: string): MatrixStructure {
  const found = matrixStructures[name];
  if (found === undefined) {
    throw new UserError(`no matrix structure '${name}'; there are: ${Object.keys(matrixStructures).join(', ')}`);
  }
  return found;
}
