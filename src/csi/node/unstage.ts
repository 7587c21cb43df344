/**
 * NodeUnstageVolume: unmount the staging path, detach. Idempotent; works without a record too, so
 * that what an interrupted stage or a lost state directory left behind is taken away.
 */
import { parsePath, parseVolumeId } from '../wire/parse.ts';
import { CsiError } from '../wire/csi-error.ts';
import type { UnstageRequest } from '../wire/csi-messages.ts';
import { type NodeContext, attachedVolume } from './context.ts';
import { livePublications } from './publications.ts';
import { takeDown } from './take-down.ts';

export interface UnstageCall {
  readonly volumeId: string;
  readonly stagingPath: string;
}

export function parseUnstage(request: UnstageRequest): UnstageCall {
  return {
    volumeId: parseVolumeId(request.volumeId),
    stagingPath: parsePath(request.stagingTargetPath, 'staging_target_path'),
  };
}

export async function unstage(node: NodeContext, call: UnstageCall): Promise<void> {
  const { volumeId } = call;
  const stagingPath = await node.mounts.canonicalPath(call.stagingPath);
  const record = await node.state.read(volumeId);
  if (record !== undefined && record.stagingPath !== stagingPath) {
    // Not staged there, so there is nothing to undo there; where it is staged, it stays.
    node.log.warn({ volumeId, stagingPath, staged: record.stagingPath }, 'staged elsewhere');
    return;
  }
  const volume = await attachedVolume(node, volumeId);
  const used = record === undefined ? [] : await livePublications(node.mounts, record, volume);
  if (used.length > 0) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `volume ${volumeId} is still published at ${used.map((one) => one.targetPath).join(', ')}: ` +
        'NodeUnpublishVolume comes first',
    );
  }
  const left = await takeDown(node, volumeId, stagingPath, volume);
  await node.state.remove(volumeId);
  node.lastUsage.delete(volumeId);
  await node.cluster?.unstaged(volumeId, left);
}
