/**
 * Reading ahead: what a stage of a tile puts into workgroup memory first is read while the stage before it is computed, and what it puts
 * there next while it multiplies, so that no lane waits for memory between two barriers.
 *
 *   S: put q and k, multiply      v, read during S: put, multiply      …      k of the next tile, read during the last stage
 */
import { guarded, plus } from '../../wgsl/text.ts';
import { type StreamCode, sizesOf } from './code.ts';

/** What a stage has read: a variable for each quad of a lane. */
export interface Ahead {
  readonly variables: readonly string[];
  /** Reads what the stage puts first, of the tile of the walk that begins at `walk`. */
  readonly first: (walk: string) => string;
}

/** A part of a tile's code. */
export interface Stage {
  readonly text: string;
  readonly ahead?: Ahead;
}

/** Variables for as many quads as each lane has of `count`. */
export function aheadVariables(count: number, w: StreamCode): readonly string[] {
  const turns = Math.ceil(count / sizesOf(w.tuning).threads);
  return Array.from({ length: turns }, () => w.emitter.fresh('ahead'));
}

/** The stages of a tile with what each reads for the next one; `before`: what the first one needs before the walk. */
export function inFlight(
  stages: readonly Stage[],
  w: StreamCode,
): { readonly before: readonly string[]; readonly lines: readonly string[] } {
  const { tileColumns } = sizesOf(w.tuning);
  const reading = stages.filter(({ ahead }) => ahead !== undefined);
  const declared = ({ variables }: Ahead) => variables.map((name) => `var ${name} = vec4<f32>();`);
  const lines = stages.flatMap(({ text, ahead }): readonly string[] => {
    if (ahead === undefined) return [text];
    const next = reading[reading.findIndex((stage) => stage.ahead === ahead) + 1]?.ahead;
    if (next !== undefined) return [...declared(next), next.first('walk_start'), text];
    const start = plus('walk_start', tileColumns);
    const further = guarded([`${start} < walk_to`], reading[0].ahead!.first(start));
    // A single stage's variables are its own until it has put them.
    return reading.length === 1 ? [text, further] : [further, text];
  });
  const [first] = reading;
  const before =
    first === undefined
      ? []
      : [...declared(first.ahead!), guarded(['walk_first < walk_to'], first.ahead!.first('walk_first'))];
  return { before, lines };
}
