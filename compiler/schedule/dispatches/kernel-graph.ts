/**
 * The kernels of a program as a graph: which of them must be done before which. Kernels come in an order in which they could
 * run one after another; whatever touches the same memory keeps that order, all else is free.
 *
 *   made after it was read or added to, read after it was made, written over after the last reader
 *
 * The trap: memory has several names. A view is its base, a concat is its parts, a state's next value may be the state itself.
 */
import type { Kernel } from '../../../kernels/kernel.ts';
import { kernelParts, kernelReads } from '../../../kernels/statements.ts';
import { tensorMap } from '../../ir/equation.ts';
import { addTo } from '../../ir/lists.ts';
import type { Program } from '../../ir/program.ts';

/** For each kernel the kernels before it that it must wait for. */
export type KernelGraph = readonly (readonly number[])[];

/**
 * `inPlace`: the state that a tensor is written over, by tensor. `after`: a tensor that another is not made before (`Remade`); what made
 * the one wait makes the other wait, so that both may be made at once.
 */
export function kernelGraph(
  program: Program,
  kernels: readonly Kernel[],
  inPlace: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): KernelGraph {
  const cells = memoryCells(program, inPlace);
  const writers = new Map<string, number[]>();
  const readers = new Map<string, number[]>();
  const graph: (readonly number[])[] = [];
  const madeIn = new Map<string, number>();
  for (const [k, kernel] of kernels.entries()) {
    const before = new Set<number>();
    for (const cell of [...kernelReads(kernel)].flatMap(cells)) {
      for (const writer of writers.get(cell) ?? []) before.add(writer);
      addTo(readers, cell, k);
    }
    for (const { tensor, stored } of kernelParts(kernel)) {
      const other = madeIn.get(after.get(tensor) ?? '');
      if (other !== undefined) for (const waited of graph[other] ?? []) before.add(waited);
      madeIn.set(tensor, k);
      if (!stored) continue;
      for (const cell of cells(tensor)) {
        for (const other of [...(writers.get(cell) ?? []), ...(readers.get(cell) ?? [])]) before.add(other);
        writers.set(cell, [k]);
        readers.set(cell, []);
      }
    }
    before.delete(k);
    graph.push([...before]);
  }
  return graph;
}

/** The memory that a name stands for, as the names of tensors that do not overlap. */
export function memoryCells(
  program: Program,
  inPlace: ReadonlyMap<string, string>,
): (tensor: string) => readonly string[] {
  const tensors = tensorMap(program);
  const known = new Map<string, readonly string[]>();
  const cellsOf = (name: string): readonly string[] => {
    const state = inPlace.get(name);
    if (state !== undefined) return cellsOf(state);
    const { source } = tensors.get(name)!;
    if (source.kind === 'view') return cellsOf(source.base);
    if (source.kind === 'concat') return source.parts.flatMap((part) => cellsOf(part.tensor));
    return [name];
  };
  return (name) => {
    const found = known.get(name) ?? cellsOf(name);
    known.set(name, found);
    return found;
  };
}
