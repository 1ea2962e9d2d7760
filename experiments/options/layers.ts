/**
 * Sources of options over one another: a preset, a run's config, the command line; each overrides those before. Which of them gave a value,
 * and over what, is kept: a run's `config.yaml` notes it, and a person hears where two disagree.
 *
 *   preset tiny: d_model 32, steps 1400;  the command line: steps 500   →   d_model 32, of preset tiny
 *                                                                           steps 500, of the command line, over 1400 of preset tiny
 *
 * The trap: some options are one choice under several names (a score, a text). A source that says one of them takes back what earlier
 * sources said under the others.
 */
import type { Layer } from './layer-file.ts';
import type { SizeValue } from './mixers.ts';
import type { OptionSet } from './set.ts';
import { type OptionTable, showValue } from './table.ts';

export interface SourceLayer extends Layer {
  /** `preset tiny`, `runs/a/config.yaml`, `the command line`. */
  readonly source: string;
}

export interface Origin {
  readonly source: string;
  readonly value: unknown;
  /** What earlier sources said otherwise, the latest first. */
  readonly over: readonly { readonly source: string; readonly value: unknown }[];
}

export interface Layered {
  readonly given: Readonly<Record<string, unknown>>;
  /** Of every option that a source gave, and of sizes under `-s NAME`. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly sizes: Readonly<Record<string, SizeValue>>;
}

export function layered(set: Pick<OptionSet<OptionTable>, 'alternatives'>, layers: readonly SourceLayer[]): Layered {
  const origins = new Map<string, Origin>();
  for (const { source, values, sizes } of layers) {
    const ofSizes = Object.fromEntries(Object.entries(sizes).map(([name, value]) => [`-s ${name}`, value]));
    for (const [name, value] of Object.entries({ ...takenBack(set, values), ...values, ...ofSizes })) {
      const before = origins.get(name);
      const isOther = before !== undefined && showValue(before.value) !== showValue(value);
      const over = isOther ? [{ source: before.source, value: before.value }, ...before.over] : (before?.over ?? []);
      origins.set(name, { source, value, over });
    }
  }
  const given = [...origins].filter(([name]) => !name.startsWith('-s ')).map(([name, { value }]) => [name, value]);
  return {
    given: Object.fromEntries(given),
    origins,
    sizes: Object.assign({}, ...layers.map(({ sizes }) => sizes)),
  };
}

/** The other names of a choice that these values make. */
function takenBack(
  { alternatives }: Pick<OptionSet<OptionTable>, 'alternatives'>,
  values: Layer['values'],
): Layer['values'] {
  const isGiven = (name: string) => values[name] !== undefined && values[name] !== null;
  const others = alternatives
    .filter((names) => names.some(isGiven))
    .flatMap((names) => names.filter((name) => !isGiven(name)));
  return Object.fromEntries(others.map((name) => [name, null]));
}

/** One note for each source that others were overridden by. */
export function overridingNotes(origins: Layered['origins']): readonly string[] {
  const overridden = [...origins].filter(([, { value, over }]) => over.length > 0 && showValue(value) !== 'none');
  const sources = [...new Set(overridden.map(([, { source }]) => source))];
  return sources.map((source) => {
    const told = overridden
      .filter(([, origin]) => origin.source === source)
      .map(
        ([name, { value, over }]) =>
          `${name} ${showValue(value)}, not ${showValue(over[0].value)} of ${over[0].source}`,
      );
    return `note: by ${source} ${told.join('; ')}`;
  });
}

/** What `config.yaml` says behind a value: who gave one that is not the default, and who said otherwise. */
export function toldOrigins(
  { table }: Pick<OptionSet<OptionTable>, 'table'>,
  options: Readonly<Record<string, unknown>>,
  origins: Layered['origins'],
): Readonly<Record<string, string>> {
  const told = [...origins].filter(([name, { over }]) => {
    const isUsual = name in table && showValue(options[name]) === showValue(table[name].fallback);
    return over.length > 0 || !isUsual;
  });
  return Object.fromEntries(told.map(([name, origin]) => [name, originText(origin)]));
}

function originText({ source, over }: Origin): string {
  return [source, ...over.map((other) => `over ${showValue(other.value)} of ${other.source}`)].join(', ');
}
