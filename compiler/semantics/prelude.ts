/**
 * The library functions, written in the language itself and parsed like any other file. A file's own `fn` hides one of
 * these.
 */

import type { FunctionItem } from '../syntax/ast.ts';
import type { Source } from '../syntax/diagnostic.ts';
import { parse } from '../syntax/parser.ts';

export const prelude: Source = {
  file: '<library functions>',
  text: `\
fn layernorm[i](x, g) = (x - mean[i](x)) / sqrt(var[i](x) + 1e-5) * g
fn rmsnorm[i](x, g) = x / sqrt(mean[i](x^2) + 1e-5) * g
fn cross_entropy[v](z, target) = logsumexp[v](z) - sum[v](select(v == target, z, 0))
fn rms_clip(W, d_in, d_out) = W / max(1, sqrt(mean[*](W^2) + 1e-8) / (sqrt(min(d_in, d_out)) / d_in))
`,
};

let parsed: ReadonlyMap<string, FunctionItem> | undefined;

export function preludeFunctions(): ReadonlyMap<string, FunctionItem> {
  parsed ??= new Map(parse(prelude).file.functions.map((item) => [item.name.text, item]));
  return parsed;
}
