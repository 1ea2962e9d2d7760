/**
 * What the code of one dispatch collects while its bodies are written: identifiers, the buffers that it binds, the library
 * functions that it calls. Every family writes through one `Emitter`; `emit.ts` then puts the declarations before what
 * the families wrote.
 *
 * The trap: names and bindings are numbered in the order in which they are asked for, so the order of calls is part of
 * the text.
 */
import type { Dtype } from '../../compiler/ir/program.ts';
import type { KernelBinding, Layouts, TensorLayout } from '../kernel.ts';
import type { Target } from '../target.ts';
import { libraryCode } from './library.ts';
import { type NameSuffix, Names } from './names.ts';
import { operand } from './text.ts';

/** WGSL of a buffer's elements; two f16 share a word. */
const elementTypes: Readonly<Record<Dtype, string>> = { f32: 'f32', i32: 'i32', f16: 'u32' };

/** One buffer of the dispatch, whatever tensors live in it. */
interface Slot {
  readonly name: string;
  readonly dtype: Dtype;
  readonly tensors: string[];
  readonly cutsQuad: boolean;
  written: boolean;
  /** How anything reads or writes it. */
  readonly read: Set<SlotForm>;
}

/** What a buffer is an array of: four elements at a time, or single ones. */
export type SlotForm = 'quads' | 'elements';

export class Emitter {
  private readonly names = new Names();
  private readonly slots = new Map<string, Slot>();
  private readonly library = new Set<string>();
  private readonly symbols = new Map<string, string>();
  private hasHiddenBound = false;

  constructor(
    private readonly layouts: Layouts,
    readonly target: Target,
    /** Of slots for which it is decided. */
    private readonly forms: ReadonlyMap<string, SlotForm> = new Map(),
  ) {}

  /** What follows is another body: it knows no variables of the one before. */
  openBody(): void {
    this.names.openBody();
    this.symbols.clear();
    this.hasHiddenBound = false;
  }

  /** A new identifier for a variable of the compiler's own. */
  fresh(word: string): string {
    return this.names.ours(word);
  }

  /** A new identifier for a function: bodies stand side by side, and each may have one that it calls so. */
  global(word: string): string {
    return this.names.ours(word, 'module');
  }

  /** A new identifier for what the user calls so. */
  named(name: string, suffix: NameSuffix | '' = ''): string {
    return this.names.theirs(shortName(name), suffix);
  }

  /** A new identifier for a tensor's element: the tensor's own name, unless its buffer has it. */
  value(tensor: string, stored: boolean): string {
    return this.named(tensor, stored || this.slots.has(this.layouts(tensor).slot) ? 'value' : '');
  }

  layout(tensor: string): TensorLayout {
    return this.layouts(tensor);
  }

  /**
   * A loop's constant bound. Where the driver unrolls loops, `zero` is added, which it does not know to be 0. Only
   * there: on SwiftShader, which does not unroll, steps took up to 15 % longer with it.
   */
  bound(extent: number): string {
    if (!this.target.unrollsLoops) return String(extent);
    this.hasHiddenBound = true;
    return `${extent} + zero`;
  }

  /** The name of an axis's one value, that of an i32 scalar (`Axis.symbol`). */
  symbol(tensor: string): string {
    const known = this.symbols.get(tensor);
    if (known !== undefined) return known;
    const name = this.fresh('symbol');
    this.symbols.set(tensor, name);
    this.slot(tensor, 'elements');
    return name;
  }

  /** The lines that `bound` and `symbol` need at the head of the body, where they were used; `number` is the same in all of a workgroup. */
  head(number = 'group'): string {
    const symbols = [...this.symbols].map(([tensor, name]) => `let ${name} = ${this.reads(tensor, '0')};`);
    const zero = `let zero = min(i32(${number}), 0); // hides the bounds of loops`;
    return [...symbols, ...(this.hasHiddenBound ? [zero] : [])].join('\n');
  }

  use(libraryFunction: string): void {
    this.library.add(libraryFunction);
  }

  private slot(tensor: string, form: SlotForm): Slot {
    const layout = this.layouts(tensor);
    let slot = this.slots.get(layout.slot);
    if (!slot) {
      slot = {
        name: this.names.theirs(shortName(tensor), '', 'module'),
        dtype: layout.dtype,
        tensors: [],
        cutsQuad: layout.cutsQuad ?? false,
        written: false,
        read: new Set(),
      };
      this.slots.set(layout.slot, slot);
    }
    if (!slot.tensors.includes(tensor)) slot.tensors.push(tensor);
    slot.read.add(form);
    return slot;
  }

  /** A tensor's element at a flat offset (WGSL), to read: of f16 the word that is there. */
  reads(tensor: string, offset: string): string {
    const { slot } = this.layouts(tensor);
    const { name } = this.slot(tensor, 'elements');
    const at = this.within(tensor, offset);
    return this.forms.get(slot) === 'quads' ? `${name}[${quadOf(at)}][${operand(at)} & 3]` : `${name}[${at}]`;
  }

  /** The four elements from a flat offset on, a multiple of 4; undefined where the buffer is bound as elements. */
  readsQuad(tensor: string, offset: string): string | undefined {
    if (this.forms.get(this.layouts(tensor).slot) === 'elements') return undefined;
    return `${this.slot(tensor, 'quads').name}[${quadOf(this.within(tensor, offset))}]`;
  }

  /**
   * Slots that were asked for both as quads and as elements, and what they shall be: all must be written again. Single elements
   * can be read out of quads, but not written: WGSL lets a device write the whole quad. Nor where the last ones are no whole quad.
   */
  contested(): ReadonlyMap<string, SlotForm> {
    const both = [...this.slots].filter(([slot, { read }]) => read.size > 1 && !this.forms.has(slot));
    return new Map(both.map(([slot, { written, cutsQuad }]) => [slot, written || cutsQuad ? 'elements' : 'quads']));
  }

  /** The same to write. Throws for f16: two elements share a word, which no family writes yet. */
  writes(tensor: string, offset: string): string {
    if (this.layouts(tensor).dtype === 'f16') throw new Error(`${tensor} is f16, which kernels read but do not write`);
    const slot = this.slot(tensor, 'elements');
    slot.written = true;
    return `${slot.name}[${this.within(tensor, offset)}]`;
  }

  /** The place of four elements from a flat offset on, a multiple of 4; undefined where the buffer is bound as elements. */
  writesQuad(tensor: string, offset: string): string | undefined {
    if (this.forms.get(this.layouts(tensor).slot) === 'elements') return undefined;
    const slot = this.slot(tensor, 'quads');
    slot.written = true;
    return `${slot.name}[${quadOf(this.within(tensor, offset))}]`;
  }

  /** WGSL (u32) of a 0 that no compiler can know to be one: the buffer of a tensor that the code writes is not empty. */
  unknownZero(tensor: string): string {
    const { name } = this.slots.get(this.layouts(tensor).slot)!;
    return `u32(arrayLength(&${name}) == 0u)`;
  }

  /** The offset in the binding: a tensor may begin somewhere inside. */
  private within(tensor: string, offset: string): string {
    const { dtype, start } = this.layouts(tensor);
    if (start === 0) return offset;
    const words = dtype === 'f16' ? start / 2 : start;
    return offset === '0' ? String(words) : `${offset} + ${words}`;
  }

  bindings(): KernelBinding[] {
    return [...this.slots].map(([slot, { tensors, written, dtype }]) => ({
      slot,
      tensors,
      access: written ? 'read_write' : 'read',
      dtype,
    }));
  }

  /** `@group(0) @binding(i) var<storage, …>` lines; a slot in `readWrite` is bound for writing whatever the kernel does. */
  declarations(readWrite: (slot: string) => boolean): string {
    return [...this.slots]
      .map(([key, { name, written, dtype, read }], i) => {
        const access = written || readWrite(key) ? 'read_write' : 'read';
        const inQuads = this.forms.get(key) === 'quads' || (read.has('quads') && read.size === 1);
        const elements = inQuads ? 'vec4<f32>' : elementTypes[dtype];
        return `@group(0) @binding(${i}) var<storage, ${access}> ${name}: array<${elements}>;`;
      })
      .join('\n');
  }

  libraryText(): string {
    return libraryCode(this.library);
  }

  /** The text without the names in it (`Names.takenOut`). */
  canonical(text: string): string {
    return this.names.takenOut(text);
  }
}

/** The last two members of a name are enough in a kernel: `h.3.attn.q` is `attn.q`, whichever layer it is for. */
function shortName(name: string): string {
  const parts = name.split('.').filter((part) => !/^\d+$/.test(part));
  return parts.slice(-2).join('.');
}

/** The number of the quad that holds the element at an offset. */
const quadOf = (offset: string): string => `${operand(offset)} >> 2u`;
