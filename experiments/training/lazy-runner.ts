/** A runner that is made when it is first asked for, such as that of an evaluation. */
import type { DeviceRunner } from './device-runner.ts';

export type Upload = (name: string, data: Int32Array | Float32Array) => void;

/** Uploads what the program reads: with a pool there may be no `step`, without one there is no `example`. */
export function uploadWhereRead({ plan, upload }: DeviceRunner): Upload {
  const inputs = new Set(plan.inputs);
  return (name, data) => {
    if (inputs.has(name)) upload(name, data);
  };
}

export function lazyRunner(make: () => Promise<DeviceRunner>) {
  let made: Promise<DeviceRunner> | undefined;
  return {
    get: () => {
      made ??= make();
      return made;
    },
    destroy: () =>
      void made?.then(
        (runner) => runner.destroy(),
        () => undefined,
      ),
  };
}
