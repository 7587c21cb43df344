/** Which recorded publications are really there: after a reboot the record outlives the mounts. */
import { findByMountPoint } from '../../host/mount/mountinfo.ts';
import type { VolumeStatus } from '../../pathd/api.ts';
import { isPublishedAt } from './context.ts';
import type { Mounts } from './mounts.ts';
import type { Publication, StageRecord } from './stage-record.ts';

/**
 * Publications whose target is mounted now. With the volume attached, only mounts of its device
 * count; without, any mount at the target does, because a pod may still sit in a dead one.
 */
export async function livePublications(
  mounts: Mounts,
  record: StageRecord,
  volume: VolumeStatus | undefined,
): Promise<readonly Publication[]> {
  if (record.publications.length === 0) return [];
  const entries = await mounts.readMountInfo();
  const numbers = volume === undefined ? undefined : await mounts.blockDeviceNumbers(volume.device);
  const live: Publication[] = [];
  for (const publication of record.publications) {
    const { targetPath, capability } = publication;
    const isLive =
      numbers === undefined
        ? findByMountPoint(entries, targetPath) !== undefined
        : await isPublishedAt(mounts, targetPath, capability.access.kind, numbers, entries);
    if (isLive) live.push(publication);
  }
  return live;
}
