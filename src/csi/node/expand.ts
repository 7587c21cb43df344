/**
 * NodeExpandVolume: takes over the size the LUN has at the target, then grows the mounted
 * filesystem. Already big enough is OK; a LUN that is still too small is OUT_OF_RANGE, since only
 * its owner can grow it.
 */
import {
  type CapacityRange,
  isReadOnlyMode,
  parseCapability,
  parseCapacity,
  parseVolumeId,
  parseVolumePath,
} from '../wire/parse.ts';
import { CsiError } from '../wire/csi-error.ts';
import type { ExpandRequest, ExpandResponse } from '../wire/csi-messages.ts';
import { type NodeContext, attachedVolume, proveStaged } from './context.ts';
import { findVolumeAt } from './stats.ts';

export interface ExpandCall {
  readonly volumeId: string;
  readonly volumePath: string;
  readonly capacity: CapacityRange;
  /** undefined: not said. */
  readonly access: 'block' | 'mount' | undefined;
}

export function parseExpand(request: ExpandRequest): ExpandCall {
  const { volumeCapability } = request;
  const volumeId = parseVolumeId(request.volumeId);
  return {
    volumeId,
    volumePath: parseVolumePath(volumeId, request.volumePath),
    capacity: parseCapacity(request.capacityRange),
    access: volumeCapability === null ? undefined : parseCapability(volumeCapability).access.kind,
  };
}

export async function expand(node: NodeContext, call: ExpandCall): Promise<ExpandResponse> {
  const { volumeId, capacity } = call;
  const volume = await attachedVolume(node, volumeId);
  const path = await node.mounts.canonicalPath(call.volumePath);
  const record = await findVolumeAt(node, volumeId, path, volume);
  const { access, mode } = record.capability;
  if (call.access !== undefined && call.access !== access.kind) {
    const text = `volume ${volumeId} is staged as ${access.kind}, not as ${call.access}`;
    throw new CsiError('INVALID_ARGUMENT', text);
  }
  const there = await proveStaged(node.mounts, record, volume, await node.mounts.readMountInfo());
  if (!there.ok) {
    throw new CsiError('FAILED_PRECONDITION', `volume ${volumeId}: ${there.error}`);
  }
  if (access.kind === 'mount' && (isReadOnlyMode(mode) || access.flags.includes('ro'))) {
    const text = `volume ${volumeId} is mounted read-only: its filesystem cannot grow`;
    throw new CsiError('FAILED_PRECONDITION', text);
  }
  const { sizeBytes } = await node.pathd.expand(volumeId, capacity.requiredBytes);
  if (sizeBytes < capacity.requiredBytes) {
    throw new CsiError(
      'OUT_OF_RANGE',
      `volume ${volumeId} has ${sizeBytes} bytes, ${capacity.requiredBytes} are required: ` +
        'grow the LUN at the target first',
    );
  }
  if (capacity.limitBytes !== 0 && sizeBytes > capacity.limitBytes) {
    const text = `volume ${volumeId} has ${sizeBytes} bytes, above the limit ${capacity.limitBytes}`;
    throw new CsiError('OUT_OF_RANGE', text);
  }
  if (access.kind === 'mount') {
    const grown = await node.mounts.growFilesystem(
      there.value.device,
      record.stagingPath,
      access.fsType,
    );
    if (!grown.ok) throw new CsiError('INTERNAL', `volume ${volumeId}: ${grown.error}`);
  }
  return { capacityBytes: sizeBytes };
}
