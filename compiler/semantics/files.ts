/**
 * Files: the first stage. Reads the main file and all that it imports, and says which structures and functions each can
 * see, and what fills their slots.
 *
 * A file sees its own and those of the files it imports, not those that these import in turn. The same file reached on
 * two ways is one file. The trap: imports may be circular or a chain of any length, so they are walked with a stack of
 * our own.
 */
import type { FunctionItem, Identifier, Item, SourceFile, Structure } from '../syntax/ast.ts';
import type { Diagnostic, Source, Span } from '../syntax/diagnostic.ts';
import { parse } from '../syntax/parser.ts';
import { preludeFunctions } from './prelude.ts';
import type { Report } from './report.ts';

export interface Module {
  readonly source: Source;
  readonly file: SourceFile;
  readonly structures: Map<string, VisibleStructure>;
  readonly functions: Map<string, VisibleFunction>;
  /** Files that fill slots by default, by the path that stands there. */
  readonly fillers: Map<string, Module>;
}

export interface VisibleStructure {
  readonly structure: Structure;
  readonly module: Module;
}

export interface VisibleFunction {
  readonly item: FunctionItem;
  /** Whose functions the body calls. */
  readonly module: Module;
}

export type Resolve = (path: string, fromFile: string) => Source | undefined;

export interface Files {
  readonly main: Module;
  /** Those that were asked for besides, in order. */
  readonly others: readonly Module[];
  readonly sources: readonly Source[];
  readonly syntaxErrors: boolean;
}

/** An `import`, or the file that fills a slot by default: read alike, but only an import brings names. */
interface Needed {
  readonly path: string;
  readonly pathSpan: Span;
  readonly isImport: boolean;
}

interface Imported {
  readonly item: Needed;
  readonly module: Module;
}

interface Visit {
  readonly module: Module;
  readonly needed: readonly Needed[];
  readonly imported: Imported[];
  next: number;
}

/** `others`: what fills slots from the command line. */
export function readFiles(
  source: Source,
  others: readonly Source[],
  resolve: Resolve,
  report: Report,
  sources: Source[],
): Files {
  const modules = new Map<string, Module>();
  const open = new Set<string>();
  let syntaxErrors = false;

  const load = (text: Source): Module => {
    const known = modules.get(text.file);
    if (known !== undefined) return known;
    const parsed = parse(text);
    sources.push(text);
    report.diagnostics.push(...(parsed.diagnostics as Diagnostic[]));
    syntaxErrors ||= parsed.diagnostics.some((d) => d.severity === 'error');
    const module: Module = {
      source: text,
      file: parsed.file,
      structures: new Map(),
      functions: new Map(),
      fillers: new Map(),
    };
    modules.set(text.file, module);
    return module;
  };

  const done = new Set<Module>();
  const stack: Visit[] = [];
  const enter = (module: Module): void => {
    if (done.has(module)) return;
    open.add(module.source.file);
    stack.push({ module, needed: neededBy(module.file), imported: [], next: 0 });
  };
  const step = (visit: Visit): void => {
    const { module, needed, imported } = visit;
    if (visit.next === needed.length) {
      collect(module, imported, report);
      open.delete(module.source.file);
      done.add(module);
      stack.pop();
      return;
    }
    const item = needed[visit.next++];
    const found = find(item, module, resolve, report);
    if (found === undefined) return;
    if (open.has(found.file)) {
      const through = stack.slice(stack.findIndex((v) => v.module.source.file === found.file)).map((v) => v.module);
      const ring = [...through, module].map((m) => m.source.file);
      const message =
        found.file === module.source.file
          ? `\`${item.path}\` is this file itself`
          : `\`${item.path}\` imports this file: ${[...new Set(ring), found.file].join(' → ')}`;
      report.error('E0202', item.pathSpan, message, 'move what both files need into a third');
      return;
    }
    const next = load(found);
    if (item.isImport) imported.push({ item, module: next });
    else module.fillers.set(item.path, next);
    enter(next);
  };
  const readAll = (text: Source): Module => {
    const module = load(text);
    enter(module);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) step(top);
    return module;
  };
  const main = readAll(source);
  const fillers = others.map(readAll);
  return { main, others: fillers, sources, syntaxErrors };
}

export function neededBy(file: SourceFile): readonly Needed[] {
  const imports = file.imports.map(({ path, pathSpan }) => ({ path, pathSpan, isImport: true }));
  const fillers: Needed[] = [];
  const visit = (items: readonly Item[]): void => {
    for (const item of items) {
      if (item.kind === 'if') visit([...item.then, ...(item.otherwise ?? [])]);
      if (item.kind !== 'slot' || item.fallback?.kind !== 'file') continue;
      fillers.push({ path: item.fallback.path, pathSpan: item.fallback.span, isImport: false });
    }
  };
  for (const { items } of file.structures) visit(items);
  return [...imports, ...fillers];
}

function find(item: Needed, module: Module, resolve: Resolve, report: Report): Source | undefined {
  const found = resolve(item.path, module.source.file);
  if (found === undefined) {
    const library = !item.path.includes('/') && !item.path.endsWith('.mlbtc');
    const message = library ? `the library has no \`${item.path}\`` : `there is no file \`${item.path}\``;
    const relative = `paths are relative to ${module.source.file}`;
    const named = /[\p{L}\p{N}]/u.test(item.path) ? item.path : 'other';
    const written = `${item.isImport ? 'import ' : ''}"${named}.mlbtc"`;
    const help = library ? `for a file beside this one write \`${written}\`` : relative;
    report.error('E0201', item.pathSpan, message, help);
  }
  return found;
}

/** Fills what a module can see; imported modules first have been filled themselves. */
function collect(module: Module, imported: readonly Imported[], report: Report): void {
  const declare = <T>(map: Map<string, T>, name: Identifier, value: T, what: string): void => {
    if (map.has(name.text)) {
      report.error('E0404', name.span, `there are two ${what}s called \`${name.text}\``, 'rename one of them');
    } else map.set(name.text, value);
  };
  for (const structure of module.file.structures) {
    declare(module.structures, structure.name, { structure, module }, 'structure');
  }
  for (const item of module.file.functions) declare(module.functions, item.name, { item, module }, 'function');

  for (const { item, module: other } of imported) {
    for (const visible of other.structures.values()) {
      if (visible.module === other) bring(module.structures, visible.structure.name.text, visible, 'structure', item);
    }
    for (const visible of other.functions.values()) {
      if (visible.module === other) bring(module.functions, visible.item.name.text, visible, 'function', item);
    }
  }

  function bring<T extends { readonly module: Module }>(
    map: Map<string, T>,
    name: string,
    value: T,
    what: string,
    item: Needed,
  ): void {
    const known = map.get(name);
    if (known === undefined) map.set(name, value);
    else if (known.module !== value.module) {
      const where = known.module === module ? 'this file has one too' : `${known.module.source.file} has one too`;
      report.error('E0404', item.pathSpan, `\`${item.path}\` brings a ${what} \`${name}\`, and ${where}`, 'rename one');
    }
  }
}

/** The function that a call in `module` means: its own, imported, or the library's. */
export function functionIn(module: Module, name: string): VisibleFunction | undefined {
  const own = module.functions.get(name);
  if (own !== undefined) return own;
  const item = preludeFunctions().get(name);
  return item === undefined ? undefined : { item, module: emptyModule };
}

const emptySource: Source = { file: '<library functions>', text: '' };

/** Where the library functions' bodies look functions up: nowhere but among themselves. */
const emptyModule: Module = {
  source: emptySource,
  file: { ...emptySource, imports: [], functions: [], structures: [], items: [], comments: [] },
  structures: new Map(),
  functions: new Map(),
  fillers: new Map(),
};
