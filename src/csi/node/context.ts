/**
 * What every CSI call of this node works with, and the questions about the present state that several
 * calls ask.
 */
import type { Logger } from '../../base/log.ts';
import { err, ok, type Result } from '../../base/result.ts';
import type { DeviceNumbers } from '../../host/mount/device-users.ts';
import { type MountEntry, findByMountPoint } from '../../host/mount/mountinfo.ts';
import type { Topology, TopologyWeights } from '../../kubernetes/topology.ts';
import type { PathdApi, VolumeStatus } from '../../pathd/api.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { VolumeUsage } from '../wire/csi-messages.ts';
import type { Mounts } from './mounts.ts';
import { proveOwnDevice } from './own-device.ts';
import type { StateStore, StageRecord } from './stage-record.ts';

/** What the CSI calls ask of the cluster. */
export type ClusterSide = Pick<
  Cluster,
  | 'configure'
  | 'claim'
  | 'pinnedUnit'
  | 'attachedUnclaimed'
  | 'unauthenticated'
  | 'detached'
  | 'staged'
  | 'notStaged'
  | 'confirm'
  | 'requireOwner'
  | 'published'
  | 'unstaged'
>;

/** What the CSI calls ask of pathd. */
export type PathdSide = Pick<
  PathdApi,
  'attach' | 'detach' | 'status' | 'expand' | 'beginFormat' | 'endFormat' | 'setChap'
>;

/** Records of this node, as the CSI calls read and write them. */
export type StageStates = Pick<
  StateStore,
  'read' | 'write' | 'remove' | 'readFormatting' | 'writeFormatting' | 'removeFormatting'
>;

export interface NodeContext {
  readonly nodeId: string;
  /** Where this node stands, by flags. */
  readonly topology: Topology;
  readonly weights: TopologyWeights;
  /** 0: no limit of ours. */
  readonly maxVolumes: number;
  readonly pathd: PathdSide;
  readonly mounts: Mounts;
  readonly state: StageStates;
  readonly log: Logger;
  /** undefined: no Kubernetes API; volumes are what volume_context says. */
  readonly cluster: ClusterSide | undefined;
  /** Last usage by volume, for when the filesystem does not answer. */
  readonly lastUsage: Map<string, readonly VolumeUsage[]>;
}

/** The volume as pathd has it now; undefined when it is not attached. */
export async function attachedVolume(
  node: NodeContext,
  volumeId: string,
): Promise<VolumeStatus | undefined> {
  const volumes = await node.pathd.status(volumeId);
  return volumes.find((volume) => volume.volumeId === volumeId);
}

export function isMountOf(entry: MountEntry, numbers: DeviceNumbers): boolean {
  return entry.major === numbers.major && entry.minor === numbers.minor;
}

/**
 * A recorded stage is there still: pathd has the volume, its device is its own, and for a filesystem that
 * device, and no other, is mounted at the staging path. The answer is the volume; the error says what is gone.
 */
export async function proveStaged(
  mounts: Mounts,
  record: StageRecord,
  volume: VolumeStatus | undefined,
  entries: readonly MountEntry[],
): Promise<Result<VolumeStatus, string>> {
  if (volume === undefined) return err('the volume is not attached');
  const numbers = await mounts.blockDeviceNumbers(volume.device);
  if (numbers === undefined) return err(`its device ${volume.device} is gone`);
  const own = await proveOwnDevice(mounts, volume);
  if (!own.ok) return own;
  if (record.capability.access.kind === 'block') return ok(volume);
  const entry = findByMountPoint(entries, record.stagingPath);
  if (entry === undefined) return err(`nothing is mounted at ${record.stagingPath}`);
  if (isMountOf(entry, numbers)) return ok(volume);
  return err(`${record.stagingPath} is a mount of ${entry.source}, the volume is ${volume.device}`);
}

/**
 * Whether `target` shows the device now: a bind mount of its filesystem, or the device node itself.
 */
export async function isPublishedAt(
  mounts: Mounts,
  target: string,
  kind: 'block' | 'mount',
  numbers: DeviceNumbers,
  entries: readonly MountEntry[],
): Promise<boolean> {
  const entry = findByMountPoint(entries, target);
  if (entry === undefined) return false;
  if (kind === 'mount') return isMountOf(entry, numbers);
  // A device node that was bound shows the numbers of its devtmpfs in mountinfo; stat shows its
  // own.
  const shown = await mounts.blockDeviceNumbers(target);
  return shown?.major === numbers.major && shown.minor === numbers.minor;
}
