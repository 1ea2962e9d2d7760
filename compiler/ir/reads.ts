/** Who reads each tensor of a program, and by which equation. */
import { equationsOf, readTensors } from './equation.ts';
import { addTo } from './lists.ts';
import type { Equation, Program, Tensor } from './program.ts';

export interface Read {
  readonly reader: Tensor;
  readonly equation: Equation;
}

export function readsOf(program: Program): ReadonlyMap<string, readonly Read[]> {
  const reads = new Map<string, Read[]>();
  for (const reader of program.tensors) {
    if (reader.source.kind === 'view') addTo(reads, reader.source.base, { reader, equation: none });
    if (reader.source.kind === 'concat')
      for (const part of reader.source.parts) addTo(reads, part.tensor, { reader, equation: none });
    for (const equation of equationsOf(reader))
      for (const name of readTensors(equation)) addTo(reads, name, { reader, equation });
  }
  return reads;
}

/** A view or a concat reads by no equation. */
const none: Equation = { axes: [], domain: [], store: [], reducer: 'product', value: { kind: 'constant', value: 0 } };
