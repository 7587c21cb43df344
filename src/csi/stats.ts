/**
 * NodeGetVolumeStats. The kubelet asks once a minute for every pod, also while storage is dead, so
 * this must neither hang nor read the volume: whether the path is one of ours comes from the record
 * and mountinfo, usage from statfs in a child with a time limit, and when that is late the last
 * answer is given again.
 */
import { blockDeviceSize } from '../host/filesystem-probe.ts';
import { findByMountPoint, readMountInfo } from '../host/mountinfo.ts';
import { canonicalPath } from '../host/mount.ts';
import { type FilesystemUsage, statfs } from '../host/statfs.ts';
import { type NodeContext, attachedVolume } from './context.ts';
import { parseVolumeId, parseVolumePath } from './parse.ts';
import type { VolumeRecord } from './state.ts';
import { CsiError } from './status.ts';
import type { StatsRequest, StatsResponse, VolumeUsage } from './wire.ts';

const STATFS_TIMEOUT_MS = 2_000;

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
  const path = await canonicalPath(call.volumePath);
  const record = await findVolumeAt(node, volumeId, path);
  if (record.capability.access.kind === 'block') {
    return { usage: [{ unit: 'BYTES', total: await blockSize(node, record, path) }] };
  }
  const answer = await statfs(path, STATFS_TIMEOUT_MS);
  if (answer.ok) {
    const usage = usageOf(answer.value);
    node.lastUsage.set(volumeId, usage);
    return { usage };
  }
  const { kind, detail } = answer.error;
  if (kind === 'failed') throw new CsiError('INTERNAL', `volume ${volumeId}: ${detail}`);
  const last = node.lastUsage.get(volumeId);
  if (last === undefined) throw new CsiError('UNAVAILABLE', `volume ${volumeId}: ${detail}`);
  node.log.warn({ volumeId, detail }, 'filesystem does not answer: last usage given again');
  return { usage: last };
}

/** The record of a volume that is staged or published at `path` now; NOT_FOUND otherwise. */
export async function findVolumeAt(
  node: NodeContext,
  volumeId: string,
  path: string,
): Promise<VolumeRecord> {
  const record = await node.state.read(volumeId);
  if (record?.phase !== 'staged') {
    throw new CsiError('NOT_FOUND', `volume ${volumeId} is not staged on this node`);
  }
  const isStaging = record.stagingPath === path;
  const isTarget = record.publications.some((one) => one.targetPath === path);
  const isBare = isStaging && record.capability.access.kind === 'block';
  const isMounted = findByMountPoint(await readMountInfo(), path) !== undefined;
  if ((isStaging || isTarget) && (isBare || isMounted)) return record;
  throw new CsiError('NOT_FOUND', `volume ${volumeId} is not at ${path}`);
}

async function blockSize(node: NodeContext, record: VolumeRecord, path: string): Promise<number> {
  const size =
    record.stagingPath === path
      ? (await attachedVolume(node, record.volumeId))?.sizeBytes
      : await blockDeviceSize(path);
  if (size !== undefined) return size;
  throw new CsiError('NOT_FOUND', `volume ${record.volumeId}: there is no device at ${path}`);
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
