/** Functions that a module's text may need beside PyTorch's own, each written into it once where it does. */
import type { HelperName } from './scope.ts';

/** Reductions over the last `count` dimensions of what is kept. Rows of nothing give 0, and no gradient that is not a number. */
function reduction(name: string, comment: string, neutral: string, reduce: string): string {
  return `def _${name}(x, keep, count):
    """${comment} over the last \`count\` dimensions, of what \`keep\` keeps; 0 of nothing."""
    x, keep = (part.flatten(-count) for part in torch.broadcast_tensors(x, keep))
    some = keep.any(-1)
    x = torch.where(some[..., None], torch.where(keep, x, ${neutral}), 0.0)
    return torch.where(some, x.${reduce}, 0.0)`;
}

export const helpers: Readonly<Record<HelperName, string>> = {
  logsumexp: reduction('logsumexp', 'The logarithm of the sum of exponentials', '-math.inf', 'logsumexp(-1)'),
  amax: reduction('amax', 'The largest', '-math.inf', 'amax(-1)'),
  amin: reduction('amin', 'The smallest', 'math.inf', 'amin(-1)'),
  prod: reduction('prod', 'The product', '1.0', 'prod(-1)'),
  placed: `def _placed(x, shape, *place):
    """\`x\` in its place among zeros."""
    whole = x.new_zeros(shape)
    whole[place] = x
    return whole`,
  scattered: `def _scattered(x, shape, *indices):
    """The elements of \`x\` added up where the indices say, among zeros."""
    return x.new_zeros(shape).index_put(indices, x, accumulate=True)`,
};
