/**
 * mount(8) and umount(8), bounded in time. What is mounted where comes from mountinfo, never from
 * the exit code alone: "already mounted" and "not mounted" are states, not errors.
 *
 * umount of a filesystem whose device holds I/O blocks until the dirty pages are written. The
 * program is then left alone after its time limit: the mount is gone from the tree at once, the
 * kernel writes on, and the caller finds the device still claimed (O_EXCL) until it is done. Lazy
 * (`-l`) and forced umount were rejected: they report success for a filesystem that is still being
 * written.
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import { exec } from '../exec.ts';
import { findByMountPoint, readMountInfo } from './mountinfo.ts';

export interface MountError {
  readonly kind: 'busy' | 'timeout' | 'failed';
  /** One line. */
  readonly detail: string;
}

const MOUNT_TIMEOUT_MS = 90_000;
const UMOUNT_TIMEOUT_MS = 20_000;
/** More mounts on one path than retries can have stacked. */
const STACKED_MAX = 16;

/**
 * The path as mountinfo writes it: symbolic links above the last component resolved. The last one
 * is not looked at, because it may be a mount whose filesystem does not answer.
 */
export async function canonicalPath(path: string): Promise<string> {
  const parent = await realpath(dirname(path)).catch(() => dirname(path));
  return join(parent, basename(path));
}

/** Mounts a device. mount(8) is told the type, so it never guesses one. */
export async function mountFilesystem(
  device: string,
  target: string,
  fsType: string,
  options: readonly string[],
): Promise<Result<void, MountError>> {
  const all = options.length === 0 ? [] : ['-o', options.join(',')];
  return run('mount', ['-t', fsType, ...all, '--', device, target], MOUNT_TIMEOUT_MS);
}

/**
 * Makes `source` (directory or file) visible at `target`, read-only if asked: nothing stays on
 * failure.
 */
export async function bindMount(
  source: string,
  target: string,
  readOnly: boolean,
): Promise<Result<void, MountError>> {
  const bound = await run('mount', ['--bind', '--', source, target], MOUNT_TIMEOUT_MS);
  if (!bound.ok || !readOnly) return bound;
  // The kernel ignores "ro" while binding: it takes a second call (mount(2), NOTES on MS_BIND).
  const options = ['-o', 'remount,bind,ro', '--', target];
  const remounted = await run('mount', options, MOUNT_TIMEOUT_MS);
  if (!remounted.ok) await unmountAll(target);
  return remounted;
}

/** Unmounts until nothing is mounted at `target` (canonical), however often something was. */
export async function unmountAll(
  target: string,
  timeoutMs = UMOUNT_TIMEOUT_MS,
): Promise<Result<void, MountError>> {
  for (let i = 0; i < STACKED_MAX; i++) {
    if (findByMountPoint(await readMountInfo(), target) === undefined) return ok(undefined);
    // -c: looking at the target (stat, statfs) might wait for a filesystem that does not answer.
    const done = await run('umount', ['-c', '--', target], timeoutMs);
    if (!done.ok && findByMountPoint(await readMountInfo(), target) !== undefined) return done;
    if (!done.ok && done.error.kind === 'timeout') return done;
  }
  return err({ kind: 'failed', detail: `${target} is still mounted after ${STACKED_MAX} umounts` });
}

async function run(
  program: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<Result<void, MountError>> {
  const { code, stderr, failure } = await exec(program, args, { timeoutMs });
  if (code === 0) return ok(undefined);
  if (failure !== undefined) {
    return err({
      kind: failure.includes('did not finish') ? 'timeout' : 'failed',
      detail: failure,
    });
  }
  const detail = oneLine(stderr) || `${program} ended with code ${String(code)}`;
  return err({ kind: /busy/i.test(stderr) ? 'busy' : 'failed', detail });
}

/** The first two lines of a program's complaint as one. */
export function oneLine(text: string): string {
  const lines = text.split('\n').map((line) => line.trim());
  return lines
    .filter((line) => line !== '' && !line.startsWith('dmesg(1)'))
    .slice(0, 2)
    .join(' ');
}
