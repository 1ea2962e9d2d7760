/**
 * What people write from habit where the grammar has another form, and how to write it here: the help of a mistake, found by what
 * stands on its line before and after the place where reading stopped.
 *
 *   param W[i, j] = zeros        before: `param W[i, j] `   after: `= zeros`      help: write `~ zeros`
 *
 * The trap: a help that is followed must mend the file, so a row says what it proposes in the words of the line, and where it cannot
 * it is left out. The first row that fits is taken.
 */

interface Slip {
  /** Ends where the mistake is. */
  readonly before: RegExp;
  /** Begins there. */
  readonly after: RegExp;
  readonly help: (before: RegExpExecArray, after: RegExpExecArray) => string;
}

const anything = /(?:)/;
const commaList = (text: string): string =>
  text
    .trim()
    .split(/[\s,;]+/)
    .join(', ');

/** The words of a comparison, each as its opposite has it. */
const opposites: Readonly<Record<string, string>> = {
  '<=': '>',
  '>=': '<',
  '<': '>=',
  '>': '<=',
  '==': '!=',
  '!=': '==',
};

const comparison =
  /^\s*\(?\s*([^<>=!(),|&]+(?:\[[^\]]*\])?)\s*(<=|>=|==|!=|<|>)\s*([^<>=!(),|&]+?)\s*\)?\s*(?=$|[),|&]|\band\b|\bor\b)/;

/** `u <= t` for `u > t`, where a text begins with one comparison. */
export function opposite(text: string): string | undefined {
  const found = comparison.exec(text);
  return found === null ? undefined : `${found[1].trim()} ${opposites[found[2]]} ${found[3].trim()}`;
}

const slips: readonly Slip[] = [
  // Conditions
  {
    before: /\bnot\s+$/,
    after: anything,
    help: (_, { input }) => {
      const meant = opposite(input);
      return `there is no \`not\`, as every comparison has its opposite${meant === undefined ? '' : `: write \`${meant}\``}`;
    },
  },
  { before: /,\s*$/, after: /^where\b/, help: () => 'leave out the `,` before it' },
  { before: /\bwhere\s*$/, after: /^(?:[)\],]|$)/, help: () => 'a condition stands behind it, as in `where u <= t`' },
  { before: /\band\s*$/, after: /^(?:[)\],]|$)/, help: () => 'leave out the `and`, or write a comparison behind it' },
  {
    before: /(\w+)\s*$/,
    after: /^in\s+([\w\s+*/-]+?)\s*\.\.\s*([^,)]+)/,
    help: ([, name], [, from, to]) => `write \`${from} <= ${name} and ${name} <= ${to.trim()}\``,
  },
  // Equations
  {
    before: /^\s*([\p{L}][\w.]*)$/u,
    after: /^\(([^()]*)\)\s*\+?=/,
    help: ([, name], [, indices]) => `indices stand in square brackets: \`${name}[${commaList(indices)}]\``,
  },
  {
    before: /^\s*([\p{L}]\w*)_$/u,
    after: /^\{([^{}]*)\}/,
    help: ([, name], [, indices]) => `write \`${name}[${commaList(indices)}]\``,
  },
  {
    before: /([\p{L}]\w*)(\[[^[\]]*\])$/u,
    after: /^((?:\[[^[\]]*\])+)/,
    help: ([, name, first], [, more]) =>
      `all indices stand in one pair of brackets: \`${name}[${commaList(`${first}${more}`.replace(/[[\]]+/g, ' '))}]\``,
  },
  {
    before: /\[(?:[^[\]]*,)?\s*(\p{L}\w*)\s+$/u,
    after: /^((?:\w+\s*)+?)\s*[\],]/,
    help: ([, first], [, more]) =>
      `for a group write \`(${[first, ...more.trim().split(/\s+/)].join(' ')})\`, for an index each \`${commaList(`${first} ${more}`)}\``,
  },
  { before: anything, after: /^<-/, help: () => 'an equation is written with `=`' },
  { before: /:$/, after: /^=/, help: () => 'an equation is written with `=`, without `:`' },
  { before: /^\s*[^=]*$/, after: /^-=/, help: () => 'to subtract write `+=`, and a minus sign before what is added' },
  {
    before: /^\s*[^=]*$/,
    after: /^[*/^%]=/,
    help: () => 'an equation defines by `=` or adds by `+=`; a product is an expression',
  },
  // Indices
  {
    before: /\[[^\]]*$/,
    after: /^(?::|\.\.)/,
    help: () => 'every place has an index: an axis, declared by `axis i: D`',
  },
  {
    before: /[[,]\s*\((\s*\w+)\s*$/,
    after: /^,([\w\s,]*)\)/,
    help: ([, first], [, more]) =>
      `a group is written without commas: \`(${[first, more]
        .join(' ')
        .trim()
        .split(/[\s,]+/)
        .join(' ')})\``,
  },
  {
    before: /[[,]\s*\([\w\s]+\s$/,
    after: /^\d+/,
    help: () => 'a group is made of axes: declare one of that size, as in `axis c: 4`',
  },
  {
    before: /\w+\[\s*$/,
    after: /^\w+\s*=\s*(\w+)\]\s*\(/,
    help: (_, [, axis]) => `the axes alone stand in the brackets: \`[${axis}]\``,
  },
  { before: /\]\s*$/, after: /^\.\s*T\b/, help: () => 'to transpose, change the order of the indices' },
  // Numbers and products
  {
    before: /(^|[^\w.])(\d+)$/,
    after: /^\.(?![\d.])/,
    help: ([, , digits]) => `write \`${digits}.0\`, or \`${digits}\``,
  },
  {
    before: /[=*/+-]\s*(\d+)$/,
    after: /^,(\d+)\b/,
    help: ([, whole], [, digits]) => `a number has a point: \`${whole}.${digits}\``,
  },
  { before: /[\w\])]\s*$/, after: /^\.\s/, help: () => 'a product is written with `*`' },
  {
    before: /(\w+|\([^()]*\))\s*<$/,
    after: /^<\s*(\w+)/,
    help: ([, base], [, bits]) => `write \`${base === '1' ? '' : `${base} * `}2^${bits}\``,
  },
  // Lists
  {
    before: /=\s*\(\s*(\d+)\s*$/,
    after: /^,([\d\s,]*)\)/,
    help: ([, first], [, more]) => `a list is written \`[${commaList(`${first} ${more}`)}]\``,
  },
  {
    before: /=\s*$/,
    after: /^\{([\w\s,]*)\}/,
    help: (_, [, entries]) => `a list is written \`[${commaList(entries)}]\``,
  },
  {
    before: /=\s*\[((?:[\w]+[\s,]*)*)$/,
    after: /^((?:\d+[\s,]*)+)\]/,
    help: ([, first], [, more]) => `write \`[${commaList(`${first} ${more}`)}]\``,
  },
  // Declarations
  {
    before: /\bparam\s+\w+(?:\[[^\]]*\])?\s*$/,
    after: /^=\s*(.+)$/,
    help: (_, [, init]) =>
      `what a param begins as stands behind \`~\`${/^(normal|ones|zeros|constant)\b/.test(init) ? `: write \`~ ${init.trim()}\`` : ', as in `~ zeros`'}`,
  },
  {
    before: /\bparam\s+\w+(?:\[[^\]]*\])?\s*$/,
    after: /^:/,
    help: () => 'a param is f32 and has no element type: leave it out',
  },
  {
    before: /\bparam\s+\w+(?:\[(?:[^\]]*,)?\s*(\w+)\s*\])?\s*$/,
    after: /^$/,
    help: ([, last]) =>
      `write \`~ ${last === undefined ? 'zeros' : `normal(fan_in = ${last})`}\`, or another of \`normal(std = …)\`, \`zeros\`, \`ones\` and \`constant(…)\``,
  },
  {
    before: /~\s*$/,
    after: /^(-?[\d.]+)/,
    help: (_, [, value]) => `write \`${Number(value) === 0 ? 'zeros' : `constant(${value})`}\``,
  },
  { before: /~\s*$/, after: /^fixed\b/, help: () => '`fixed` stands behind how it begins: `~ zeros, fixed`' },
  { before: /\b(zeros|ones)\($/, after: /^\)/, help: ([, word]) => `write \`${word}\`` },
  {
    before: /\bnormal\(\s*$/,
    after: /^(?:0(?:\.0*)?\s*,\s*)?([\d.e-]+)\s*\)/,
    help: (_, [, std]) => `write \`normal(std = ${std})\``,
  },
  { before: /\bconstant\s*$/, after: anything, help: () => 'the value stands in parentheses, as in `constant(0.5)`' },
  {
    before: /\b(?:param|input)\s+\w+\[[^\]]*$/,
    after: /^(\d+)/,
    help: (_, [, size]) => `declare an axis of that size, \`axis c: ${size}\`, and write its name`,
  },
  {
    before: /\binput\b[^~=]*$/,
    after: /^~/,
    help: () => 'what is trained is a `param`; an input is given and begins as nothing',
  },
  {
    before: /\binput\b[^~=]*$/,
    after: /^=/,
    help: () => 'an input is given by the caller; what is computed is an equation without `input`',
  },
  {
    before: /\binput\s+(\w+)\s*:\s*(\w+)$/,
    after: /^(\[[^\]]*\])/,
    help: ([, name, dtype], [, axes]) => `write \`input ${name}${axes}: ${dtype}\``,
  },
  {
    before: /\bsize\b[^=]*?(\w+)\s*$/,
    after: /^:=?\s*([^,]*)/,
    help: ([, name], [, value]) => `write \`${name} = ${value.trim()}\``,
  },
  {
    before: /\baxis\b.*?(\w+)\s*$/,
    after: /^(?:=|in\b)\s*([^,]*)/,
    help: ([, name], [, extent]) => `write \`${name}: ${extent.trim()}\``,
  },
  {
    before: /\baxis\b.*?(\w+)\s*:\s*[\w]+\s*$/,
    after: /^\.\.\s*([^,]+)/,
    help: ([, name], [, extent]) => `an axis begins at 0 and is written with its size: \`${name}: ${extent.trim()}\``,
  },
  {
    before: /\boutput\s+(\w+(?:\s*,\s*\w+)*)\s+$/,
    after: /^(\w+)/,
    help: ([, first], [, next]) => `write \`output ${commaList(first)}, ${next}\``,
  },
  // Structures, levels and choices
  {
    before: /\bstructure\s+\w+$/,
    after: /^\(/,
    help: () => 'leave out the parentheses: sizes and inputs are items between the braces',
  },
  { before: /\bstructure\s+\w+$/, after: /^(?::|$)/, help: () => 'its items stand in braces: `{ … }`' },
  { before: /\bstructure\s*$/, after: /^\{/, help: () => 'give it one, as in `structure Near {`' },
  {
    before: /^\s*$/,
    after: /^(?:struct|class|module|def)\s+(\w+)/,
    help: (_, [, name]) => `write \`structure ${name} {\``,
  },
  { before: /\blevel\s+\w+\s*$/, after: /^=/, help: () => 'write `in`' },
  {
    before: /\blevel\s+\w+\s+in\s+.*\.\.\s*$/,
    after: /^\.\s*([^{]*)/,
    help: (_, [, to]) => `write \`.. ${to.trim()}\`, with two points`,
  },
  {
    before: /\blevel\s+\w+\s+in\s+range\(([^,]*)\)\s*$/,
    after: /^\{/,
    help: ([, count]) => `write \`0 .. ${count} - 1\``,
  },
  {
    before: /\blevel\s+\w+\s+in\s+(\w+)\s*$/,
    after: /^\{/,
    help: ([, list]) =>
      `write \`0 .. len(${list}) - 1\` for the entries of a list, \`0 .. ${list} - 1\` for a number of levels`,
  },
  { before: /^\s*(?:if\b|.*\belse\b).*$/, after: anything, help: () => 'what is chosen stands in braces: `{ … }`' },
  // Functions
  {
    before: /\b(exp|log|sqrt|rsqrt|abs|sign|tanh|erf|sigmoid|relu|gelu|silu|sin|cos)\s+$/,
    after: /^(\w+(?:\[[^\]]*\])?)/,
    help: ([, name], [, argument]) => `an argument stands in parentheses: \`${name}(${argument})\``,
  },
];

/** What to write instead, where the line is known to be such a slip. */
export function slipHelp(text: string, offset: number): string | undefined {
  const from = Math.max(text.lastIndexOf('\n', offset - 1), text.lastIndexOf('\r', offset - 1)) + 1;
  const to = /[\n\r]|$/.exec(text.slice(offset))!.index + offset;
  const [head, tail] = [text.slice(from, offset), text.slice(offset, to).replace(/\s*\/\/.*$/, '')];
  // Longer lines are nobody's slip, and expressions look at them again and again.
  if (to - from > 400) return undefined;
  for (const { before, after, help } of slips) {
    const found = [before.exec(head), after.exec(tail)];
    if (found[0] !== null && found[1] !== null) return help(found[0], found[1]);
  }
  return undefined;
}
