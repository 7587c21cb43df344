/**
 * What stands around the node service beside mounts and devices, in memory: pathd, the cluster's side, the
 * records. Each outlives the csi that uses it. What must never be asked of one, it writes down in `faults`.
 */
import type { ConfirmedClaim } from '../../../src/csi/cluster/cluster.ts';
import type { ClusterSide, StageStates, PathdSide } from '../../../src/csi/node/context.ts';
import type { FormatRecord, StageRecord } from '../../../src/csi/node/stage-record.ts';
import { CsiError } from '../../../src/csi/wire/csi-error.ts';
import type { VolumeConfig } from '../../../src/kubernetes/contract.ts';
import {
  type AttachRequest,
  type AttachResponse,
  type Debt,
  type DetachResponse,
  PathdError,
  type VolumeStatus,
} from '../../../src/pathd/api.ts';
import type { FakeMounts, Medium } from './fake-mounts.ts';
import type { Steps } from './steps.ts';

export const MIB = 1 << 20;
export const VOLUME_BYTES = 64 * MIB;

const NOTHING_ODD = {
  ...{ reason: '', currentPath: 'p0', paths: [], lastSwitch: undefined, fencing: 'reset' },
  ...{ queued: 0, outstanding: 0, oldestAgeMs: 0, oldestCommand: '', ioErrors: 0, failovers: 0 },
  ...{ failbacks: 0, pinnedPath: '', writePolicy: 'through', unflushedWrites: 0 },
  ...{ unflushedBytes: 0, forcedFlushes: 0 },
};

const unavailable = (): never => {
  throw new PathdError('UNAVAILABLE', 'pathd does not answer');
};

/** Files, as they are on disk. */
export class FakeState implements StageStates {
  readonly faults: string[] = [];
  readonly #steps: Steps;
  readonly #isAttached: (volumeId: string) => boolean;
  readonly #volumes = new Map<string, StageRecord>();
  readonly #formatting = new Map<string, FormatRecord>();

  constructor(steps: Steps, isAttached: (volumeId: string) => boolean) {
    this.#steps = steps;
    this.#isAttached = isAttached;
  }

  peek(volumeId: string): StageRecord | undefined {
    return this.#volumes.get(volumeId);
  }

  peekFormatting(volumeId: string): FormatRecord | undefined {
    return this.#formatting.get(volumeId);
  }

  read(volumeId: string): Promise<StageRecord | undefined> {
    return this.#steps.ask('read record', () => this.#volumes.get(volumeId), broken);
  }

  write(record: StageRecord): Promise<void> {
    const name = `write record (${record.phase}, ${String(record.publications.length)} published)`;
    return this.#steps.act(name, () => void this.#volumes.set(record.volumeId, record), full);
  }

  remove(volumeId: string): Promise<void> {
    const remove = (): void => {
      if (this.#isAttached(volumeId))
        this.faults.push('the record of an attached volume is removed');
      this.#volumes.delete(volumeId);
    };
    return this.#steps.act('remove record', remove, broken);
  }

  readFormatting(volumeId: string): Promise<FormatRecord | undefined> {
    return this.#steps.ask('read format record', () => this.#formatting.get(volumeId), broken);
  }

  writeFormatting(record: FormatRecord): Promise<void> {
    const write = (): void => void this.#formatting.set(record.volumeId, record);
    return this.#steps.act('write format record', write, full);
  }

  removeFormatting(volumeId: string): Promise<void> {
    const remove = (): void => void this.#formatting.delete(volumeId);
    return this.#steps.act('remove format record', remove, broken);
  }
}

function full(): never {
  throw new CsiError('RESOURCE_EXHAUSTED', 'the disk is full: free some space');
}

function broken(): never {
  throw new CsiError('INTERNAL', 'state file: EIO');
}

export class FakePathd implements PathdSide {
  readonly faults: string[] = [];
  readonly media = new Map<string, Medium>();
  /** What every detach leaves. */
  debts: readonly Debt[] = [];
  attachError: PathdError | undefined;
  formatVerdict: { readonly mayFormat: boolean; readonly reason: string } | undefined;
  /** `state` of every volume's status. */
  volumeState = 'serving';
  readonly requests: AttachRequest[] = [];
  readonly formatted = new Set<string>();
  readonly #steps: Steps;
  readonly #mounts: FakeMounts;
  readonly #attached = new Map<string, { device: string; request: AttachRequest }>();

  constructor(steps: Steps, mounts: FakeMounts) {
    this.#steps = steps;
    this.#mounts = mounts;
  }

  device(volumeId: string): string | undefined {
    return this.#attached.get(volumeId)?.device;
  }

  medium(volumeId: string): Medium {
    const known = this.media.get(volumeId);
    const medium = known ?? { sizeBytes: VOLUME_BYTES, content: { kind: 'blank' } };
    this.media.set(volumeId, medium);
    return medium;
  }

  /** With the node it was on. */
  lost(): void {
    this.#attached.clear();
  }

  attach(request: AttachRequest): Promise<AttachResponse> {
    const { volumeId } = request;
    const attach = (): AttachResponse => {
      this.requests.push(request);
      if (this.attachError !== undefined) throw this.attachError;
      const medium = this.medium(volumeId);
      const before = this.#attached.get(volumeId);
      if (before !== undefined && JSON.stringify(before.request) !== JSON.stringify(request)) {
        throw new PathdError('FAILED_PRECONDITION', 'attached with other parameters');
      }
      const device = before?.device ?? this.#mounts.attach(imageOf(volumeId), medium);
      this.#attached.set(volumeId, { device, request });
      const { sizeBytes } = medium;
      return { device, sizeBytes, blockSize: 512, unpaid: [], identity: `unit of ${volumeId}` };
    };
    return this.#steps.act('attach', attach, unavailable);
  }

  detach(volumeId: string): Promise<DetachResponse> {
    const detach = (): DetachResponse => {
      const device = this.device(volumeId);
      if (device === undefined) return { debts: this.debts };
      const isOwn = this.#mounts.backingFileOf(device) === imageOf(volumeId);
      if (isOwn && this.#mounts.isMounted(device)) {
        this.faults.push('a mounted device is detached');
        throw new PathdError('FAILED_PRECONDITION', `${device} is in use`);
      }
      this.#mounts.detach(device, imageOf(volumeId));
      this.#attached.delete(volumeId);
      return { debts: this.debts };
    };
    return this.#steps.act('detach', detach, unavailable);
  }

  expand(volumeId: string, requiredBytes: number): Promise<{ readonly sizeBytes: number }> {
    const expand = (): { readonly sizeBytes: number } => {
      const device = this.device(volumeId);
      if (device === undefined) throw new PathdError('NOT_FOUND', 'not attached');
      const { sizeBytes } = this.medium(volumeId);
      if (sizeBytes < requiredBytes) throw new PathdError('OUT_OF_RANGE', 'grow the LUN first');
      this.#mounts.refresh(device);
      return { sizeBytes };
    };
    return this.#steps.act('expand', expand, unavailable);
  }

  beginFormat(volumeId: string): Promise<{ readonly mayFormat: boolean; readonly reason: string }> {
    const judge = (): { readonly mayFormat: boolean; readonly reason: string } => {
      if (this.formatVerdict !== undefined) return this.formatVerdict;
      if (this.formatted.has(volumeId)) return { mayFormat: false, reason: 'formatted before' };
      const isBlank = this.medium(volumeId).content.kind === 'blank';
      return { mayFormat: isBlank, reason: isBlank ? '' : 'it is not blank' };
    };
    return this.#steps.act('begin format', judge, unavailable);
  }

  endFormat(volumeId: string): Promise<void> {
    return this.#steps.act('end format', () => void this.formatted.add(volumeId), unavailable);
  }

  setChap(): Promise<void> {
    return this.#steps.act('set CHAP', () => undefined, unavailable);
  }

  status(volumeId?: string): Promise<readonly VolumeStatus[]> {
    const look = (): readonly VolumeStatus[] =>
      [...this.#attached]
        .filter(([id]) => volumeId === undefined || id === volumeId)
        .map(([id, { device }]) => ({
          ...{ ...NOTHING_ODD, volumeId: id, device, backingFile: imageOf(id) },
          ...{ sizeBytes: this.medium(id).sizeBytes, state: this.volumeState, identity: id },
        }));
    return this.#steps.ask('status', look, unavailable);
  }
}

export function imageOf(volumeId: string): string {
  return `/images/${volumeId}`;
}

/**
 * One volume; who has claimed it is the API server's to know, and outlives this node. Only what asks the API
 * server can fail: all the rest is done later where it cannot be done now.
 */
export class FakeCluster implements ClusterSide {
  readonly faults: string[] = [];
  /** The API server says that this node has the volume. */
  isClaimed = false;
  /** Another node has it. */
  isAnothers = false;
  /** What was left on the PV when the claim was given back last. */
  left: readonly Debt[] | undefined;
  /** Volumes whose PVs are followed, and which are shown. */
  isFollowed = false;
  config: VolumeConfig;
  /** What earlier nodes have left. */
  debts: readonly Debt[] = [];
  isPathdOlder = false;
  readonly #steps: Steps;
  readonly #isAttached: () => boolean;
  /** Given back while nothing was claimed anew: what pathd said of it. */
  #detached: readonly Debt[] | undefined;

  constructor(steps: Steps, isAttached: () => boolean) {
    this.#steps = steps;
    this.#isAttached = isAttached;
    const path = {
      name: 'p0',
      host: '10.0.0.1',
      port: 3260,
      targetName: 'iqn.2026-01.x:y',
      lun: 1,
    };
    this.config = {
      ...{ paths: [{ ...path, maxWeight: 100, drained: false }], policy: {}, pin: undefined },
      ...{ pvName: undefined, topologyUnknown: [], problems: [], good: {} },
    };
  }

  /** A csi has started, and finds this record. */
  resume(record: StageRecord | undefined): void {
    if (record === undefined) this.#giveBack([]);
    else this.isFollowed = record.phase === 'staged';
  }

  configure(): Promise<VolumeConfig> {
    return this.#steps.ask('configure', () => this.config, apiAway);
  }

  claim(): Promise<ConfirmedClaim> {
    const claim = (): ConfirmedClaim => {
      this.#requireOwn();
      this.isClaimed = true;
      this.#detached = undefined;
      const { debts, isPathdOlder } = this;
      return {
        ...{ debts, isPathdOlder },
        attached: () => this.#steps.act('settle debts', () => undefined),
        undo: (left) => this.#steps.act('undo claim', () => this.#giveBack(left)),
      };
    };
    return this.#steps.act('claim', claim, apiAway);
  }

  pinnedUnit(): string {
    return '';
  }

  attachedUnclaimed(): Promise<void> {
    return this.#steps.act('pin unit', () => undefined);
  }

  unauthenticated(): void {
    this.#note('tell AuthenticationFailed');
  }

  detached(_: string, left: readonly Debt[]): Promise<void> {
    return this.#steps.act('note what is left', () => void (this.#detached = left));
  }

  staged(): Promise<void> {
    return this.#steps.act('follow', () => void (this.isFollowed = true));
  }

  notStaged(): Promise<void> {
    const giveBack = (): void => {
      if (this.#detached !== undefined) this.#giveBack(this.#detached);
    };
    return this.#steps.act('not staged', giveBack);
  }

  confirm(): Promise<void> {
    return this.#steps.act('confirm claim', () => void (this.isFollowed = true), apiAway);
  }

  requireOwner(): void {
    this.#requireOwn();
  }

  published(): void {
    this.#note('published');
  }

  unstaged(_: string, left: readonly Debt[]): Promise<void> {
    return this.#steps.act('release claim', () => this.#giveBack(left));
  }

  #note(name: string): void {
    void this.#steps.act(name, () => undefined);
  }

  #giveBack(left: readonly Debt[]): void {
    if (this.#isAttached()) this.faults.push('the claim on an attached volume is given back');
    this.#detached = undefined;
    this.isFollowed = false;
    if (!this.isClaimed) return;
    this.isClaimed = false;
    this.left = left;
  }

  #requireOwn(): void {
    if (!this.isAnothers) return;
    throw new CsiError('FAILED_PRECONDITION', 'claimed by node n2');
  }
}

function apiAway(): never {
  throw new CsiError('UNAVAILABLE', 'the API server does not answer');
}
