/**
 * Block devices without a kernel module of our own kind: a FUSE file system of one file, and a loop
 * device with direct I/O over that file. For kernels without nbd.
 *
 *   <runDir>/<volumeId>/fuse        the mount point
 *   <runDir>/<volumeId>/fuse/disk   the file, backing /dev/loopN
 *
 * What exists is read from the kernel (mount table, /sys/block/loopN/loop), never from files of our own:
 * after a crash such files may be wrong. The backing file's path is the device's identity, the loop
 * number is not.
 *
 * Taking a device away, in this order: it has no user (O_EXCL, then /proc for names); its cache is
 * flushed while an error can still be reported; `losetup -d`; the kernel confirms that it is gone;
 * `umount -f`, which ends the connection even if a copy of the mount lives in another mount namespace;
 * the next read says so; the descriptor is closed. By force: the connection is aborted first, which fails
 * everything pending and later, and the device goes at its last close, be it minutes later. The dead
 * mount under it stays till then (the loop device keeps it busy) and is taken by `cleanUp`.
 *
 * A process that is killed leaves the same: a dead mount (ENOTCONN), perhaps with a loop device on it,
 * perhaps with a mounted file system on that.
 */
import { mkdir, open, realpath, rmdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { assert } from '../../base/assert.ts';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import type { BlockExporter, BlockSource, ExportedDevice, ExportError } from '../../ports/block.ts';
import { DISK_NAME } from '../../protocol/fuse/wire.ts';
import { exec } from '../exec.ts';
import { findByMountPoint, readMountInfo } from '../mount/mountinfo.ts';
import { askBackingFile } from './backing-file.ts';
import { FuseLoopDevice, busy, checkUnused, removeLoop, removeMount } from './fuse-loop-device.ts';
import type { FuseServer } from './fuse-server.ts';
import { type FuseReading, FuseServers } from './fuse-servers.ts';
import { hasThreadsFor } from './fuse-threads.ts';
import { UNANSWERED_BYTES_MAX } from './unanswered-data.ts';
import type { LoopDevice } from './loop.ts';
import { attachLoop, findLoops, listLoops } from './loop.ts';
import { BlockSizes, readQueueAttribute, setQueueAttribute } from './queue-attributes.ts';

export interface FuseLoopOptions {
  /**
   * Holds one directory per volume; made when missing. Not shared with another exporter process.
   */
  readonly runDir: string;
  /** Data of all volumes together that may be held; default UNANSWERED_BYTES_MAX. */
  readonly unansweredBytesMax?: number;
  /** As many volumes as there may be; default 100. */
  readonly volumesMax?: number;
  /** How /dev/fuse is read; found out where nothing is said. */
  readonly reading?: FuseReading;
  /** One line about something unexpected. */
  readonly log?: (message: string) => void;
}

const MOUNT_NAME = 'fuse';
const ASK_TIMEOUT_MS = 3000;

class FuseLoopExporter implements BlockExporter {
  readonly kind = 'fuse-loop';
  readonly #runDir: string;
  readonly #log: (message: string) => void;
  readonly #servers: FuseServers;
  readonly #blockSizes = new BlockSizes();
  /** The loop devices of this process, by name. */
  readonly #devices = new Map<
    string,
    { readonly volumeId: string; readonly device: FuseLoopDevice }
  >();
  /** Volumes attached, or on the way there, in this process. */
  readonly #serving = new Set<string>();

  constructor(options: FuseLoopOptions) {
    this.#runDir = options.runDir;
    this.#log = options.log ?? ((): void => undefined);
    const { unansweredBytesMax = UNANSWERED_BYTES_MAX, volumesMax = 100, reading } = options;
    const memory = { budgetBytes: unansweredBytesMax, volumesMax };
    this.#servers = new FuseServers(memory, this.#log, reading);
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
    for (const program of ['mount', 'umount', 'losetup', 'blockdev', 'sync', 'stat']) {
      const found = await exec(program, ['--version']);
      if (found.code !== 0) {
        return refuse(`${found.failure ?? `${program} fails`}: install util-linux and coreutils`);
      }
    }
    await this.#servers.reading();
    return ok(undefined);
  }

  async attach(
    volumeId: string,
    source: BlockSource,
  ): Promise<Result<ExportedDevice, ExportError>> {
    const mountPoint = await this.#mountPoint(volumeId);
    const reading = await this.#servers.reading();
    if (this.#serving.has(volumeId)) {
      return err({ kind: 'busy', detail: `${volumeId} is attached in this process already` });
    }
    if (reading === 'parked' && !hasThreadsFor(this.#serving.size + 1)) {
      const detail =
        'libuv has too few threads: start the process with a larger UV_THREADPOOL_SIZE';
      return err({ kind: 'unsupported', detail });
    }
    // Before anything else is waited for: a second attach must see the first one.
    this.#serving.add(volumeId);
    const cleaned = await errors(this.#removeLeftovers(volumeId, mountPoint));
    const attached = cleaned.ok ? await this.#attach(volumeId, mountPoint, source) : cleaned;
    if (!attached.ok) this.#serving.delete(volumeId);
    return attached;
  }

  async #attach(
    volumeId: string,
    mountPoint: string,
    source: BlockSource,
  ): Promise<Result<ExportedDevice, ExportError>> {
    try {
      await mkdir(mountPoint, { recursive: true, mode: 0o700 });
    } catch (cause) {
      return err({ kind: 'io', detail: `cannot make ${mountPoint}: ${(cause as Error).message}` });
    }
    const { readOnly, blockSize } = source;
    const name = 'priority-path';
    const server = await this.#servers.start({ mountPoint, name, source });
    if (!server.ok) return server;
    const file = join(mountPoint, DISK_NAME);
    const loop = await errors(attachLoop({ file, sectorBytes: blockSize, readOnly }));
    if (!loop.ok) {
      await this.#abandon(volumeId, server.value);
      return loop;
    }
    const ready = await errors(this.#setUp(volumeId, loop.value, source, server.value));
    if (ready.ok) return ready;
    await errors(removeLoop(loop.value));
    await this.#abandon(volumeId, server.value);
    return ready;
  }

  async #setUp(
    volumeId: string,
    loop: LoopDevice,
    source: BlockSource,
    server: FuseServer,
  ): Promise<Result<ExportedDevice, ExportError>> {
    const other = this.#devices.get(loop.name);
    // The kernel gives the number of a device that is being detached to another one before its own end is seen.
    if (other !== undefined && !other.device.isChanging()) {
      const { volumeId: loser } = other;
      const detail = `${loop.path} was that of volume ${loser}, which has lost it: unstage ${loser}`;
      return err({ kind: 'busy', detail });
    }
    const ready = await this.#setUpQueue(loop, source);
    if (!ready.ok) return ready;
    const device = await FuseLoopDevice.keepOpen(
      loop,
      source,
      server,
      this.#blockSizes,
      async () => {
        this.#devices.delete(loop.name);
        this.#serving.delete(volumeId);
        await this.#removeFolders(volumeId);
      },
    );
    if (device.ok) this.#devices.set(loop.name, { volumeId, device: device.value });
    return device;
  }

  async #abandon(volumeId: string, server: FuseServer): Promise<void> {
    const removed = await errors(removeMount(server.mountPoint));
    if (!removed.ok) this.#log(removed.error.detail);
    else await server.closed;
    await this.#removeFolders(volumeId);
  }

  /**
   * Queue settings outlive the file: the next user of this loop number gets what the last one left. So
   * what matters is set every time, and nothing is set that would harm another user after us: a device
   * without a volatile cache does not become "write through" (its flushes cost nothing anyway), one
   * without discard keeps `discard_max_bytes` (it answers EOPNOTSUPP): once that is 0, loop sets the
   * granularity to 0 as well and kernel 6.18 takes no other value until the device is removed.
   */
  async #setUpQueue(loop: LoopDevice, source: BlockSource): Promise<Result<void, ExportError>> {
    // The volume orders and merges for itself; a scheduler only adds latency.
    await setQueueAttribute(loop.name, 'scheduler', 'none');
    if (source.readOnly) return ok(undefined);
    // With "write through", left behind by a former user, the kernel would not send any flush.
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
    return this.#removeLeftovers(volumeId, mountPoint);
  }

  async #removeLeftovers(volumeId: string, mountPoint: string): Promise<Result<void, ExportError>> {
    const file = join(mountPoint, DISK_NAME);
    const mounted = findByMountPoint(await readMountInfo(), mountPoint) !== undefined;
    if (mounted) {
      const asked = await askBackingFile(file, ASK_TIMEOUT_MS);
      if (asked.code === 0) return busy(mountPoint, 'another live process serves it');
      if (asked.failure !== undefined)
        return busy(mountPoint, `its server hangs: ${asked.failure}`);
    }
    for (const loop of await findLoops(file)) {
      const unused = await checkUnused(loop.path);
      if (!unused.ok) return unused;
      const gone = await removeLoop(loop);
      if (!gone.ok) return gone;
    }
    const removed = mounted ? await removeMount(mountPoint) : ok(undefined);
    if (removed.ok) await this.#removeFolders(volumeId);
    return removed;
  }

  async #root(): Promise<string> {
    // The kernel's tables show resolved paths.
    return realpath(this.#runDir).catch(() => resolve(this.#runDir));
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

/**
 * Of a step of an attach: a table of the kernel that cannot be read (no memory, no descriptor) is an error of
 * the attach, which is then undone, and tried again by its caller.
 */
async function errors<T>(step: Promise<Result<T, ExportError>>): Promise<Result<T, ExportError>> {
  return step.catch((cause: unknown) => err({ kind: 'io', detail: (cause as Error).message }));
}

/** Exports volumes as loop devices over FUSE; needs root, /dev/fuse and /dev/loop-control. */
export function createFuseLoopExporter(options: FuseLoopOptions): BlockExporter {
  return new FuseLoopExporter(options);
}
