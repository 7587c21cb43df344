/**
 * One volume as /dev/loopN: growing it and taking it away, politely and by force (the order of the
 * steps and its reasons: fuse-loop-exporter.ts).
 */
import type { FileHandle } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import type { BlockSource, DeviceVerdict, ExportedDevice, ExportError } from '../../ports/block.ts';
import { exec } from '../exec.ts';
import { describeUsers, findUsers, openExclusive } from '../mount/device-users.ts';
import { findByMountPoint, readMountInfo } from '../mount/mountinfo.ts';
import { askBackingFile } from './backing-file.ts';
import type { FuseServer } from './fuse-server.ts';
import { unmountFuse } from './fuse-server.ts';
import { LoopGuard } from './loop-guard.ts';
import type { LoopDevice } from './loop.ts';
import type { BlockSizes } from './queue-attributes.ts';
import { detachLoop, isLoopGone, loopSizeBytes, refreshLoopSize } from './loop.ts';

/** An open by udev or blkid is over within this time; a process that has it open for longer is a user. */
const PASSING_USER_MS = 1000;
const PASSING_USER_LOOKS = 5;
/** For what the kernel does by itself: a loop device's last reference, an unmount. */
const GONE_TIMEOUT_MS = 5000;
/** By force: no long wait for what goes by itself later. */
const FORCED_GONE_TIMEOUT_MS = 500;
const RESIZE_ATTEMPTS = 50;
const ASK_TIMEOUT_MS = 3000;
const POLL_MS = 10;

/** Error `busy` that names the users. */
export function busy(path: string, users: string): Result<never, ExportError> {
  return err({ kind: 'busy', detail: `${path} is in use: ${users}` });
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

/** The device has no user but `ownFd` of this process; else the error names the users. */
export async function checkUnused(
  path: string,
  ownFd?: number,
): Promise<Result<void, ExportError>> {
  for (let attempt = 1; ; attempt++) {
    const exclusive = await openExclusive(path);
    if (!exclusive.ok && exclusive.error.kind === 'no-device') return ok(undefined);
    const users = await findUsers(path, ownFd);
    if (exclusive.ok && users.length === 0) return ok(undefined);
    // A mount does not pass by itself; an open by udev or blkid does.
    const stays = !exclusive.ok && users.length > 0;
    if (stays || attempt === PASSING_USER_LOOKS) return busy(path, describeUsers(users));
    await delay(PASSING_USER_MS / PASSING_USER_LOOKS);
  }
}

/**
 * Asks for the end of a loop device without a user, and waits for it; `busy` if a new user was faster.
 * `letGo` gives up what keeps it on our side, when it cannot come to be another's any more.
 */
export async function removeLoop(
  loop: LoopDevice,
  letGo: () => Promise<void> = () => Promise.resolve(),
): Promise<Result<void, ExportError>> {
  const asked = await detachLoop(loop.path);
  if (!asked.ok) return asked;
  await letGo();
  if (await waitUntil(() => isLoopGone(loop), GONE_TIMEOUT_MS)) return ok(undefined);
  // It will go when they close it; the next call finds out.
  return busy(loop.path, describeUsers(await findUsers(loop.path)));
}

/** A volume that this process serves. */
export class FuseLoopDevice implements ExportedDevice {
  readonly #loop: LoopDevice;
  readonly #source: BlockSource;
  readonly #server: FuseServer;
  readonly #forget: () => Promise<void>;
  readonly #guard: LoopGuard;
  /** Keeps the device, and its number, although another process asks for a detach. */
  #opened: FileHandle | undefined;
  #gone = false;
  /** Being resized or taken away: what it shows then is no change by a pod. */
  #changing = 0;
  #running: Promise<unknown> = Promise.resolve();

  private constructor(
    loop: LoopDevice,
    source: BlockSource,
    server: FuseServer,
    blockSizes: BlockSizes,
    forget: () => Promise<void>,
  ) {
    this.#loop = loop;
    this.#source = source;
    this.#server = server;
    this.#forget = forget;
    this.#guard = new LoopGuard(loop, source.blockSize, {
      openFiles: () => server.openFiles,
      blockSize: () => blockSizes.ask(loop.name),
    });
  }

  /** Takes hold of a loop device that was just made. */
  static async keepOpen(
    loop: LoopDevice,
    source: BlockSource,
    server: FuseServer,
    blockSizes: BlockSizes,
    forget: () => Promise<void>,
  ): Promise<Result<FuseLoopDevice, ExportError>> {
    const device = new FuseLoopDevice(loop, source, server, blockSizes, forget);
    if (await device.#keepOpen()) return ok(device);
    const detail = `${loop.path} was taken away while it was set up: try again`;
    return err({ kind: 'no-device', detail });
  }

  get path(): string {
    return this.#loop.path;
  }

  get backingFile(): string {
    return this.#loop.backingFile;
  }

  async inspect(): Promise<DeviceVerdict> {
    if (this.isChanging()) return { kind: 'fine' };
    const verdict = await this.#guard.inspect();
    return this.isChanging() ? { kind: 'fine' } : verdict;
  }

  /** A resize or a detach explains whatever is seen meanwhile. */
  isChanging(): boolean {
    return this.#gone || this.#changing > 0;
  }

  async sync(timeoutMs: number): Promise<Result<void, ExportError>> {
    const until = performance.now() + timeoutMs;
    // BLKFLSBUF syncs the filesystem that holds the device, in whatever mount namespace it is.
    for (const [program, ...args] of [['blockdev', '--flushbufs'], ['sync']] as const) {
      const left = Math.max(1, Math.ceil(until - performance.now()));
      const done = await exec(program, [...args, this.path], { timeoutMs: left });
      if (done.code === 0) continue;
      const reason = done.failure ?? done.stderr.trim();
      return err({ kind: 'io', detail: `cannot write what is cached of ${this.path}: ${reason}` });
    }
    return ok(undefined);
  }

  /** For reading: a descriptor for writing would keep it from being mounted (BLK_DEV_WRITE_MOUNTED). */
  async #keepOpen(): Promise<boolean> {
    this.#opened ??= await this.#server.openDevice(this.path).catch(() => undefined);
    if (this.#opened === undefined) return false;
    // From here on it stays what it is; it may have become another one before.
    if (!(await isLoopGone(this.#loop))) return true;
    await this.#letGo();
    return false;
  }

  /**
   * Whatever is behind it by now: the number that is held is ours, and goes at its last close. One that
   * is not kept open may be another volume's.
   */
  async #giveBack(): Promise<Result<void, ExportError>> {
    if (this.#opened === undefined) return ok(undefined);
    this.#guard.expectDetach();
    const asked = await detachLoop(this.path);
    await this.#letGo();
    return asked;
  }

  async #letGo(): Promise<void> {
    const held = this.#opened;
    this.#opened = undefined;
    await held?.close().catch(() => undefined);
  }

  resize(): Promise<Result<void, ExportError>> {
    return this.#oneAtATime(() => this.#resize());
  }

  detach({ force }: { readonly force: boolean }): Promise<Result<void, ExportError>> {
    // By force does not queue behind a flush that waits for a dead volume.
    return force
      ? this.#changes(() => this.#detachByForce())
      : this.#oneAtATime(() => this.#detach());
  }

  #oneAtATime<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#running.then(() => this.#changes(run));
    this.#running = result.catch(() => undefined);
    return result;
  }

  async #changes<T>(run: () => Promise<T>): Promise<T> {
    this.#changing++;
    try {
      return await run();
    } finally {
      this.#changing--;
    }
  }

  async #resize(): Promise<Result<void, ExportError>> {
    if (this.#gone || (await isLoopGone(this.#loop))) {
      return err({ kind: 'not-found', detail: `${this.path} was detached` });
    }
    const { name } = this.#loop;
    const wanted = this.#source.sizeBytes;
    const shown = await loopSizeBytes(name);
    if (shown === wanted) return ok(undefined);
    if (wanted < (shown ?? 0)) {
      return err({ kind: 'unsupported', detail: `${this.path} cannot shrink to ${wanted} bytes` });
    }
    for (let attempt = 0; attempt < RESIZE_ATTEMPTS; attempt++) {
      // Makes the kernel ask for the attributes, which it has cached. It ignores the answer when a write
      // was completed meanwhile (fuse_change_attributes), hence more than one attempt.
      const asked = await askBackingFile(this.#loop.backingFile, ASK_TIMEOUT_MS);
      if (asked.failure !== undefined) return err({ kind: 'io', detail: asked.failure });
      const refreshed = await refreshLoopSize(this.path);
      if (!refreshed.ok) return refreshed;
      if ((await loopSizeBytes(name)) === wanted) return ok(undefined);
      await delay(POLL_MS);
    }
    return err({ kind: 'io', detail: `${this.path} does not take the size of ${wanted} bytes` });
  }

  async #detach(): Promise<Result<void, ExportError>> {
    if (this.#gone) return ok(undefined);
    if (await isLoopGone(this.#loop)) {
      await this.#giveBack();
      return this.#endServer();
    }
    const unused = await checkUnused(this.path, this.#opened?.fd);
    if (!unused.ok) return unused;
    const flushed = await this.#flush();
    if (!flushed.ok) return flushed;
    this.#guard.expectDetach();
    const removed = await removeLoop(this.#loop, () => this.#letGo());
    // Another process has opened it meanwhile, and the volume stays: so must its device.
    if (!removed.ok && (await this.#keepOpen())) return removed;
    return this.#endServer();
  }

  /** fsync(2) of the device: the kernel's cache, then FLUSH to the source. */
  async #flush(): Promise<Result<void, ExportError>> {
    // A process of its own: with no path alive it waits for as long as the volume does.
    if (this.#source.readOnly) return ok(undefined);
    const synced = await exec('sync', [this.path]);
    if (synced.code === 0) return ok(undefined);
    const reason = synced.failure ?? synced.stderr.trim();
    return err({ kind: 'io', detail: `cannot flush ${this.path}: ${reason}` });
  }

  async #detachByForce(): Promise<Result<void, ExportError>> {
    if (this.#gone) return ok(undefined);
    this.#server.fail();
    await unmountFuse(this.#server.mountPoint, { force: true });
    const asked = await this.#giveBack();
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
    await this.#letGo();
    const ended = await removeMount(this.#server.mountPoint);
    if (!ended.ok) return ended;
    await this.#server.closed;
    this.#gone = true;
    await this.#forget();
    return ok(undefined);
  }
}

/** Unmounts whatever is mounted there, aborting its connection. */
export async function removeMount(mountPoint: string): Promise<Result<void, ExportError>> {
  let last: Result<void, ExportError> = ok(undefined);
  // The loop device's file is released a moment after the device has gone.
  await waitUntil(async () => {
    // A table that cannot be read (no memory, no descriptor) shows nothing: the unmount is tried.
    const table = await readMountInfo().catch(() => undefined);
    if (table !== undefined && findByMountPoint(table, mountPoint) === undefined) {
      last = ok(undefined);
      return true;
    }
    last = await unmountFuse(mountPoint, { force: true });
    return false;
  }, PASSING_USER_MS);
  return last;
}
