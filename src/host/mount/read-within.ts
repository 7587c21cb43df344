/**
 * Reads of a device that may never answer: a back end that hangs keeps a read in the kernel, where
 * nothing can end it. The wait for it has a limit. The read and its descriptor stay until the device
 * answers or is gone.
 */
import { type FileHandle, open } from 'node:fs/promises';

/** Of what is read to know a filesystem: kilobytes at both ends. */
export const DEVICE_READ_MS = 30_000;

/** The device did not answer in time; the message says which, and what to look at. */
export class Unanswered extends Error {
  constructor(device: string, timeoutMs: number) {
    super(
      `${device} did not answer a read within ${String(timeoutMs)} ms: look at the paths of its volume ` +
        '(`priority-path status`); it is tried again',
    );
    this.name = 'Unanswered';
  }
}

/**
 * Opens `device` and has it read. Rejects with what the system says, or with Unanswered.
 */
export async function readWithin<T>(
  device: string,
  timeoutMs: number,
  read: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  const work = (async () => {
    const handle = await open(device, 'r');
    // A close waits for reads under way, so it is not awaited.
    return await read(handle).finally(() => void handle.close().catch(() => undefined));
  })();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Unanswered(device, timeoutMs)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}
