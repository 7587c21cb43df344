/**
 * Limits of FUSE connections that are changed while they serve: the files of fusectl, one directory a
 * connection, named by the minor device number of its mount.
 *
 * In a container /sys/fs/fuse/connections is there and empty: fusectl is mounted by the host's systemd,
 * for the host. So it is mounted here for as long as it takes to open its root, and then taken away
 * from the tree (umount -l): the open directory keeps it alive, and a process that is killed leaves
 * nothing behind.
 *
 * Lowering `max_background` takes back nothing: requests that the kernel has sent stay sent. It sends
 * no other one for data until there are fewer. (fs/fuse/control.c, dev.c; kernel test fuse-loop-held.)
 * `congestion_threshold` beside it only tells read-ahead to wait, which direct I/O has none of.
 */
import { closeSync, constants, openSync, statfsSync, writeSync } from 'node:fs';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import { exec } from '../exec.ts';
import { findByMountPoint, readMountInfo } from '../mount/mountinfo.ts';

const CONNECTIONS = '/sys/fs/fuse/connections';
/** FUSE_CTL_SUPER_MAGIC. */
const FUSECTL = 0x65735543;

/** fusectl of this machine. Made by `openFuseControl`; stays open as long as the process. */
export class FuseControl {
  readonly #root: number;

  constructor(root: number) {
    this.#root = root;
  }

  /** What sets the limit of the connection mounted there; undefined when there is no such, or it is not found. */
  async connection(mountPoint: string): Promise<ConnectionLimit | undefined> {
    try {
      const mounted = findByMountPoint(await readMountInfo(), mountPoint);
      if (mounted === undefined) return undefined;
      const folder = `/proc/self/fd/${String(this.#root)}/${String(mounted.minor)}`;
      return new ConnectionLimit(openSync(`${folder}/max_background`, 'w'));
    } catch {
      return undefined;
    }
  }
}

/** The open file of one connection: it means that one even when its number is used again. */
export class ConnectionLimit {
  #file: number | undefined;

  constructor(file: number) {
    this.#file = file;
  }

  /** Without effect on a connection that has ended. */
  set(requests: number): Result<void, string> {
    if (this.#file === undefined) return ok(undefined);
    try {
      writeSync(this.#file, String(requests));
      return ok(undefined);
    } catch (cause) {
      return err((cause as Error).message);
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** Opens fusectl, mounted or not. */
export async function openFuseControl(): Promise<Result<FuseControl, string>> {
  const directory = constants.O_RDONLY | constants.O_DIRECTORY;
  try {
    if (isFusectl()) return ok(new FuseControl(openSync(CONNECTIONS, directory)));
    const mounted = await exec('mount', ['-i', '-t', 'fusectl', 'fusectl', CONNECTIONS]);
    if (mounted.code !== 0) return err(mounted.failure ?? mounted.stderr.trim());
    try {
      return ok(new FuseControl(openSync(CONNECTIONS, directory)));
    } finally {
      await exec('umount', ['-i', '-l', CONNECTIONS]);
    }
  } catch (cause) {
    return err((cause as Error).message);
  }
}

function isFusectl(): boolean {
  return statfsSync(CONNECTIONS).type === FUSECTL;
}
