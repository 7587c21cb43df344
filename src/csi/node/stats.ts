/**
 * NodeGetVolumeStats. The kubelet asks once a minute for every pod, also while storage is dead, so
 * this must neither hang nor read the volume: whether the path is one of ours comes from the record,
 * mountinfo and device numbers, usage from statfs in a child with a time limit (late: the last
 * answer is given again), the condition from pathd's memory, and not waited for long.
 *
 * Of a raw block volume the kubelet names neither staging nor target path, but a bind mount of its
 * own, `<kubelet>/plugins/kubernetes.io/csi/volumeDevices/<pv>/dev/<pod uid>` (pkg/volume/csi,
 * NewBlockVolumeMapper). Hence no list of paths: whatever shows the volume's device is the volume.
 */
import { ok } from '../../base/result.ts';
import { findByMountPoint } from '../../host/mount/mountinfo.ts';
import type { FilesystemUsage } from '../../host/mount/statfs.ts';
import type { VolumeStatus } from '../../pathd/api.ts';
import { parseVolumeId, parseVolumePath } from '../wire/parse.ts';
import { CsiError, messageOf } from '../wire/csi-error.ts';
import type { StatsRequest, StatsResponse, VolumeUsage } from '../wire/csi-messages.ts';
import { conditionOf } from './condition.ts';
import { type NodeContext, attachedVolume } from './context.ts';
import type { Mounts } from './mounts.ts';
import { proveOwnDevice } from './own-device.ts';
import type { StageRecord } from './stage-record.ts';

const STATFS_TIMEOUT_MS = 2_000;
/** pathd answers from memory; one that is busy or away must not make a minute's number late. */
const PATHD_TIMEOUT_MS = 1_000;

export interface StatsCall {
  readonly volumeId: string;
  readonly volumePath: string;
}

export function parseStats(request: StatsRequest): StatsCall {
  const volumeId = parseVolumeId(request.volumeId);
  return { volumeId, volumePath: parseVolumePath(volumeId, request.volumePath) };
}

export async function stats(node: NodeContext, call: StatsCall): Promise<StatsResponse> {
  const { volumeId } = call;
  const path = await node.mounts.canonicalPath(call.volumePath);
  const { volume, why } = await askPathd(node, volumeId);
  const record = await findVolumeAt(node, volumeId, path, volume);
  const own = volume === undefined ? ok(undefined) : await proveOwnDevice(node.mounts, volume);
  const volumeCondition = own.ok
    ? conditionOf(volume, why)
    : { abnormal: true, message: own.error };
  if (record.capability.access.kind === 'block') {
    // The size of another's device says nothing about this volume.
    const isOwn = own.ok || volume === undefined;
    const total = isOwn ? await blockSize(node.mounts, record, volume) : volume.sizeBytes;
    return { usage: [{ unit: 'BYTES', total }], volumeCondition };
  }
  return { usage: await filesystemUsage(node, volumeId, path), volumeCondition };
}

/** What pathd says of the volume, or why it says nothing. */
async function askPathd(
  node: NodeContext,
  volumeId: string,
): Promise<{ readonly volume: VolumeStatus | undefined; readonly why: string }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('pathd does not answer')), PATHD_TIMEOUT_MS);
  });
  try {
    const volume = await Promise.race([attachedVolume(node, volumeId), late]);
    return { volume, why: 'the volume is not attached' };
  } catch (error) {
    return { volume: undefined, why: messageOf(error) };
  } finally {
    clearTimeout(timer);
  }
}

async function filesystemUsage(
  node: NodeContext,
  volumeId: string,
  path: string,
): Promise<readonly VolumeUsage[]> {
  const answer = await node.mounts.statfs(path, STATFS_TIMEOUT_MS);
  if (answer.ok) {
    const usage = usageOf(answer.value);
    node.lastUsage.set(volumeId, usage);
    return usage;
  }
  const { kind, detail } = answer.error;
  if (kind === 'failed') throw new CsiError('INTERNAL', `volume ${volumeId}: ${detail}`);
  const last = node.lastUsage.get(volumeId);
  if (last === undefined) throw new CsiError('UNAVAILABLE', `volume ${volumeId}: ${detail}`);
  node.log.warn({ volumeId, detail }, 'filesystem does not answer: last usage given again');
  return last;
}

/**
 * The record of a volume that is staged or published at `path` now; NOT_FOUND otherwise.
 *
 * @param volume as pathd has it; undefined: not known, its device is where it was at stage.
 */
export async function findVolumeAt(
  node: NodeContext,
  volumeId: string,
  path: string,
  volume: VolumeStatus | undefined,
): Promise<StageRecord> {
  const record = await node.state.read(volumeId);
  if (record?.phase !== 'staged') {
    throw new CsiError('NOT_FOUND', `volume ${volumeId} is not staged on this node`);
  }
  const isStaging = record.stagingPath === path;
  if (record.capability.access.kind === 'block') {
    if (isStaging || (await showsDevice(node.mounts, path, deviceOf(record, volume))))
      return record;
  } else {
    const isTarget = record.publications.some((one) => one.targetPath === path);
    const isMounted = findByMountPoint(await node.mounts.readMountInfo(), path) !== undefined;
    if ((isStaging || isTarget) && isMounted) return record;
  }
  throw new CsiError('NOT_FOUND', `volume ${volumeId} is not at ${path}`);
}

function deviceOf(record: StageRecord, volume: VolumeStatus | undefined): string {
  return volume?.device ?? record.device ?? '';
}

/** Whether `path` is a node of the device, whatever its name. Never opens it. */
async function showsDevice(mounts: Mounts, path: string, device: string): Promise<boolean> {
  const shown = await mounts.blockDeviceNumbers(path);
  const wanted = await mounts.blockDeviceNumbers(device);
  if (shown === undefined || wanted === undefined) return false;
  return shown.major === wanted.major && shown.minor === wanted.minor;
}

async function blockSize(
  mounts: Mounts,
  record: StageRecord,
  volume: VolumeStatus | undefined,
): Promise<number> {
  const device = deviceOf(record, volume);
  const size = await mounts.blockDeviceSize(device);
  if (size !== undefined) return size;
  throw new CsiError('NOT_FOUND', `volume ${record.volumeId}: its device ${device} is gone`);
}

function usageOf(usage: FilesystemUsage): readonly VolumeUsage[] {
  return [
    {
      unit: 'BYTES',
      total: usage.totalBytes,
      used: usage.usedBytes,
      available: usage.availableBytes,
    },
    {
      unit: 'INODES',
      total: usage.totalInodes,
      used: usage.usedInodes,
      available: usage.availableInodes,
    },
  ];
}
