/**
 * Everything that makes a program smaller without choosing anything: arithmetic and loops (`algebra.ts`, `loops.ts`), copies
 * (`copies.ts`), equal tensors (`common.ts`), dead tensors (`dead.ts`), round after round until nothing changes.
 *
 *   a[i] = 1 * x[i] + 0;  b[i] = exp(a[i]);  c[j] = exp(x[j]);  output y = b + c   →   b[i] = exp(x[i]);  y[i] = b[i] + b[i]
 *
 * The trap: each part gives back the very object that it was given where it found nothing; that is how the end is noticed.
 */
import type { Program } from '../../ir/program.ts';
import { mapEquations } from '../rename.ts';
import { mergeEqual } from './common.ts';
import { forwardCopies } from './copies.ts';
import { removeDead } from './dead.ts';
import { simplifyEquation } from './loops.ts';

/** More rounds than any program needs: each one removes something. */
const maximumRounds = 100;

export function simplify(program: Program): Program {
  let current = program;
  for (let round = 0; round < maximumRounds; round++) {
    const next = removeDead(mergeEqual(forwardCopies(simplifyEquations(current))));
    if (next === current) return next;
    current = next;
  }
  return current;
}

function simplifyEquations(program: Program): Program {
  return mapEquations(program, (equation) => {
    const simple = simplifyEquation(equation);
    return simple === undefined ? [] : [simple];
  });
}
