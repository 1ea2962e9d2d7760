/**
 * The series that comes with the package: made by rule, so that what can be forecast of it is known exactly. Hours; ε, ε′, ε″ are
 * independent standard normals, drawn from (seed, stream, hour).
 *
 *   weather[t] = 0.9 weather[t − 1] + √0.19 ε[t]                         variance 1, forgotten in about ten hours
 *   load[t]    = 2 sin(2π t / 24) + weather[t]                          what is left of it after h hours: 1 − 0.81ʰ
 *   echo[t]    = weather[t − 24] + 0.3 ε′[t]                             the other column a day before: 0.09 for a day
 *   tide[t]    = sin(2π t / 12.42) + ½ sin(2π t / 25.82) + 0.2 ε″[t]     periods that no day holds: 0.04
 *
 * So a model gains by carrying periods on, by looking a day back, and by looking there into another column.
 */
import { drawNormal } from '../../compiler/ir/philox.ts';
import type { SeriesTable } from './series-table.ts';

const rows = 365 * 24;
const seed = 2024;
const streams = { weather: 0, echo: 1, tide: 2 } as const;
const memory = 0.9;
const delay = 24;
const noise = { echo: 0.3, tide: 0.2 } as const;
/** Hours before the first row, after which the weather has forgotten that it began. */
const lead = 200;

export const madeName = 'made series';

export function madeSeries(): SeriesTable {
  const draw = (stream: keyof typeof streams, hour: number) => drawNormal(seed, streams[stream], 0, hour);
  const weather = [0];
  for (let hour = 1; hour < lead + rows; hour += 1) {
    weather.push(memory * weather[hour - 1] + Math.sqrt(1 - memory ** 2) * draw('weather', hour));
  }
  const wave = (hour: number, period: number) => Math.sin((2 * Math.PI * hour) / period);
  const values = Float64Array.from({ length: 3 * rows }, (_, i) => {
    const hour = lead + Math.floor(i / 3);
    if (i % 3 === 0) return 2 * wave(hour, 24) + weather[hour];
    if (i % 3 === 1) return weather[hour - delay] + noise.echo * draw('echo', hour);
    return wave(hour, 12.42) + wave(hour, 25.82) / 2 + noise.tide * draw('tide', hour);
  });
  return {
    name: madeName,
    columns: ['load', 'echo', 'tide'],
    rows,
    values,
    place: (row) => `row ${row + 1}`,
    leastVariance,
  };
}

/** `ahead` counts from 1. */
function leastVariance(column: number, ahead: number): number {
  const forgotten = (hours: number) => 1 - memory ** (2 * Math.max(0, hours));
  return [forgotten(ahead), noise.echo ** 2 + forgotten(ahead - delay), noise.tide ** 2][column];
}
