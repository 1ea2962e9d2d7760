/**
 * A structure as a plain PyTorch module: one line for each equation of the ordered program, so the contraction order is the compiler's,
 * params under the names that they have here, each drawn as its `~` says. It imports nothing but PyTorch.
 *
 * Sizes are the numbers that they have when it is written, since levels, digits and the order follow from them; but those that all
 * equations only carry along, as a batch, are read off the inputs.
 */

import { tensorMap } from '../../ir/equation.ts';
import type { Init, Program, Tensor } from '../../ir/program.ts';
import { factsOf } from '../../passes/facts.ts';
import type { StructureInterface } from '../../semantics/interface.ts';
import type { Origin } from '../origin.ts';
import { equationText } from './equation.ts';
import type { FreeSizes } from './free-sizes.ts';
import { helpers } from './helpers.ts';
import { placeParams } from './params.ts';
import { className, localNames, numberText, tuple } from './python.ts';
import type { EquationScope, HelperName, KnownTensor, Scope } from './scope.ts';

export interface PytorchSubject {
  /** With every input and param of the structure. */
  readonly written: Program;
  /** What is computed. */
  readonly program: Program;
  readonly interface: StructureInterface;
  readonly free: FreeSizes;
  /** The file's own name, for the comment. */
  readonly file: string;
  readonly originOf: (tensor: string) => Origin | undefined;
}

/** Throws NotExpressible for an equation that has no equal in PyTorch. */
export function pytorchModule(subject: PytorchSubject): string {
  const { written, free } = subject;
  const given = written.tensors.filter(({ source }) => source.kind === 'input');
  const params = written.tensors.filter(({ source }) => source.kind === 'param');
  const local = localNames();
  const names = new Map(given.map(({ name }) => [name, local(name)]));
  const sizes = new Map([...free.names].map((name) => [name, local(name)]));
  const places = placeParams(
    params.map(({ name }) => name),
    (name) => emptyParameter(tensorMap(written).get(name) as Tensor),
  );
  const body = forwardBody(subject, { names, sizes, access: places.access, local });
  const arguments_ = given.map(({ name }) => names.get(name) as string);
  const text = [
    ...header(subject, places.renamed),
    'import math',
    '',
    'import torch',
    'from torch import nn',
    ...(body.lines.some((line) => line.includes('functional.')) ? ['from torch.nn import functional'] : []),
    '',
    ...[...body.helpers].flatMap((name) => ['', ...helpers[name].split('\n'), '']),
    '',
    `class ${className(subject.interface.name)}(nn.Module):`,
    '    def __init__(self):',
    '        super().__init__()',
    ...places.lines.map((line) => `        ${line}`),
    '        self.reset_parameters()',
    '',
    '    @torch.no_grad()',
    '    def reset_parameters(self):',
    ...(params.length === 0 ? ['        pass'] : []),
    ...params.map((param) => `        ${initialised(param, places.access.get(param.name) as string)}`),
    '',
    `    def forward(${['self', ...arguments_].join(', ')}):`,
    ...body.lines.map((line) => (line === '' ? '' : `        ${line}`)),
  ];
  // What is not used is not imported.
  const usesMath = text.some((line) => line.includes('math.'));
  return `${(usesMath ? text : withoutMath(text)).join('\n')}\n`;
}

function withoutMath(lines: readonly string[]): readonly string[] {
  const at = lines.indexOf('import math');
  return [...lines.slice(0, at), ...lines.slice(at + 2)];
}

function emptyParameter({ shape, source }: Tensor): string {
  const isFixed = source.kind === 'param' && source.fixed;
  const extents = shape.length === 0 ? '()' : shape.join(', ');
  return `nn.Parameter(torch.empty(${extents})${isFixed ? ', requires_grad=False' : ''})`;
}

function initialised({ source }: Tensor, access: string): string {
  const { init } = source as { readonly init: Init };
  if (init.kind === 'normal') return `nn.init.normal_(${access}, std=${numberText(init.std)})`;
  return `nn.init.constant_(${access}, ${numberText(init.value)})`;
}

interface Named {
  readonly names: ReadonlyMap<string, string>;
  readonly sizes: ReadonlyMap<string, string>;
  readonly access: ReadonlyMap<string, string>;
  readonly local: (wanted: string) => string;
}

interface Body {
  readonly lines: readonly string[];
  readonly helpers: ReadonlySet<HelperName>;
}

function forwardBody({ written, program, free, originOf }: PytorchSubject, named: Named): Body {
  const { names, sizes, access, local } = named;
  const used = new Set<HelperName>();
  const ranges = new Map<string, string>();
  const known = new Map<string, KnownTensor>();
  const facts = factsOf(program.tensors);
  for (const { name, shape, dtype } of written.tensors) {
    const text = names.get(name) ?? access.get(name);
    if (text !== undefined) known.set(name, { text, shape, isInteger: dtype === 'i32', alwaysFinite: true });
  }
  const scope: Scope = {
    tensor: (name) => {
      const tensor = known.get(name);
      if (tensor === undefined) throw new Error(`${name} is used before it has a value`);
      return tensor;
    },
    position: (name, extent) => {
      const key = `${name} ${extent}`;
      const range = ranges.get(key) ?? local(name);
      ranges.set(key, range);
      return range;
    },
    helper: (name) => {
      used.add(name);
      return `_${name}`;
    },
  };
  const lines: string[] = [];
  let comment = '';
  for (const tensor of program.tensors) {
    const { name, shape, source } = tensor;
    if (source.kind === 'input' || source.kind === 'param') continue;
    if (source.kind !== 'computed') throw new Error(`${name} is no tensor of equations`);
    const dimensions = shape.map((extent, d) => sizes.get(free.dimension(name, d) ?? '') ?? String(extent));
    const isInteger = tensor.dtype === 'i32';
    const origin = originOf(name);
    const said = origin === undefined ? '' : `# ${origin.file}:${origin.line}: ${origin.text}`;
    if (said !== comment && said !== '') lines.push(said);
    comment = said;
    const variable = local(name);
    const parts = source.equations.map((equation, e) => {
      const own: EquationScope = {
        ...scope,
        axes: equation.axes,
        extent: (axis) => sizes.get(free.axis(name, e, axis) ?? '') ?? String(equation.axes[axis].extent),
        isGuarded: equation.domain.length > 0,
        span: equation.span ?? tensor.span,
      };
      return equationText(equation, { shape, dimensions, isInteger }, own);
    });
    if (parts.length === 0) {
      lines.push(
        `${variable} = torch.zeros(${tuple(dimensions)}, dtype=${isInteger ? 'torch.long' : 'dtype'}, device=device)`,
      );
    }
    for (const [i, text] of parts.entries()) lines.push(`${variable} = ${i === 0 ? '' : `${variable} + `}${text}`);
    known.set(name, { text: variable, shape, isInteger, alwaysFinite: isInteger || facts.bounds(name).finite });
  }
  const outputs = program.outputs.map((name) => scope.tensor(name).text);
  const needs = (name: string) => [...ranges.values(), ...lines].some((line) => line.includes(name));
  return {
    lines: [
      ...beginning(written, free, named, ranges.size > 0 || needs('device'), needs('dtype')),
      ...[...ranges].map(([key, name]) => `${name} = torch.arange(${key.split(' ').at(-1)}, device=device)`),
      ...lines,
      `return ${outputs.join(', ')}`,
    ],
    helpers: used,
  };
}

/** Free sizes, checks of shapes, and where and in what everything is computed. */
function beginning(
  written: Program,
  free: FreeSizes,
  { names, sizes, access }: Named,
  needsDevice: boolean,
  needsDtype: boolean,
): readonly string[] {
  const lines: string[] = [];
  const settled = new Set<string>();
  const given = written.tensors.filter(({ source }) => source.kind === 'input');
  for (const { name, shape, dtype } of given) {
    const text = names.get(name) as string;
    const wanted = shape.map((extent, d) => {
      const size = free.dimension(name, d);
      if (size === undefined) return String(extent);
      const variable = sizes.get(size) as string;
      if (!settled.has(size)) lines.push(`${variable} = ${text}.shape[${d}]`);
      settled.add(size);
      return variable;
    });
    lines.push(
      `if ${text}.shape != ${tuple(wanted)}:`,
      `    raise ValueError(f"${text} has shape {tuple(${text}.shape)}, not {${tuple(wanted)}}")`,
    );
    if (dtype === 'i32') lines.push(`${text} = ${text}.long()`);
  }
  // A param's, else an input's; an f16 input is computed with as the params are.
  const real = [
    ...access.values(),
    ...given.flatMap(({ name, dtype }) => (dtype === 'f32' ? [names.get(name) as string] : [])),
  ];
  const any = [...access.values(), ...names.values()];
  const halves = given.filter(({ dtype }) => dtype === 'f16').map(({ name }) => names.get(name) as string);
  if (needsDtype || halves.length > 0)
    lines.push(`dtype = ${real[0] === undefined ? 'torch.get_default_dtype()' : `${real[0]}.dtype`}`);
  if (needsDevice) lines.push(`device = ${any[0] === undefined ? 'None' : `${any[0]}.device`}`);
  return [...lines, ...halves.map((text) => `${text} = ${text}.to(dtype)`)];
}

function header(
  { interface: about, file, written, program, free }: PytorchSubject,
  renamed: ReadonlyMap<string, string>,
): readonly string[] {
  const bound = [
    ...about.sizes.flatMap(({ name, value }) =>
      value === undefined || free.names.has(name) ? [] : [`${name} = ${JSON.stringify(value)}`],
    ),
    ...about.consts.flatMap(({ name, value }) => (value === undefined ? [] : [`${name} = ${numberText(value)}`])),
  ];
  const shapeText = ({ name, shape }: Tensor) =>
    `[${shape.map((extent, d) => free.dimension(name, d) ?? extent).join(', ')}]`;
  const of = (kind: 'input' | 'param') => written.tensors.filter(({ source }) => source.kind === kind);
  const section = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : ['', title, ...lines.map((line) => `    ${line}`)];
  const outputs = program.outputs.map((name) => tensorMap(program).get(name) as Tensor);
  const order = [...free.names].map((name) => `${name} = ${about.sizes.find((size) => size.name === name)?.value}`);
  const lines = [
    `${about.name}, from ${file}${bound.length > 0 ? `, with ${bound.join(', ')}` : ''}.`,
    ...(about.doc === undefined ? [] : ['', ...about.doc.split('\n')]),
    ...section(
      'Inputs',
      of('input').map((tensor) => `${tensor.name}: ${tensor.dtype} ${shapeText(tensor)}`),
    ),
    ...(of('input').some(({ dtype }) => dtype === 'i32')
      ? ['', 'What indexes must lie inside: PyTorch counts negative indices from the end.']
      : []),
    ...section(
      'Parameters',
      of('param').map((tensor) => {
        const stored = renamed.get(tensor.name);
        return `${tensor.name}: ${shapeText(tensor)}${stored === undefined ? '' : `, here ${stored}`}`;
      }),
    ),
    ...section(
      'Outputs',
      outputs.map((tensor) => `${tensor.name}: ${shapeText(tensor)}`),
    ),
    '',
    `Written by \`mlbtc export --to pytorch\`${order.length === 0 ? '' : `; ${[...free.names].join(', ')} may be any, the order of contraction is that for ${order.join(', ')}`}.`,
  ];
  const safe = lines.map((line) => line.replace(/\\/g, '\\\\').replace(/"""/g, "'''"));
  return [`"""${safe[0]}`, ...safe.slice(1), '"""'];
}
