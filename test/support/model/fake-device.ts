/** A device that nobody has tampered with and that does whatever is asked of it. */
import { ok } from '../../../src/base/result.ts';
import type { ExportedDevice } from '../../../src/ports/block.ts';

export function fakeDevice(is: Partial<ExportedDevice> = {}): ExportedDevice {
  const done = async (): ReturnType<ExportedDevice['resize']> => ok(undefined);
  return {
    path: '/dev/loop9',
    backingFile: '/run/v/disk',
    inspect: async () => ({ kind: 'fine' }),
    sync: done,
    resize: done,
    detach: done,
    ...is,
  };
}
