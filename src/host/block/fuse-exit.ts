/**
 * Keeps `process.exit()` and an uncaught exception from hanging for ever, device frozen, without an answer.
 * On `exit` every connection still alive is aborted by `umount -f`. Without that:
 *
 * - The kernel closes the files of a dead process one after the other. Where the page cache of a device
 *   is dirty and the descriptor that we hold of it (fuse-loop-device.ts) is the last one, its close waits
 *   until the cache is written: by a server that does not answer any more, and whose /dev/fuse is not closed
 *   yet. (Measured, state D in bdev_release. A process that is killed hangs like that.)
 * - mount(8), which has /dev/fuse open too, waits for the answer of its server: for ever, without one.
 * - Node joins libuv's threads on its way out, and a thread parked in read(2) on /dev/fuse comes back only
 *   when the kernel ends the connection (fuse-parked.ts).
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
