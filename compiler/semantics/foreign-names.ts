/**
 * Names that other languages have and this one has not: functions by what they are here, and constants by their numbers. Only asked
 * for where a name is not known; a file's own `fn` of the same name is taken before.
 */

/** How a call is written here, from the texts of its arguments and of the axes in its brackets. */
type Written = (given: readonly string[], axes: string) => string;

const functions: Readonly<Record<string, Written>> = {
  log_softmax: ([x], axes) => `${x} - logsumexp${axes}(${x})`,
  clamp: ([x, low = '0', high = '1']) => `min(max(${x}, ${low}), ${high})`,
  clip: ([x, low = '0', high = '1']) => `min(max(${x}, ${low}), ${high})`,
  leaky_relu: ([x, slope = '0.01']) => `max(${x}, ${slope} * ${x})`,
  elu: ([x]) => `select(${x} > 0, ${x}, exp(${x}) - 1)`,
  softplus: ([x]) => `max(${x}, 0) + log(1 + exp(-abs(${x})))`,
  logsigmoid: ([x]) => `min(${x}, 0) - log(1 + exp(-abs(${x})))`,
  square: ([x]) => `${x}^2`,
  swish: ([x]) => `silu(${x})`,
  ln: ([x]) => `log(${x})`,
  log10: ([x]) => `log(${x}) / log(10)`,
  log1p: ([x]) => `log(1 + ${x})`,
  exp2: ([x]) => `2^${x}`,
  expm1: ([x]) => `exp(${x}) - 1`,
  tan: ([x]) => `sin(${x}) / cos(${x})`,
  cosh: ([x]) => `(exp(${x}) + exp(-${x})) / 2`,
  sinh: ([x]) => `(exp(${x}) - exp(-${x})) / 2`,
  minimum: (given) => `min(${given.join(', ')})`,
  maximum: (given) => `max(${given.join(', ')})`,
  power: (given) => `pow(${given.join(', ')})`,
  inv: ([x]) => `1 / ${x}`,
  reciprocal: ([x]) => `1 / ${x}`,
  avg: ([x], axes) => `mean${axes}(${x})`,
  average: ([x], axes) => `mean${axes}(${x})`,
  product: ([x], axes) => `prod${axes}(${x})`,
  std: ([x], axes) => `sqrt(var${axes}(${x}))`,
  norm: ([x], axes) => `sqrt(sum${axes}(${x}^2))`,
  amax: ([x], axes) => `max${axes}(${x})`,
  amin: ([x], axes) => `min${axes}(${x})`,
  lse: ([x], axes) => `logsumexp${axes}(${x})`,
};

/** The call in this language's own functions; undefined for a name that nobody writes. */
export function foreignCall(name: string, given: readonly string[], axes: readonly string[]): string | undefined {
  if (!Object.hasOwn(functions, name) || given.length === 0) return undefined;
  return closed(functions[name](given.map(closed), axes.length === 0 ? '' : `[${axes.join(', ')}]`));
}

/** In parentheses, unless it is one operand already. */
function closed(text: string): string {
  let outside = text;
  for (let before = ''; before !== outside; ) {
    before = outside;
    outside = outside.replace(/\([^()[\]]*\)|\[[^()[\]]*\]/g, '');
  }
  return /^[\p{L}\d_.]*$/u.test(outside) ? text : `(${text})`;
}

const constants: Readonly<Record<string, string>> = {
  pi: 'declare it: `const pi = 3.141592653589793`',
  PI: 'declare it: `const PI = 3.141592653589793`',
  inf: 'there is no infinity: what is to be absent is excluded by `where`',
  Inf: 'there is no infinity: what is to be absent is excluded by `where`',
  infinity: 'there is no infinity: what is to be absent is excluded by `where`',
  nan: 'there is no NaN: what is to be absent is excluded by `where`',
};

export function foreignConstant(name: string): string | undefined {
  return Object.hasOwn(constants, name) ? constants[name] : undefined;
}
