/**
 * NodePublishVolume: a bind mount of the staged filesystem, or of the device node, at the pod's
 * path.
 *
 * The rules for a second call follow the second table of NodePublishVolume in the CSI specification
 * (SINGLE_NODE_MULTI_WRITER is offered). Where staging is missing or dead the answer is
 * FAILED_PRECONDITION and nothing is mounted: a kubelet that was restarted publishes without
 * staging, and a bind of the bare staging directory would hand the pod the node's own disk.
 *
 * A read-only publication of a raw block volume binds the device node read-only. That bind does not stop
 * a process from opening the device for writing: the container runtime's device permission does. A device
 * that must be read-only for every process needs an access mode that says so.
 */
import { findByMountPoint } from '../../host/mount/mountinfo.ts';
import type { VolumeStatus } from '../../pathd/api.ts';
import * as parse from '../wire/parse.ts';
import { CsiError } from '../wire/csi-error.ts';
import type { PublishRequest } from '../wire/csi-messages.ts';
import { type NodeContext, attachedVolume, isPublishedAt, proveStaged } from './context.ts';
import type { Mounts } from './mounts.ts';
import { livePublications } from './publications.ts';
import { Rollback } from './rollback.ts';
import { isSameCapability } from './stage.ts';
import type { Publication, StageRecord } from './stage-record.ts';
import { removeTarget } from './unpublish.ts';

export interface PublishCall extends Publication {
  readonly volumeId: string;
  readonly stagingPath: string;
}

export function parsePublish(request: PublishRequest): PublishCall {
  const volumeId = parse.parseVolumeId(request.volumeId);
  const targetPath = parse.parsePath(request.targetPath, 'target_path');
  const capability = parse.parseCapability(request.volumeCapability);
  if (request.stagingTargetPath === '') {
    const text = 'staging_target_path is missing: NodeStageVolume comes first';
    throw new CsiError('FAILED_PRECONDITION', text);
  }
  const stagingPath = parse.parsePath(request.stagingTargetPath, 'staging_target_path');
  const readOnly = request.readonly || parse.isReadOnlyMode(capability.mode);
  return { volumeId, stagingPath, targetPath, capability, readOnly };
}

export async function publish(node: NodeContext, request: PublishCall): Promise<void> {
  const call = {
    ...request,
    stagingPath: await node.mounts.canonicalPath(request.stagingPath),
    targetPath: await node.mounts.canonicalPath(request.targetPath),
  };
  const record = await node.state.read(call.volumeId);
  const volume = await attachedVolume(node, call.volumeId);
  const { staged, device, sizeBytes } = await requireStaged(node.mounts, call, record, volume);
  const live = await livePublications(node.mounts, staged, volume);
  const same = live.find((one) => one.targetPath === call.targetPath);
  if (same !== undefined) {
    if (isSame(same, call)) return;
    throw new CsiError(
      'ALREADY_EXISTS',
      `volume ${call.volumeId} is already published at ${call.targetPath} with another ` +
        'volume_capability or readonly',
    );
  }
  requireCompatible(call, staged, live);
  node.cluster?.requireOwner(call.volumeId, call.capability.mode);
  const { targetPath, readOnly, capability } = call;
  const publications = [...live, { targetPath, readOnly, capability }];
  const rollback = new Rollback();
  try {
    await node.state.write({ ...staged, publications });
    rollback.push('record', () => node.state.write({ ...staged, publications: live }));
    await bind(node.mounts, call, staged, device, rollback);
  } catch (error) {
    await rollback.run(node.log);
    throw error;
  }
  node.cluster?.published(call.volumeId, sizeBytes);
}

async function requireStaged(
  mounts: Mounts,
  { volumeId, stagingPath }: PublishCall,
  record: StageRecord | undefined,
  volume: VolumeStatus | undefined,
): Promise<{ staged: StageRecord; device: string; sizeBytes: number }> {
  if (record?.phase !== 'staged') {
    const text = `volume ${volumeId} is not staged on this node: NodeStageVolume comes first`;
    throw new CsiError('FAILED_PRECONDITION', text);
  }
  if (record.stagingPath !== stagingPath) {
    const text = `volume ${volumeId} is staged at ${record.stagingPath}, not at ${stagingPath}`;
    throw new CsiError('FAILED_PRECONDITION', text);
  }
  const there = await proveStaged(mounts, record, volume, await mounts.readMountInfo());
  if (!there.ok) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `volume ${volumeId} was staged, but ${there.error}: delete the pods that use it on this node, so ` +
        'that it is staged again',
    );
  }
  return { staged: record, device: there.value.device, sizeBytes: there.value.sizeBytes };
}

/** The columns "other target path" of the table, and the staged capability as the limit. */
function requireCompatible(
  { volumeId, capability }: PublishCall,
  staged: StageRecord,
  live: readonly Publication[],
): void {
  if (!isSameCapability(staged.capability, capability)) {
    const text = `volume ${volumeId} is staged with another volume_capability`;
    throw new CsiError('FAILED_PRECONDITION', text);
  }
  const modes = [capability.mode, ...live.map((one) => one.capability.mode)];
  if (live.length > 0 && !modes.every(parse.allowsManyTargets)) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `volume ${volumeId} is already published at ${live[0]?.targetPath ?? '?'}, and access mode ` +
        `${modes.find((mode) => !parse.allowsManyTargets(mode)) ?? '?'} allows one target only`,
    );
  }
}

async function bind(
  mounts: Mounts,
  call: PublishCall,
  staged: StageRecord,
  device: string,
  rollback: Rollback,
): Promise<void> {
  const { targetPath, readOnly } = call;
  const { kind } = staged.capability.access;
  await clearTarget(mounts, call, staged, device);
  rollback.push('target', () => removeTarget(mounts, call.volumeId, targetPath));
  if (kind === 'mount') await mounts.makeDirectory(targetPath);
  else await mounts.makeFile(targetPath);
  const source = kind === 'mount' ? staged.stagingPath : device;
  const bound = await mounts.bindMount(source, targetPath, readOnly);
  if (!bound.ok) {
    const text = `volume ${call.volumeId} could not be published: ${bound.error.detail}`;
    throw new CsiError('INTERNAL', text);
  }
  const numbers = await mounts.blockDeviceNumbers(device);
  const entries = await mounts.readMountInfo();
  if (numbers === undefined || !(await isPublishedAt(mounts, targetPath, kind, numbers, entries))) {
    const text = `volume ${call.volumeId}: ${targetPath} does not show ${device} after the bind`;
    throw new CsiError('INTERNAL', text);
  }
}

/** A dead mount of an earlier life of the volume goes; any other mount stays. */
async function clearTarget(
  mounts: Mounts,
  call: PublishCall,
  staged: StageRecord,
  device: string,
): Promise<void> {
  const { targetPath } = call;
  const entry = findByMountPoint(await mounts.readMountInfo(), targetPath);
  if (entry === undefined) return;
  const isOurs = staged.publications.some((one) => one.targetPath === targetPath);
  if (!isOurs && entry.source !== device && entry.fsType !== 'devtmpfs') {
    const text = `${entry.source} (${entry.fsType}) is mounted at ${targetPath}: unmount it`;
    throw new CsiError('FAILED_PRECONDITION', text);
  }
  const done = await mounts.unmountAll(targetPath);
  if (!done.ok)
    throw new CsiError('INTERNAL', `cannot unmount ${targetPath}: ${done.error.detail}`);
}

function isSame(publication: Publication, call: PublishCall): boolean {
  return (
    publication.readOnly === call.readOnly &&
    publication.capability.mode === call.capability.mode &&
    parse.sameAccess(publication.capability.access, call.capability.access)
  );
}
