/**
 * Tensors that no output and no update needs are taken away.
 *
 *   a = …; b = f(a); c = g(a); output c   →   a = …; c = g(a); output c
 *
 * The trap: inputs and params stay, needed or not. They are the program's face, and a caller gives them by name.
 */
import { dependencies } from '../../ir/equation.ts';
import type { Program } from '../../ir/program.ts';
import { pinnedTensors } from '../rename.ts';

export function removeDead(program: Program): Program {
  const needed = new Set(pinnedTensors(program));
  for (let i = program.tensors.length - 1; i >= 0; i--) {
    const tensor = program.tensors[i];
    if (needed.has(tensor.name)) for (const name of dependencies(tensor)) needed.add(name);
  }
  const tensors = program.tensors.filter(
    ({ name, source }) => needed.has(name) || source.kind === 'input' || source.kind === 'param',
  );
  return tensors.length === program.tensors.length ? program : { ...program, tensors };
}
