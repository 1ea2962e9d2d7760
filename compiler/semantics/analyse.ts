/**
 * Syntax tree → tensor program: the one door into this folder.
 *
 *   files  ▶  scopes, sizes, names (unrolled)  ▶  shapes  ▶  equations  ▶  order
 *
 * Every stage goes on after a mistake, so that one run tells all of them; a program comes out only where there is none
 * and no size was postponed. The trap: what is wrong with a file is told here and nowhere else. The parts downstream
 * take a program as it is, and an exception there is a bug of ours.
 */
import { integerMisuse } from '../ir/integer-check.ts';
import type { Program, Tensor } from '../ir/program.ts';
import type { Structure } from '../syntax/ast.ts';
import type { Diagnostic, Source, Span } from '../syntax/diagnostic.ts';
import { bindByName } from './bind-by-name.ts';
import type { LoweringContext } from './builder.ts';
import { builtinNames } from './calls.ts';
import { inOrder } from './definition-order.ts';
import { type Files, type Resolve, readFiles, type VisibleStructure } from './files.ts';
import { checkFunctions } from './functions.ts';
import { forceInstance, makeInstance } from './instances.ts';
import { interfaceOf, outputsOf, type StructureInterface } from './interface.ts';
import { lowerInit, lowerTensor, realNumber } from './lower.ts';
import type { GivenShape, SizeValue, StructureInstance, TensorEntity } from './model.ts';
import type { ElaborationContext } from './references.ts';
import { createReport, diagnosticLimit, LimitError, type Report } from './report.ts';
import { tensorShape } from './shapes.ts';
import { mainStructure } from './slots.ts';
import { usageOf } from './usage.ts';

export interface AnalyseOptions {
  readonly source: Source;
  /** The structure to take; without it the last of the file. */
  readonly structure?: string;
  /** Values of sizes and consts by name, as `-s` gives them; `up.rank` is that of what fills the slot `up`. */
  readonly sizes: Readonly<Record<string, SizeValue>>;
  /** Files whose main structure fills a slot, by the slot's name, as `--slot` gives them. */
  readonly slots?: Readonly<Record<string, Source>>;
  /** Shapes of inputs by name. They settle sizes that are not bound; every extent is checked against them. */
  readonly inputShapes?: Readonly<Record<string, readonly number[]>>;
  /** Finds what an import names: a path relative to `fromFile`, or a bare name of the library. */
  readonly resolve: Resolve;
  /** A size without a value is postponed (`check`), refused (`build`, `run`), or counts as 1 (`explain`). */
  readonly unbound: 'postpone' | 'refuse' | 'one';
}

export interface Analysis {
  /** In the order of the source, those of the main file first. */
  readonly diagnostics: readonly Diagnostic[];
  /** Absent where there is an error, or something had to be postponed. */
  readonly program?: Program;
  /** Absent where no structure could be found. */
  readonly interface?: StructureInterface;
  /** All files that were read, for rendering. */
  readonly sources: readonly Source[];
}

type Context = ElaborationContext & LoweringContext;

export function analyse(options: AnalyseOptions): Analysis {
  const sources: Source[] = [];
  const report = createReport(() => sources);
  const found = guarded(report, { file: options.source.file, start: 0, end: 0 }, () => {
    const fillers = Object.values(options.slots ?? {});
    const files = readFiles(options.source, fillers, options.resolve, report, sources);
    checkFunctions(files.main, builtinNames, report);
    const structure = chooseStructure(options, files, report);
    return structure && analyseStructure(structure, files, options, report);
  });
  const diagnostics = tidy(report.diagnostics, sources);
  const wrong = diagnostics.some((d) => d.severity === 'error');
  const complete = !wrong && !report.postponed;
  return {
    diagnostics,
    ...(complete && found?.program !== undefined ? { program: found.program } : {}),
    ...(found?.interface !== undefined ? { interface: found.interface } : {}),
    sources,
  };
}

/** Runs a stage; a file that asks for too much gets a diagnostic. */
function guarded<T>(report: Report, span: Span, stage: () => T): T | undefined {
  try {
    return stage();
  } catch (e) {
    if (e instanceof LimitError) {
      report.error('E0901', e.span, `${e.message} asks for more than the compiler handles`);
      return undefined;
    }
    if (e instanceof RangeError && /call stack/i.test(e.message)) {
      report.error('E0901', span, 'this is nested more deeply than the compiler handles');
      return undefined;
    }
    throw e;
  }
}

function chooseStructure(options: AnalyseOptions, files: Files, report: Report): Structure | undefined {
  const { structures, functions } = files.main.file;
  const { structure: name } = options;
  const span = { file: options.source.file, start: 0, end: 0 };
  if (name !== undefined) {
    const found = structures.find((structure) => structure.name.text === name);
    if (found !== undefined) return found;
    if (files.syntaxErrors) return undefined;
    const near = report.suggest(
      name,
      structures.map((s) => s.name.text),
    );
    const listed = structures.map((s) => `\`${s.name.text}\``).join(', ');
    report.error('E0204', span, `the file has no structure \`${name}\``, near ?? (listed && `it has ${listed}`));
    return undefined;
  }
  const last = structures.at(-1);
  if (last !== undefined || files.syntaxErrors) return last;
  // A file of functions is there to be imported: nothing is wrong with it until one wants to build it.
  if (options.unbound !== 'postpone' && functions.length > 0) {
    report.error('E0203', span, 'the file holds functions only, and no structure', 'import it, or add a structure');
  }
  return undefined;
}

interface Found {
  readonly program: Program | undefined;
  readonly interface: StructureInterface;
}

function analyseStructure(structure: Structure, files: Files, options: AnalyseOptions, report: Report): Found {
  const main = analyseOne(structure, files, options, report);
  if (options.unbound === 'postpone' && options.structure === undefined) {
    // `check` is for the whole file: the other structures with their defaults.
    const plain: AnalyseOptions = { source: options.source, sizes: {}, resolve: options.resolve, unbound: 'postpone' };
    const postponed = report.postponed;
    for (const other of files.main.file.structures) {
      if (other === structure || files.main.structures.get(other.name.text)?.structure !== other) continue;
      analyseOne(other, files, plain, report);
    }
    report.postponed = postponed;
  }
  return main;
}

function analyseOne(
  structure: Structure,
  { main: module, others: fillers }: Files,
  options: AnalyseOptions,
  report: Report,
): Found {
  reportUnused(structure, report);
  const before = report.diagnostics.length;
  const { sizes, inputShapes, unbound } = options;
  const context: Context = {
    report,
    unbound,
    checkBroken: false,
    nextAxis: 0,
    lifted: new Map(),
    labels: new Map(),
    force: (entity) => forceInstance(entity, context),
    realNumber: (e, scope) => realNumber(e, scope, context),
  };
  const slots: Record<string, VisibleStructure | undefined> = {};
  for (const [i, name] of Object.keys(options.slots ?? {}).entries()) {
    const filler = fillers[i];
    slots[name] = filler && mainStructure(filler, context, { file: filler.source.file, start: 0, end: 0 });
  }
  const instance = makeInstance(
    {
      prefix: '',
      structure,
      module,
      parent: undefined,
      ...bindByName({ values: sizes, slots }, structure, undefined, context),
      inputShape: (name) => givenShape(inputShapes, name),
      inputBinding: () => undefined,
    },
    context,
  );
  const instances = allInstances(instance, context);
  if (instances.some((i) => i.postponed)) report.postponed = true;
  for (const each of instances) checkOutputs(each, context);
  const tensors = instances.flatMap((each) => each.tensors);
  for (const tensor of tensors) tensorShape(tensor, context);
  for (const tensor of tensors) {
    const { declaration } = tensor;
    if (declaration?.kind === 'param') tensor.init = lowerInit(tensor, declaration, context);
    if (tensor.role === 'computed') lowerTensor(tensor, context);
  }
  const face = interfaceOf(instance, context);
  const ordered = inOrder(
    tensors.filter((t) => t.alias === undefined).map(programTensor),
    context.lifted.values(),
    report,
  );
  const program = ordered && { tensors: ordered, outputs: face.outputs.map((output) => output.name), updates: [] };
  if (context.checkBroken) hideConsequences(report, before);
  const isSound = report.diagnostics.slice(before).every((d) => d.severity !== 'error');
  if (program !== undefined && isSound) checkIntegers(program, report);
  return { program, interface: face };
}

/** Larger integer tensors are looked at when they are run alone. */
const mostChecked = 1 << 18;

/** Indices that are made of positions are known as soon as the sizes are. */
function checkIntegers(program: Program, report: Report): void {
  if (program.tensors.some(({ shape }) => shape.some(Number.isNaN))) return;
  const misuse = integerMisuse(program, new Map(), mostChecked);
  if (misuse?.span === undefined) return;
  const help = 'leave such points out by `where`, or keep the number inside by `min`, `max` or `%`';
  report.error(misuse.kind === 'out of range' ? 'E0503' : 'E0510', misuse.span, misuse.message, help);
}

function reportUnused(structure: Structure, report: Report): void {
  const { unused, unread } = usageOf(structure);
  for (const { kind, text, span } of unused) {
    report.warning('W0201', span, `nothing uses the ${kind} \`${text}\``, 'remove it');
  }
  for (const { kind, name } of unread) {
    const what = kind === 'instance' ? 'the tensors of ' : kind === 'tensor' ? '' : `the ${kind} `;
    const help = kind === 'tensor' ? `remove it, or write \`output ${name.text}\`` : 'remove it';
    report.warning('W0202', name.span, `nothing reads ${what}\`${name.text}\``, help);
  }
}

function givenShape(shapes: AnalyseOptions['inputShapes'], name: string): GivenShape | undefined {
  const shape = shapes !== undefined && Object.hasOwn(shapes, name) ? shapes[name] : undefined;
  return shape === undefined ? undefined : { shape, span: undefined, what: `the given \`${name}\`` };
}

/** The instance and all in it, each after the tensors around it; those not yet asked for are made now. */
function allInstances(root: StructureInstance, context: Context): readonly StructureInstance[] {
  const found: StructureInstance[] = [];
  const pending = [root];
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    found.push(next);
    const inner = next.instances.map((entity) => context.force(entity));
    pending.unshift(...inner.filter((i) => i !== undefined));
  }
  return found;
}

function checkOutputs(instance: StructureInstance, context: Context): void {
  const { structure } = instance;
  if (instance.outputs.length === 0 && !instance.postponed) {
    const message = `the structure \`${structure.name.text}\` has no output`;
    const last = usageOf(structure)
      .unread.filter(({ kind }) => kind === 'tensor')
      .at(-1);
    context.report.error('E0205', structure.name.span, message, `add \`output ${last?.name.text ?? 'y'}\``);
  }
  outputsOf(instance, context);
}

function programTensor(tensor: TensorEntity): Tensor {
  const { name, dtype, span, doc, declaration, init } = tensor;
  const shape = (tensor.shape ?? []).map((extent) => extent ?? Number.NaN);
  const common = { name, dtype, shape, span, ...(doc === undefined ? {} : { doc }) };
  if (declaration?.kind === 'input') return { ...common, source: { kind: 'input' } };
  if (declaration?.kind === 'param') {
    const known = init ?? { kind: 'constant', value: 0 };
    return { ...common, source: { kind: 'param', init: known, fixed: declaration.fixed } };
  }
  return { ...common, source: { kind: 'computed', equations: tensor.equations } };
}

/** What follows from a broken check is not told: the check is what a user should see. */
function hideConsequences({ diagnostics }: Report, before: number): void {
  const own = diagnostics.splice(before);
  diagnostics.push(...own.filter((d) => !followsFromSizes.has(d.code)));
}

const followsFromSizes: ReadonlySet<string> = new Set([
  'E0304',
  'E0305',
  'E0307',
  'E0308',
  'E0310',
  'E0312',
  'E0503',
  'E0504',
  'E0505',
  'E0508',
  'E0604',
]);

/** What may follow from an item that could not be read. */
const followsFromSyntax: ReadonlySet<string> = new Set([
  'E0201',
  'E0204',
  'E0205',
  'E0207',
  'E0208',
  'E0209',
  'E0210',
  'E0301',
  'E0402',
  'E0403',
  'E0501',
  'E0503',
  'E0601',
  'E0606',
  'W0201',
]);

/** Warnings that are of no use beside a mistake: it may be what would have read a tensor, or carried an axis. */
const followsFromErrors: ReadonlySet<string> = new Set(['W0202', 'W0601', 'W0602', 'W0603']);

function tidy(diagnostics: readonly Diagnostic[], sources: readonly Source[]): readonly Diagnostic[] {
  const wrong = diagnostics.some((d) => d.severity === 'error');
  // An input that is not understood, or does not fit, settles no size.
  const misread = diagnostics.some((d) => d.severity === 'error' && /^E0([124]|312)/.test(d.code));
  const syntaxErrors = diagnostics.some((d) => d.severity === 'error' && d.code.startsWith('E01'));
  const order = new Map(sources.map((source, i) => [source.file, i]));
  const words = new Map<string, ReadonlyMap<string, number>>();
  const once = (d: Diagnostic): boolean => {
    const source = sources.find((s) => s.file === d.span.file);
    if (source === undefined) return false;
    const counts = words.get(source.file) ?? wordCounts(source.text);
    words.set(source.file, counts);
    return counts.get(source.text.slice(d.span.start, d.span.end)) === 1;
  };
  const kept = diagnostics.filter((d) => {
    if (wrong && followsFromErrors.has(d.code)) return false;
    if (d.code === 'E0302' && misread) return false;
    if (!syntaxErrors) return true;
    // An unknown name may have been declared by an item that could not be read, unless it stands nowhere else.
    if (d.code === 'E0401') return once(d);
    return !followsFromSyntax.has(d.code);
  });
  kept.sort((p, q) => (order.get(p.span.file) ?? 0) - (order.get(q.span.file) ?? 0) || p.span.start - q.span.start);
  return mostImportant(unknownOnce(kept));
}

/** As many as are told at most: warnings in what room errors leave. */
function mostImportant(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  const errors = diagnostics.filter(({ severity }) => severity === 'error').slice(0, diagnosticLimit);
  const warnings = diagnostics
    .filter(({ severity }) => severity === 'warning')
    .slice(0, diagnosticLimit - errors.length);
  const told = new Set([...errors, ...warnings]);
  return diagnostics.filter((d) => told.has(d));
}

/** A name that is not known is told where it stands first, with how often it stands elsewhere. */
function unknownOnce(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  const key = (d: Diagnostic): string => `${d.span.file} ${d.message}`;
  const unknown = diagnostics.filter(({ code, message }) => code === 'E0401' && message.endsWith(' is not known here'));
  const times = new Map<string, number>();
  for (const d of unknown) times.set(key(d), (times.get(key(d)) ?? 0) + 1);
  const told = new Set<string>();
  return diagnostics.flatMap((d): Diagnostic[] => {
    const count = unknown.includes(d) ? times.get(key(d))! : 1;
    if (count === 1) return [d];
    if (told.has(key(d))) return [];
    told.add(key(d));
    const more = count === 2 ? 'at one more place' : `at ${count - 1} more places`;
    return [{ ...d, message: d.message.replace(/here$/, `here, nor ${more}`) }];
  });
}

function wordCounts(text: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(/\p{L}[\p{L}\p{N}_]*/gu)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}
