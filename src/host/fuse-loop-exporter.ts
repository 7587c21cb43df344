/**
 * Block devices without a kernel module of our own kind: a FUSE file system of one file, and a loop
 * device with direct I/O over that file. For kernels without nbd.
 *
 *   <runDir>/<volumeId>/fuse        the mount point
 *   <runDir>/<volumeId>/fuse/disk   the file, backing /dev/loopN
 *
 * What exists is read from the kernel (mount table, /sys/block/loopN/loop), never from notes of our
 * own: after a crash notes are what is wrong. The backing file's path is the device's identity, the
 * loop number is not.
 *
 * Taking a device away, in this order: nobody has it open (O_EXCL, then /proc for names); its cache is
 * flushed while an error can still be reported; `losetup -d`; the kernel confirms that it is gone;
 * `umount -f`, which ends the connection even if a copy of the mount lives in another mount namespace;
 * the readers come back; the descriptor is closed. By force: the connection is aborted first, which
 * fails everything pending and later, and the device goes at its last close, be it minutes later. The
 * dead mount under it stays till then (the loop device keeps it busy) and is taken by `cleanUp`.
 *
 * A process that is killed leaves the same: a dead mount (ENOTCONN), perhaps with a loop device on it,
 * perhaps with somebody's file system on that.
 */
import { mkdir, open, realpath, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BlockExporter, BlockSource, ExportError, ExportedDevice } from '../volume/ports.ts';
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import { assert } from '../base/assert.ts';
import { DISK_NAME } from '../protocol/fuse/wire.ts';
import { describeHolders, findHolders, openExclusive } from './device-holders.ts';
import { exec } from './exec.ts';
import { BufferPool } from './fuse-buffers.ts';
import type { FuseServer } from './fuse-server.ts';
import { startFuseServer, unmountFuse } from './fuse-server.ts';
import { hasThreadsFor } from './fuse-threads.ts';
import type { LoopDevice } from './loop.ts';
import {
  attachLoop,
  detachLoop,
  findLoops,
  isLoopGone,
  listLoops,
  loopSizeBytes,
  readQueueAttribute,
  refreshLoopSize,
  setQueueAttribute,
} from './loop.ts';
import { findByMountPoint, readMountInfo } from './mountinfo.ts';

export interface FuseLoopOptions {
  /** Holds one directory per volume; made when missing. Not shared with another exporter process. */
  readonly runDir: string;
  /** One line about something unexpected. */
  readonly log?: (message: string) => void;
}

const MOUNT_NAME = 'fuse';
/** An open by udev or blkid is over within this time; whoever stays longer is a holder. */
const PASSING_HOLDER_MS = 1000;
const PASSING_HOLDER_LOOKS = 5;
const GONE_TIMEOUT_MS = 5000;
/** By force, nobody waits long for what goes by itself later. */
const FORCED_GONE_TIMEOUT_MS = 500;
const RESIZE_ATTEMPTS = 50;
const POLL_MS = 10;

function busy(path: string, holders: string): Result<never, ExportError> {
  return err({ kind: 'busy', detail: `${path} is in use: ${holders}` });
}

/** Polls until `holds` is true; false at the time limit. */
async function waitUntil(holds: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const attempts = Math.ceil(timeoutMs / POLL_MS);
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (await holds()) return true;
    await delay(POLL_MS);
  }
  return holds();
}

/** Nobody has the device open, or who has. */
async function checkUnused(path: string): Promise<Result<void, ExportError>> {
  for (let attempt = 1; ; attempt++) {
    const exclusive = await openExclusive(path);
    if (!exclusive.ok && exclusive.error.kind === 'no-device') return ok(undefined);
    const holders = await findHolders(path);
    if (exclusive.ok && holders.length === 0) return ok(undefined);
    // A mount does not pass by itself; an open by udev or blkid does.
    const stays = !exclusive.ok && holders.length > 0;
    if (stays || attempt === PASSING_HOLDER_LOOKS) return busy(path, describeHolders(holders));
    await delay(PASSING_HOLDER_MS / PASSING_HOLDER_LOOKS);
  }
}

/** A volume that this process serves. */
class FuseLoopDevice implements ExportedDevice {
  readonly #loop: LoopDevice;
  readonly #source: BlockSource;
  readonly #server: FuseServer;
  readonly #forget: () => Promise<void>;
  #gone = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(
    loop: LoopDevice,
    source: BlockSource,
    server: FuseServer,
    forget: () => Promise<void>,
  ) {
    this.#loop = loop;
    this.#source = source;
    this.#server = server;
    this.#forget = forget;
  }

  get path(): string {
    return this.#loop.path;
  }

  resize(): Promise<Result<void, ExportError>> {
    return this.#oneAtATime(() => this.#resize());
  }

  detach({ force }: { readonly force: boolean }): Promise<Result<void, ExportError>> {
    // By force does not queue behind a flush that waits for a dead volume.
    return force ? this.#detachByForce() : this.#oneAtATime(() => this.#detach());
  }

  #oneAtATime<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#running.then(run);
    this.#running = result.catch(() => undefined);
    return result;
  }

  async #resize(): Promise<Result<void, ExportError>> {
    if (this.#gone) return err({ kind: 'not-found', detail: `${this.path} was detached` });
    const { name } = this.#loop;
    const wanted = this.#source.sizeBytes;
    if (wanted < ((await loopSizeBytes(name)) ?? 0)) {
      return err({ kind: 'unsupported', detail: `${this.path} cannot shrink to ${wanted} bytes` });
    }
    for (let attempt = 0; attempt < RESIZE_ATTEMPTS; attempt++) {
      // Makes the kernel ask for the attributes. It ignores the answer when a write was completed
      // meanwhile (fuse_change_attributes), hence more than one attempt.
      await stat(this.#loop.backingFile).catch(() => undefined);
      const refreshed = await refreshLoopSize(this.path);
      if (!refreshed.ok) return refreshed;
      if ((await loopSizeBytes(name)) === wanted) return ok(undefined);
      await delay(POLL_MS);
    }
    return err({ kind: 'io', detail: `${this.path} does not take the size of ${wanted} bytes` });
  }

  async #detach(): Promise<Result<void, ExportError>> {
    if (this.#gone) return ok(undefined);
    const unused = await checkUnused(this.path);
    if (!unused.ok) return unused;
    const flushed = await this.#flush();
    if (!flushed.ok) return flushed;
    const asked = await detachLoop(this.path);
    if (!asked.ok) return asked;
    if (!(await waitUntil(() => isLoopGone(this.#loop), GONE_TIMEOUT_MS))) {
      // Somebody was faster. It will go when they close it; the next call finds out.
      return busy(this.path, describeHolders(await findHolders(this.path)));
    }
    return this.#endServer();
  }

  /** fsync(2) of the device: the kernel's cache, then FLUSH to the source. */
  async #flush(): Promise<Result<void, ExportError>> {
    // A process of its own: with no path alive it waits for as long as the volume does.
    if (this.#source.readOnly || (await isLoopGone(this.#loop))) return ok(undefined);
    const synced = await exec('sync', [this.path]);
    if (synced.code === 0) return ok(undefined);
    const reason = synced.failure ?? synced.stderr.trim();
    return err({ kind: 'io', detail: `cannot flush ${this.path}: ${reason}` });
  }

  async #detachByForce(): Promise<Result<void, ExportError>> {
    if (this.#gone) return ok(undefined);
    this.#server.fail();
    await unmountFuse(this.#server.mountPoint, { force: true });
    const asked = await detachLoop(this.path);
    const gone = await waitUntil(() => isLoopGone(this.#loop), FORCED_GONE_TIMEOUT_MS);
    if (gone) return this.#endServer();
    if (!asked.ok) return asked;
    await this.#server.closed;
    this.#gone = true;
    await this.#forget();
    return ok(undefined);
  }

  /** The loop device has let go: nothing can be lost by ending the connection. */
  async #endServer(): Promise<Result<void, ExportError>> {
    if (this.#gone) return ok(undefined);
    const ended = await removeMount(this.#server.mountPoint);
    if (!ended.ok) return ended;
    await this.#server.closed;
    this.#gone = true;
    await this.#forget();
    return ok(undefined);
  }
}

/** Unmounts whatever is mounted there, aborting its connection. */
async function removeMount(mountPoint: string): Promise<Result<void, ExportError>> {
  let last: Result<void, ExportError> = ok(undefined);
  // The loop device's file is released a moment after the device has gone.
  await waitUntil(async () => {
    if (findByMountPoint(await readMountInfo(), mountPoint) === undefined) {
      last = ok(undefined);
      return true;
    }
    last = await unmountFuse(mountPoint, { force: true });
    return false;
  }, PASSING_HOLDER_MS);
  return last;
}

class FuseLoopExporter implements BlockExporter {
  readonly kind = 'fuse-loop';
  readonly #runDir: string;
  readonly #log: (message: string) => void;
  readonly #pool = new BufferPool();
  /** Volumes attached, or on the way there, in this process. */
  readonly #serving = new Set<string>();

  constructor(options: FuseLoopOptions) {
    this.#runDir = options.runDir;
    this.#log = options.log ?? ((): void => undefined);
  }

  async preflight(): Promise<Result<void, ExportError>> {
    const refuse = (detail: string): Result<never, ExportError> =>
      err({ kind: 'unsupported', detail });
    for (const [device, module] of [
      ['/dev/fuse', 'fuse'],
      ['/dev/loop-control', 'loop'],
    ] as const) {
      try {
        await (await open(device, 'r+')).close();
      } catch (cause) {
        const why = (cause as Error).message;
        return refuse(
          `${why}: load the kernel module ${module}, mount the host's /dev, run as root`,
        );
      }
    }
    for (const program of ['mount', 'umount', 'losetup', 'sync']) {
      const found = await exec(program, ['--version']);
      if (found.code !== 0) {
        return refuse(`${found.failure ?? `${program} fails`}: install util-linux and coreutils`);
      }
    }
    return ok(undefined);
  }

  async attach(
    volumeId: string,
    source: BlockSource,
  ): Promise<Result<ExportedDevice, ExportError>> {
    const mountPoint = await this.#mountPoint(volumeId);
    if (this.#serving.has(volumeId)) {
      return err({ kind: 'busy', detail: `${volumeId} is attached in this process already` });
    }
    if (!hasThreadsFor(this.#serving.size + 1)) {
      const detail =
        'libuv has too few threads: start the process with a larger UV_THREADPOOL_SIZE';
      return err({ kind: 'unsupported', detail });
    }
    const cleaned = await this.cleanUp(volumeId);
    if (!cleaned.ok) return cleaned;
    this.#serving.add(volumeId);
    const attached = await this.#attach(volumeId, mountPoint, source);
    if (!attached.ok) this.#serving.delete(volumeId);
    return attached;
  }

  async #attach(
    volumeId: string,
    mountPoint: string,
    source: BlockSource,
  ): Promise<Result<ExportedDevice, ExportError>> {
    await mkdir(mountPoint, { recursive: true, mode: 0o700 });
    const { readOnly, blockSize } = source;
    const name = 'priority-path';
    const options = { mountPoint, name, source, pool: this.#pool, log: this.#log };
    const server = await startFuseServer(options);
    if (!server.ok) return server;
    const file = join(mountPoint, DISK_NAME);
    const loop = await attachLoop({ file, sectorBytes: blockSize, readOnly });
    if (!loop.ok) {
      await this.#abandon(volumeId, server.value);
      return loop;
    }
    const ready = await this.#setUpQueue(loop.value, source);
    if (!ready.ok) {
      await detachLoop(loop.value.path);
      await waitUntil(() => isLoopGone(loop.value), GONE_TIMEOUT_MS);
      await this.#abandon(volumeId, server.value);
      return ready;
    }
    return ok(
      new FuseLoopDevice(loop.value, source, server.value, async () => {
        this.#serving.delete(volumeId);
        await this.#removeFolders(volumeId);
      }),
    );
  }

  async #abandon(volumeId: string, server: FuseServer): Promise<void> {
    const removed = await removeMount(server.mountPoint);
    if (!removed.ok) this.#log(removed.error.detail);
    else await server.closed;
    await this.#removeFolders(volumeId);
  }

  /**
   * Queue settings outlive the file: the next user of this loop number gets what the last one left. So
   * whatever matters is set every time, and nothing is set that would harm somebody else after us: a
   * device without a volatile cache does not become "write through" (its flushes cost nothing anyway),
   * one without discard keeps `discard_max_bytes` (it answers EOPNOTSUPP): once that is 0, loop sets
   * the granularity to 0 as well and kernel 6.18 takes no other value until the device is removed.
   */
  async #setUpQueue(loop: LoopDevice, source: BlockSource): Promise<Result<void, ExportError>> {
    // The volume orders and merges for itself; a scheduler only adds latency.
    await setQueueAttribute(loop.name, 'scheduler', 'none');
    if (source.readOnly) return ok(undefined);
    // With "write through" left behind by somebody the kernel would swallow every flush.
    await setQueueAttribute(loop.name, 'write_cache', 'write back');
    if ((await readQueueAttribute(loop.name, 'write_cache')) === 'write back') return ok(undefined);
    const detail = `${loop.path} does not show a volatile cache: flushes would be lost`;
    return err({ kind: 'unsupported', detail });
  }

  async list(): Promise<{ volumeId: string; path: string }[]> {
    const prefix = `${await this.#root()}/`;
    const suffix = `/${MOUNT_NAME}/${DISK_NAME}`;
    const found: { volumeId: string; path: string }[] = [];
    for (const { backingFile, path } of await listLoops()) {
      if (!backingFile.startsWith(prefix) || !backingFile.endsWith(suffix)) continue;
      const volumeId = backingFile.slice(prefix.length, -suffix.length);
      if (!volumeId.includes('/')) found.push({ volumeId, path });
    }
    return found;
  }

  async cleanUp(volumeId: string): Promise<Result<void, ExportError>> {
    const mountPoint = await this.#mountPoint(volumeId);
    if (this.#serving.has(volumeId)) return busy(volumeId, 'served by this process');
    const file = join(mountPoint, DISK_NAME);
    const mounted = findByMountPoint(await readMountInfo(), mountPoint) !== undefined;
    if (mounted) {
      // The directory's attributes are cached and say nothing; the disk's are always asked for.
      const asked = await exec('stat', ['--format=%s', file], { timeoutMs: 3000 });
      if (asked.code === 0) return busy(mountPoint, 'another live process serves it');
      if (asked.failure !== undefined)
        return busy(mountPoint, `its server hangs: ${asked.failure}`);
    }
    for (const loop of await findLoops(file)) {
      const unused = await checkUnused(loop.path);
      if (!unused.ok) return unused;
      const asked = await detachLoop(loop.path);
      if (!asked.ok) return asked;
      if (!(await waitUntil(() => isLoopGone(loop), GONE_TIMEOUT_MS))) {
        return busy(loop.path, describeHolders(await findHolders(loop.path)));
      }
    }
    const removed = mounted ? await removeMount(mountPoint) : ok(undefined);
    if (removed.ok) await this.#removeFolders(volumeId);
    return removed;
  }

  async #root(): Promise<string> {
    await mkdir(this.#runDir, { recursive: true, mode: 0o700 });
    // The kernel's tables show resolved paths.
    return realpath(this.#runDir);
  }

  async #mountPoint(volumeId: string): Promise<string> {
    const safe = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(volumeId);
    assert(safe, `volume id ${JSON.stringify(volumeId)} is a file name`);
    return join(await this.#root(), volumeId, MOUNT_NAME);
  }

  async #removeFolders(volumeId: string): Promise<void> {
    const root = await this.#root();
    await rmdir(join(root, volumeId, MOUNT_NAME)).catch(() => undefined);
    await rmdir(join(root, volumeId)).catch(() => undefined);
  }
}

/** Exports volumes as loop devices over FUSE; needs root, /dev/fuse and /dev/loop-control. */
export function createFuseLoopExporter(options: FuseLoopOptions): BlockExporter {
  return new FuseLoopExporter(options);
}
