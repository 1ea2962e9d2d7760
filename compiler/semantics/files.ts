/**
 * Files: the first stage. Reads the main file and all that it imports, and says which structures and functions each can
 * see.
 *
 * A file sees its own and those of the files it imports, not those that these import in turn. The same file reached on
 * two ways is one file. The trap: imports may be circular or a chain of any length, so they are walked with a stack of
 * our own.
 */
import type { FunctionItem, Identifier, ImportItem, SourceFile, Structure } from '../syntax/ast.ts';
import type { Diagnostic, Source } from '../syntax/diagnostic.ts';
import { parse } from '../syntax/parser.ts';
import { preludeFunctions } from './prelude.ts';
import type { Report } from './report.ts';

export interface Module {
  readonly source: Source;
  readonly file: SourceFile;
  readonly structures: Map<string, VisibleStructure>;
  readonly functions: Map<string, VisibleFunction>;
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
  readonly sources: readonly Source[];
  readonly syntaxErrors: boolean;
}

interface Imported {
  readonly item: ImportItem;
  readonly module: Module;
}

interface Visit {
  readonly module: Module;
  readonly imported: Imported[];
  next: number;
}

export function readFiles(source: Source, resolve: Resolve, report: Report, sources: Source[]): Files {
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
    const module: Module = { source: text, file: parsed.file, structures: new Map(), functions: new Map() };
    modules.set(text.file, module);
    return module;
  };

  const main = load(source);
  const stack: Visit[] = [{ module: main, imported: [], next: 0 }];
  const done = new Set<Module>();
  open.add(main.source.file);
  while (stack.length > 0) {
    const visit = stack[stack.length - 1];
    const { module } = visit;
    if (visit.next === module.file.imports.length) {
      collect(module, visit.imported, report);
      open.delete(module.source.file);
      done.add(module);
      stack.pop();
      continue;
    }
    const item = module.file.imports[visit.next++];
    const found = find(item, module, resolve, report);
    if (found === undefined) continue;
    if (open.has(found.file)) {
      const through = stack.slice(stack.findIndex((v) => v.module.source.file === found.file)).map((v) => v.module);
      const ring = [...through, module].map((m) => m.source.file);
      const message =
        found.file === module.source.file
          ? `\`${item.path}\` is this file itself`
          : `\`${item.path}\` imports this file: ${[...new Set(ring), found.file].join(' → ')}`;
      report.error('E0202', item.pathSpan, message, 'move what both files need into a third');
      continue;
    }
    const next = load(found);
    visit.imported.push({ item, module: next });
    if (!done.has(next)) {
      open.add(next.source.file);
      stack.push({ module: next, imported: [], next: 0 });
    }
  }
  return { main, sources, syntaxErrors };
}

function find(item: ImportItem, module: Module, resolve: Resolve, report: Report): Source | undefined {
  const found = resolve(item.path, module.source.file);
  if (found === undefined) {
    const library = !item.path.includes('/') && !item.path.endsWith('.mlbtc');
    const message = library ? `the library has no \`${item.path}\`` : `there is no file \`${item.path}\``;
    const relative = `paths are relative to ${module.source.file}`;
    const named = /[\p{L}\p{N}]/u.test(item.path) ? item.path : 'other';
    const help = library ? `for a file beside this one write \`import "${named}.mlbtc"\`` : relative;
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
    item: ImportItem,
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
};
