/**
 * Keeps `process.exit()` and an uncaught exception from hanging for ever.
 *
 * Node joins libuv's threads on its way out, and a thread parked in read(2) on /dev/fuse comes back only
 * when the kernel ends the connection. A process that crashed would stay like that, descriptor open,
 * device frozen, without an answer (measured: exit and throw hang, signals do not). So on `exit` every
 * connection still alive is aborted by `umount -f`. That costs nothing that the end of the process would
 * not cost anyway: with its last descriptor the connection ends and I/O fails.
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

/** Registers a mount with readers parked on it. */
export function abortAtExit(mountPoint: string): void {
  if (mountPoints.size === 0) process.on('exit', abortAll);
  mountPoints.add(mountPoint);
}

/** The readers have come back. */
export function forgetAtExit(mountPoint: string): void {
  mountPoints.delete(mountPoint);
  if (mountPoints.size === 0) process.off('exit', abortAll);
}
