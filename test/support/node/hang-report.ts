/**
 * What a test waits for that does not come to its end: printed to stderr while it hangs, because its time
 * limit tells nothing but that it was reached. By a thread of its own that reads /proc and /sys
 * synchronously: it also works while the test's thread, or every thread of libuv, waits in the kernel.
 */
import { Worker } from 'node:worker_threads';

/** Prints a report each `everyMs` until it is called off. */
export function reportHang(what: string, everyMs = 30_000): () => Promise<void> {
  const workerData = { what, everyMs, pid: process.pid };
  const file = new URL('hang-report-worker.ts', import.meta.url);
  const worker = new Worker(file, { workerData, execArgv: [] });
  worker.unref();
  return async () => {
    await worker.terminate();
  };
}
