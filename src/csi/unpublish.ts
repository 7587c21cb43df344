/**
 * NodeUnpublishVolume: unmount the pod's path and delete it. Nothing is asked of pathd or of the
 * device, so a pod on dead storage can always be taken away.
 */
import { lstat, rmdir, unlink } from 'node:fs/promises';
import { canonicalPath, unmountAll } from '../host/mount.ts';
import type { NodeContext } from './context.ts';
import { parsePath, parseVolumeId } from './parse.ts';
import { CsiError, messageOf } from './status.ts';
import type { UnpublishRequest } from './wire.ts';

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
  const targetPath = await canonicalPath(call.targetPath);
  const record = await node.state.read(volumeId);
  await removeTarget(volumeId, targetPath);
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

/**
 * Unmounts a target and removes it: an empty directory, or an empty file. Anything with content was
 * not made by us, and is left with an error: a recursive delete here has destroyed volumes
 * elsewhere.
 */
export async function removeTarget(volumeId: string, targetPath: string): Promise<void> {
  const fail = (why: string): CsiError =>
    new CsiError('INTERNAL', `volume ${volumeId}: cannot remove ${targetPath}: ${why}`);
  const unmounted = await unmountAll(targetPath);
  if (!unmounted.ok) throw fail(unmounted.error.detail);
  try {
    const info = await lstat(targetPath);
    if (info.isDirectory()) await rmdir(targetPath);
    else if (info.isFile() && info.size === 0) await unlink(targetPath);
    else throw fail('it is neither a directory nor an empty file');
  } catch (error) {
    if (error instanceof CsiError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw fail(message);
  }
}
