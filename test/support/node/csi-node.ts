/**
 * A node service over doubles of everything around it: all five mounting calls in memory, without root, each
 * call of a double a step that may fail (steps.ts).
 */
import type { NodeContext } from '../../../src/csi/node/context.ts';
import { type NodeHandlers, nodeHandlers } from '../../../src/csi/node/node.ts';
import type {
  ExpandResponse,
  StatsResponse,
  WireCapability,
} from '../../../src/csi/wire/csi-messages.ts';
import { DEFAULT_WEIGHTS } from '../../../src/kubernetes/topology.ts';
import { FakeCluster, FakePathd, FakeState } from './fake-csi-sides.ts';
import { FakeMounts } from './fake-mounts.ts';
import type { AccessModeName } from './kubelet.ts';
import { Steps } from './steps.ts';

export const VOLUME = 'pv-1';
export const STAGING = '/kubelet/staging/pv-1';

export function target(pod = 'pod-1'): string {
  return `/kubelet/pods/${pod}`;
}

export function filesystem(
  fsType = 'ext4',
  mode: AccessModeName = 'SINGLE_NODE_MULTI_WRITER',
  mountFlags: readonly string[] = [],
): WireCapability {
  const mount = { fsType, mountFlags, volumeMountGroup: '' };
  return { accessType: 'mount', mount, accessMode: { mode } };
}

export function block(mode: AccessModeName = 'SINGLE_NODE_MULTI_WRITER'): WireCapability {
  return { accessType: 'block', block: {}, accessMode: { mode } };
}

/** What is there of the volume, on this node and in the cluster. */
export interface Remains {
  readonly mounts: readonly string[];
  readonly isAttached: boolean;
  readonly isClaimed: boolean;
  readonly isFollowed: boolean;
  readonly record: string | undefined;
  readonly targets: readonly string[];
}

export const NOTHING: Remains = {
  ...{ mounts: [], isAttached: false, isClaimed: false, isFollowed: false, record: undefined },
  targets: [],
};

export class CsiNode {
  readonly steps = new Steps();
  readonly mounts = new FakeMounts(this.steps);
  readonly pathd = new FakePathd(this.steps, this.mounts);
  readonly state = new FakeState(this.steps, (id) => this.pathd.device(id) !== undefined);
  readonly cluster = new FakeCluster(this.steps, () => this.pathd.device(VOLUME) !== undefined);
  readonly logged: string[] = [];
  #rpc: NodeHandlers = this.#start();
  readonly #capability: WireCapability;

  constructor(capability: WireCapability = filesystem()) {
    this.#capability = capability;
    this.mounts.put('/kubelet/pods');
  }

  /** Another csi, on what the one before has left. */
  restart(): void {
    this.cluster.resume(this.state.peek(VOLUME));
    this.#rpc = this.#start();
  }

  /** The node is started again, with all that is on it. */
  reboot(): void {
    this.mounts.reboot();
    this.pathd.lost();
    this.restart();
  }

  stage(capability = this.#capability, stagingTargetPath = STAGING): Promise<object> {
    return this.#rpc.NodeStageVolume({
      ...{ volumeId: VOLUME, stagingTargetPath, volumeCapability: capability },
      ...{ secrets: {}, volumeContext: {} },
    });
  }

  publish(pod?: string, capability = this.#capability, readonly = false): Promise<object> {
    return this.#rpc.NodePublishVolume({
      ...{ volumeId: VOLUME, stagingTargetPath: STAGING, volumeCapability: capability },
      ...{ secrets: {}, volumeContext: {}, targetPath: target(pod), readonly },
    });
  }

  unpublish(pod?: string): Promise<object> {
    return this.#rpc.NodeUnpublishVolume({ volumeId: VOLUME, targetPath: target(pod) });
  }

  unstage(stagingTargetPath = STAGING): Promise<object> {
    return this.#rpc.NodeUnstageVolume({ volumeId: VOLUME, stagingTargetPath });
  }

  expand(requiredBytes: number, volumePath = STAGING, limitBytes = 0): Promise<ExpandResponse> {
    return this.#rpc.NodeExpandVolume({
      ...{ volumeId: VOLUME, volumePath, capacityRange: { requiredBytes, limitBytes } },
      ...{ stagingTargetPath: STAGING, volumeCapability: this.#capability },
    });
  }

  stats(volumePath = STAGING): Promise<StatsResponse> {
    const request = { volumeId: VOLUME, volumePath, stagingTargetPath: STAGING };
    return this.#rpc.NodeGetVolumeStats(request);
  }

  get device(): string {
    const device = this.pathd.device(VOLUME);
    if (device === undefined) throw new Error('the volume is not attached');
    return device;
  }

  get remains(): Remains {
    const record = this.state.peek(VOLUME);
    const published = record?.publications.map(({ targetPath }) => targetPath) ?? [];
    return {
      mounts: this.mounts.mounted,
      isAttached: this.pathd.device(VOLUME) !== undefined,
      isClaimed: this.cluster.isClaimed,
      isFollowed: this.cluster.isFollowed,
      record: record === undefined ? undefined : [record.phase, ...published].join(' '),
      targets: ['pod-1', 'pod-2'].map(target).filter((path) => this.mounts.has(path)),
    };
  }

  /** What may never happen, and did. */
  get faults(): readonly string[] {
    const overwritten = this.mounts.overwritten.map(({ kind }) => `a ${kind} was overwritten`);
    const { pathd, state, cluster } = this;
    return [...overwritten, ...pathd.faults, ...state.faults, ...cluster.faults];
  }

  #start(): NodeHandlers {
    const say = (_: object, message: string): void => void this.logged.push(message);
    const { mounts, pathd, state, cluster } = this;
    const context: NodeContext = {
      ...{ nodeId: 'n1', topology: { rack: 'r1', room: 'a' }, weights: DEFAULT_WEIGHTS },
      ...{ maxVolumes: 0, mounts, pathd, state, cluster, lastUsage: new Map() },
      log: { debug: say, info: say, warn: say, error: say },
    };
    return nodeHandlers(context);
  }
}
