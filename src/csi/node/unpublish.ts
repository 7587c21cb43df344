/**
 * NodeUnpublishVolume: unmount the pod's path and delete it. Nothing is asked of pathd or of the
 * device, so a pod on dead storage can always be taken away.
 */
import { parsePath, parseVolumeId } from '../wire/parse.ts';
import { CsiError, messageOf } from '../wire/csi-error.ts';
import type { UnpublishRequest } from '../wire/csi-messages.ts';
import type { NodeContext } from './context.ts';
import type { Mounts } from './mounts.ts';

export interface UnpublishCall {
  readonly volumeId: string;
  readonly targetPath: string;
}

export function parseUnpublish(request: UnpublishRequest): UnpublishCall {
  return {
    volumeId: parseVolumeId(request.volumeId),
    targetPath: parsePath(request.targetPath, 'target_path'),
  };
}

export async function unpublish(node: NodeContext, call: UnpublishCall): Promise<void> {
  const { volumeId } = call;
  const targetPath = await node.mounts.canonicalPath(call.targetPath);
  const record = await node.state.read(volumeId);
  await removeTarget(node.mounts, volumeId, targetPath);
  if (!record?.publications.some((one) => one.targetPath === targetPath)) return;
  const publications = record.publications.filter((one) => one.targetPath !== targetPath);
  try {
    await node.state.write({ ...record, publications });
  } catch (error) {
    // A stale entry does no harm, mountinfo decides; a pod that cannot end because of a full disk
    // does.
    node.log.warn(
      { volumeId, error: messageOf(error) },
      'publication was not struck off the record',
    );
  }
}

/** Unmounts a target and removes it (host/mount/mount-place.ts says what is removed and what is not). */
export async function removeTarget(
  mounts: Mounts,
  volumeId: string,
  targetPath: string,
): Promise<void> {
  const fail = (why: string): CsiError =>
    new CsiError('INTERNAL', `volume ${volumeId}: cannot remove ${targetPath}: ${why}`);
  const unmounted = await mounts.unmountAll(targetPath);
  if (!unmounted.ok) throw fail(unmounted.error.detail);
  const removed = await mounts.removePlace(targetPath);
  if (!removed.ok) throw fail(removed.error);
}
