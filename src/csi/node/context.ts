/**
 * What every CSI call of this node works with, and the questions about the present state that several
 * calls ask.
 */
import type { Logger } from '../../base/log.ts';
import type { DeviceNumbers } from '../../host/mount/device-holders.ts';
import { type MountEntry, findByMountPoint } from '../../host/mount/mountinfo.ts';
import type { Topology, TopologyWeights } from '../../kubernetes/topology.ts';
import type { PathdApi, VolumeStatus } from '../../pathd/api.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { VolumeUsage } from '../wire/wire.ts';
import type { Mounts } from './mounts.ts';
import { whyForeign } from './own-device.ts';
import type { StateStore, VolumeRecord } from './state.ts';

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
export type NodeState = Pick<
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
  readonly state: NodeState;
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
 * Why a recorded stage is not there any more, or undefined while it is: pathd has the volume, its device
 * is its own still, and for a filesystem that device, and no other, is mounted at the staging path.
 */
export async function whyDead(
  mounts: Mounts,
  record: VolumeRecord,
  volume: VolumeStatus | undefined,
  entries: readonly MountEntry[],
): Promise<string | undefined> {
  if (volume === undefined) return 'the volume is not attached';
  const numbers = await mounts.blockDeviceNumbers(volume.device);
  if (numbers === undefined) return `its device ${volume.device} is gone`;
  const foreign = await whyForeign(mounts, volume);
  if (foreign !== undefined) return foreign;
  if (record.capability.access.kind === 'block') return undefined;
  const entry = findByMountPoint(entries, record.stagingPath);
  if (entry === undefined) return `nothing is mounted at ${record.stagingPath}`;
  if (isMountOf(entry, numbers)) return undefined;
  return `${record.stagingPath} is a mount of ${entry.source}, the volume is ${volume.device}`;
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
