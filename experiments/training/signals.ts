/**
 * What signals ask of a run that trains. Ctrl-C, SIGTERM and SIGHUP: write a checkpoint and end. SIGUSR1 and SIGUSR2, which
 * schedulers send some time before they kill: write one and go on. A second Ctrl-C: leave at once.
 *
 * The traps: SIGUSR1 would start Node's debugger and SIGUSR2 end the process, so both are listened to from the first moment.
 * A terminal that is closed, or a scheduler, may well send several of SIGHUP and SIGTERM; only a second Ctrl-C is impatience.
 * And leaving by `process.exit` runs the destructors of a GPU driver whose threads are still at work, which crashes; so the
 * process leaves by the signal itself, which is 130 to a shell as well.
 */
export interface SignalRequests {
  /** Whether the run is to end. */
  readonly endAsked: () => boolean;
  /** Whether a checkpoint was asked for since this was last called. */
  readonly takeCheckpointAsked: () => boolean;
  /** Resolves as soon as something is asked that was not answered yet. */
  readonly asked: () => Promise<void>;
  /** Listens no longer. */
  readonly stop: () => void;
}

const endSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const checkpointSignals = ['SIGUSR1', 'SIGUSR2'] as const;
type Signal = (typeof endSignals)[number] | (typeof checkpointSignals)[number];

/** `onEndAsked` is called once, `beforeLeaving` when there is no more waiting. */
export function listenForSignals(hooks: {
  readonly onEndAsked: () => void;
  readonly beforeLeaving: () => void;
}): SignalRequests {
  let endAsked = false;
  let checkpointAsked = false;
  let tell: () => void = () => undefined;
  const onEnd = (signal: Signal) => {
    if (endAsked) {
      if (signal === 'SIGINT') leave();
      return;
    }
    endAsked = true;
    tell();
    hooks.onEndAsked();
  };
  const onCheckpoint = () => {
    checkpointAsked = true;
    tell();
  };
  const stop = () => {
    for (const signal of endSignals) process.off(signal, onEnd);
    for (const signal of checkpointSignals) process.off(signal, onCheckpoint);
  };
  const leave = () => {
    stop();
    hooks.beforeLeaving();
    process.kill(process.pid, 'SIGINT');
  };
  for (const signal of endSignals) process.on(signal, onEnd);
  for (const signal of checkpointSignals) process.on(signal, onCheckpoint);
  return {
    endAsked: () => endAsked,
    takeCheckpointAsked: () => {
      const asked = checkpointAsked;
      checkpointAsked = false;
      return asked;
    },
    asked: () =>
      new Promise((resolve) => {
        tell = resolve;
        if (endAsked || checkpointAsked) resolve();
      }),
    stop,
  };
}
