/** What a person sees while data are prepared. */
import { bytesText, counted } from '../../compiler/command-line/amounts.ts';
import { bar, type Drawing, drawProgress, durationText, fitting, joined, type ProgressOutput } from '../progress.ts';
import type { PrepareProgress } from './prepare.ts';

interface PrepareState extends PrepareProgress {
  readonly bytesPerSecond: number;
}

export interface PrepareDrawing extends Omit<Drawing<PrepareProgress>, 'update'> {
  readonly update: (progress: PrepareProgress) => void;
}

/** Speed is that since something was done here for the first time: what an earlier process has read does not count. */
export function drawPreparing(output: ProgressOutput, nowMs: () => number = () => performance.now()): PrepareDrawing {
  const drawing = drawProgress<PrepareState>(
    {
      line: prepareLine,
      plain: plainLine,
      place: ({ doneBytes, doing }) => (doing === 'reading' ? doneBytes : -doneBytes),
    },
    output,
    nowMs,
  );
  let since: { readonly doing: string; readonly doneBytes: number; readonly ms: number } | undefined;
  return {
    ...drawing,
    update: (progress) => {
      const ms = nowMs();
      if (since?.doing !== progress.doing) since = { doing: progress.doing, doneBytes: progress.doneBytes, ms };
      const seconds = (ms - since.ms) / 1000;
      drawing.update({
        ...progress,
        bytesPerSecond: seconds > 0 ? (progress.doneBytes - since.doneBytes) / seconds : 0,
      });
    },
  };
}

export function prepareLine(state: PrepareState, width: number): string {
  const { doing, doneBytes, totalBytes } = state;
  const part = totalBytes === 0 ? 1 : doneBytes / totalBytes;
  const percent = `${Math.floor(100 * part)}%`;
  return fitting(
    [
      `${bar(part)} ${plainLine(state)}`,
      plainLine(state),
      joined(doing, amount(state), left(state)),
      joined(doing, percent, left(state)),
      `${doing} ${percent}`,
      percent,
    ],
    width,
  );
}

function plainLine(state: PrepareState): string {
  const speed = state.bytesPerSecond > 0 ? `${bytesText(state.bytesPerSecond)}/s` : '';
  return joined(state.doing, amount(state), counted(state.documents, 'document'), speed, left(state));
}

function amount({ doneBytes, totalBytes }: PrepareState): string {
  return `${bytesText(doneBytes)} of ${bytesText(totalBytes)}`;
}

function left({ doneBytes, totalBytes, bytesPerSecond }: PrepareState): string {
  return bytesPerSecond > 0 ? `${durationText((totalBytes - doneBytes) / bytesPerSecond)} left` : '';
}
