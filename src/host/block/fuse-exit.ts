/**
 * Keeps `process.exit()` and an uncaught exception from hanging for ever, device frozen, without an answer.
 * On `exit` every connection still alive is aborted by `umount -f`. Without that:
 *
 * - mount(8), which has /dev/fuse open too, waits for the answer of its server: for ever, without one.
 * - Node joins libuv's threads on its way out, and a thread parked in read(2) on /dev/fuse comes back only
 *   when the kernel ends the connection (fuse-parked.ts).
 *
 * The dirty page cache of a device needs no abort: low-descriptor.ts has the order in which the kernel closes
 * our files.
 *
 * It costs nothing that the end of the process would not cost anyway: with its last descriptor the
 * connection ends and I/O fails.
 *
 * `umount -f` reports "busy" while a loop device uses the file, but aborts first; its result is of
 * no interest here.
 */
import { spawnSync } from 'node:child_process';

const UNMOUNT_TIMEOUT_MS = 5000;

const mountPoints = new Set<string>();

function abortAll(): void {
  for (const mountPoint of mountPoints) {
    const options = { timeout: UNMOUNT_TIMEOUT_MS, stdio: 'ignore' } as const;
    spawnSync('umount', ['-i', '-c', '-f', mountPoint], options);
  }
}

/** Registers a mount that this process serves. */
export function abortAtExit(mountPoint: string): void {
  if (mountPoints.size === 0) process.on('exit', abortAll);
  mountPoints.add(mountPoint);
}

/** It is served no more. */
export function forgetAtExit(mountPoint: string): void {
  mountPoints.delete(mountPoint);
  if (mountPoints.size === 0) process.off('exit', abortAll);
}
