/**
 * pathd's place taken by something simple: volumes are sparse files, devices real loop devices over
 * them, and every answer can be bent. mkfs, mount, fsck and resize are the real ones.
 */
import { execFile } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { describeUsers, findUsers } from '../../../src/host/mount/device-users.ts';
import {
  type AttachRequest,
  type AttachResponse,
  type ChapSpec,
  type ClaimState,
  type Debt,
  type DetachResponse,
  type NexusesResponse,
  type PathStatus,
  type PathdApi,
  PathdError,
  type SwitchStatus,
  type UpdateRequest,
  type VolumeNotice,
  type VolumeStatus,
} from '../../../src/pathd/api.ts';

const run = promisify(execFile);

const HEAD_BYTES = 2 << 20;
const TAIL_BYTES = 1 << 20;

export class CsiDouble implements PathdApi {
  /** Every call, as "attach vol-1". */
  readonly calls: string[] = [];
  /** Bent answers; undefined: as it is. */
  attachError: Error | undefined;
  detachError: Error | undefined;
  /** Of the release before: it knows nothing of debts and claims. */
  isOlder = false;
  /** What detach answers. */
  debts: readonly Debt[] = [];
  /** What attach answers. */
  unpaid: readonly Debt[] = [];
  identity = 'naa.6001405000000001';
  endFormatError: Error | undefined;
  /** attach waits for it. */
  attachGate: Promise<void> | undefined;
  /** status waits for it. */
  statusGate: Promise<void> | undefined;
  formatVerdict: { mayFormat: boolean; reason: string } | undefined;
  /** `state` of every volume's status. */
  volumeState = 'serving';
  lastAttach: AttachRequest | undefined;
  /** Of the last setChap. */
  lastChap: ChapSpec | undefined;
  initiatorName = 'iqn.2026-01.test:own';
  renameError: Error | undefined;
  /** setInitiatorName waits for it. */
  renameGate: Promise<void> | undefined;
  /** Every update, newest last. */
  readonly updates: UpdateRequest[] = [];
  updateError: Error | undefined;
  /** `paths`, `currentPath` and `lastSwitch` of every volume's status. */
  paths: readonly PathStatus[] = [];
  currentPath = 'p0';
  lastSwitch: SwitchStatus | undefined;
  instance = 'first';
  readonly #notices: VolumeNotice[] = [];
  readonly #wakers = new Set<() => void>();

  readonly #dir: string;
  readonly #sizeBytes: number;
  readonly #attached = new Map<string, { device: string; request: AttachRequest }>();
  readonly #formatted = new Set<string>();

  constructor(dir: string, sizeBytes: number) {
    this.#dir = dir;
    this.#sizeBytes = sizeBytes;
  }

  /** The file behind a volume, made blank when it is not there yet. */
  image(volumeId: string): string {
    const path = join(this.#dir, `${volumeId}.img`);
    if (!existsSync(path)) this.grow(volumeId, this.#sizeBytes);
    return path;
  }

  /** The LUN is grown at the target. */
  grow(volumeId: string, sizeBytes: number): void {
    const fd = openSync(join(this.#dir, `${volumeId}.img`), 'a');
    ftruncateSync(fd, sizeBytes);
    closeSync(fd);
  }

  device(volumeId: string): string | undefined {
    return this.#attached.get(volumeId)?.device;
  }

  async attach(request: AttachRequest): Promise<AttachResponse> {
    this.calls.push(`attach ${request.volumeId}`);
    this.lastAttach = request;
    if (this.attachGate !== undefined) await this.attachGate;
    if (this.attachError !== undefined) throw this.attachError;
    const image = this.image(request.volumeId);
    let attached = this.#attached.get(request.volumeId);
    if (attached === undefined) {
      const readOnly = request.readOnly ? ['--read-only'] : [];
      const { stdout } = await run('losetup', ['--find', '--show', ...readOnly, image]);
      attached = { device: stdout.trim(), request };
      this.#attached.set(request.volumeId, attached);
    } else if (JSON.stringify(attached.request) !== JSON.stringify(request)) {
      throw new PathdError('FAILED_PRECONDITION', 'attached with other parameters');
    }
    const { device } = attached;
    const { unpaid, identity } = this;
    return { device, sizeBytes: statSync(image).size, blockSize: 512, unpaid, identity };
  }

  async setChap(volumeId: string, chap: ChapSpec): Promise<void> {
    this.calls.push(`setChap ${volumeId}`);
    this.lastChap = chap;
  }

  async setInitiatorName(name: string): Promise<{ before: string; now: string }> {
    await this.renameGate;
    if (name !== '') this.calls.push(`setInitiatorName ${name}`);
    if (this.renameError !== undefined) throw this.renameError;
    const before = this.initiatorName;
    this.initiatorName = name === '' ? 'iqn.2026-01.test:own' : name;
    return { before, now: this.initiatorName };
  }

  async nexuses(volumeId: string, paths: readonly string[]): Promise<NexusesResponse> {
    this.calls.push(`nexuses ${volumeId}`);
    if (this.isOlder) throw new PathdError('UNIMPLEMENTED', 'unknown method Nexuses');
    const isids = paths.map((path, i) => ({ path, isid: `8000000${String(i)}0000` }));
    return { initiatorName: this.initiatorName, isids };
  }

  async confirmClaim(volumeId: string, state: ClaimState): Promise<void> {
    this.calls.push(`confirmClaim ${volumeId} ${state}`);
    if (!this.#attached.has(volumeId)) throw new PathdError('NOT_FOUND', 'not attached');
  }

  async detach(volumeId: string): Promise<DetachResponse> {
    this.calls.push(`detach ${volumeId}`);
    if (this.detachError !== undefined) throw this.detachError;
    const device = this.device(volumeId);
    const { debts } = this;
    if (device === undefined) return { debts };
    const shown = readFileSync(`/sys/block/${basename(device)}/loop/backing_file`, 'utf8').trim();
    if (shown !== this.image(volumeId)) {
      // The number is another's now: nothing to take away.
      this.#attached.delete(volumeId);
      return { debts };
    }
    const holders = await findUsers(device);
    if (holders.length > 0) {
      throw new PathdError('FAILED_PRECONDITION', `${device} is busy: ${describeUsers(holders)}`);
    }
    await run('losetup', ['--detach', device]);
    this.#attached.delete(volumeId);
    return { debts };
  }

  async expand(volumeId: string, requiredBytes: number): Promise<{ readonly sizeBytes: number }> {
    this.calls.push(`expand ${volumeId}`);
    const device = this.device(volumeId);
    if (device === undefined) throw new PathdError('NOT_FOUND', `${volumeId} is not attached`);
    const sizeBytes = statSync(this.image(volumeId)).size;
    if (sizeBytes < requiredBytes) {
      throw new PathdError('OUT_OF_RANGE', `the LUN has ${sizeBytes} bytes: grow it first`);
    }
    await run('losetup', ['--set-capacity', device]);
    return { sizeBytes };
  }

  async beginFormat(volumeId: string): Promise<{ mayFormat: boolean; reason: string }> {
    this.calls.push(`beginFormat ${volumeId}`);
    if (this.formatVerdict !== undefined) return this.formatVerdict;
    if (this.#formatted.has(volumeId))
      return { mayFormat: false, reason: 'it was formatted before' };
    return isBlank(this.image(volumeId))
      ? { mayFormat: true, reason: '' }
      : { mayFormat: false, reason: 'it is not blank' };
  }

  async endFormat(volumeId: string): Promise<void> {
    this.calls.push(`endFormat ${volumeId}`);
    if (this.endFormatError !== undefined) throw this.endFormatError;
    this.#formatted.add(volumeId);
  }

  async update(request: UpdateRequest): Promise<void> {
    this.calls.push(`update ${request.volumeId}`);
    if (this.updateError !== undefined) throw this.updateError;
    if (!this.#attached.has(request.volumeId)) throw new PathdError('NOT_FOUND', 'not attached');
    this.updates.push(request);
  }

  /** pathd has something to tell. */
  notify(notice: Pick<VolumeNotice, 'volumeId' | 'reason' | 'message'>, warning = true): void {
    const sequence = this.#notices.length + 1;
    const { instance } = this;
    this.#notices.push({ ...notice, warning, sequence, instance, atUnixMs: Date.now() });
    for (const wake of this.#wakers) wake();
  }

  async *events(afterSequence: number, signal: AbortSignal): AsyncIterable<VolumeNotice> {
    for (let next = afterSequence; !signal.aborted;) {
      const notice = this.#notices[next];
      if (notice !== undefined) {
        next += 1;
        yield notice;
        continue;
      }
      const { promise, resolve } = Promise.withResolvers<undefined>();
      const wake = (): void => {
        resolve(undefined);
      };
      this.#wakers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
      await promise;
      this.#wakers.delete(wake);
    }
  }

  async setPaths(volumeId: string): Promise<void> {
    this.calls.push(`setPaths ${volumeId}`);
  }

  async pin(volumeId: string, path: string): Promise<void> {
    this.calls.push(`pin ${volumeId} ${path}`);
  }

  async drain(volumeId: string, path: string, drained: boolean): Promise<void> {
    this.calls.push(`drain ${volumeId} ${path} ${String(drained)}`);
  }

  async readmit(): Promise<void> {
    throw new PathdError('NOT_FOUND', 'the double bans no path');
  }

  async forget(volumeId: string): Promise<void> {
    this.#formatted.delete(volumeId);
  }

  async status(volumeId?: string): Promise<readonly VolumeStatus[]> {
    if (this.statusGate !== undefined) await this.statusGate;
    const volumes = [...this.#attached].filter(([id]) => volumeId === undefined || id === volumeId);
    return volumes.map(([id, { device }]) => ({
      volumeId: id,
      device,
      backingFile: this.image(id),
      sizeBytes: statSync(this.image(id)).size,
      state: this.volumeState,
      reason: this.volumeState === 'failed' ? 'no path for 120 s' : '',
      currentPath: this.currentPath,
      paths: this.paths,
      lastSwitch: this.lastSwitch,
      fencing: 'reset',
      queued: 0,
      ...{ outstanding: 0, oldestAgeMs: 0, oldestCommand: '' },
      ioErrors: 0,
      identity: id,
      failovers: 0,
      failbacks: 0,
      pinnedPath: '',
      writePolicy: 'through',
      unflushedWrites: 0,
      unflushedBytes: 0,
      forcedFlushes: 0,
    }));
  }

  /** As after a crash or reboot: the devices are gone, the volumes not attached. */
  async crash(): Promise<void> {
    for (const { device } of this.#attached.values()) {
      await run('losetup', ['--detach', device]).catch(() => undefined);
    }
    this.#attached.clear();
  }
}

function isBlank(image: string): boolean {
  const size = statSync(image).size;
  const fd = openSync(image, 'r');
  try {
    const head = Buffer.alloc(Math.min(size, HEAD_BYTES));
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    readSync(fd, head, 0, head.length, 0);
    readSync(fd, tail, 0, tail.length, size - tail.length);
    return head.every((byte) => byte === 0) && tail.every((byte) => byte === 0);
  } finally {
    closeSync(fd);
  }
}
