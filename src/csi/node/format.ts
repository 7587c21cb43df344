/**
 * What must be true before a device is mounted, and the only place that runs mkfs (D9).
 *
 * A filesystem is made when four parties agree: blkid finds nothing, our own read of head and tail
 * through the device finds zeros, pathd has read both ends through its own paths with no path failing
 * meanwhile, and pathd's durable record says that the volume was never formatted. Everything else is
 * refused with a reason, also where the answer is not certain. A pod that does not start can be repaired;
 * data that was formatted over cannot.
 *
 * The formatting record (stage-record.ts) is written first and removed last. A record that is found means that
 * an earlier mkfs did not end well. A complete filesystem is then used only after a full check has
 * succeeded. An incomplete one is left for people to look at. It is not made again: between the two calls
 * the volume may have been on another node.
 */
import type { DeviceContent } from '../../host/mount/filesystem-probe.ts';
import type { FilesystemType } from '../../host/mount/filesystem.ts';
import { CsiError } from '../wire/csi-error.ts';
import type { NodeContext } from './context.ts';
import type { Mounts } from './mounts.ts';
import type { FormatRecord } from './stage-record.ts';

export interface FormatCall {
  readonly volumeId: string;
  readonly device: string;
  readonly fsType: FilesystemType;
  readonly readOnly: boolean;
}

/** Resolves when the device holds a complete filesystem of the type asked for; else throws. */
export async function ensureFilesystem(node: NodeContext, call: FormatCall): Promise<void> {
  const interrupted = await node.state.readFormatting(call.volumeId);
  const content = await node.mounts.probeDevice(call.device);
  switch (content.kind) {
    case 'filesystem':
      if (content.type !== call.fsType) throw wrongType(call, content.type);
      if (interrupted !== undefined) await requireComplete(node.mounts, call, interrupted);
      // Also for a filesystem that others made: once seen, the volume is never formatted, whatever
      // a confused target may show in its place later.
      await node.pathd.endFormat(call.volumeId);
      if (interrupted !== undefined) await node.state.removeFormatting(call.volumeId);
      return;
    case 'blank':
      await format(node, call);
      return;
    case 'foreign':
    case 'unknown':
      throw refusal(call, content, interrupted);
  }
}

async function format(node: NodeContext, call: FormatCall): Promise<void> {
  const { volumeId, device, fsType, readOnly } = call;
  if (readOnly) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `volume ${volumeId} holds no filesystem and is read-only: it is never formatted; ` +
        'use it once with a writable access mode',
    );
  }
  const startedAt = new Date().toISOString();
  await node.state.writeFormatting({ version: 1, volumeId, fsType, startedAt });
  let verdict;
  try {
    verdict = await node.pathd.beginFormat(volumeId);
  } catch (error) {
    await node.state.removeFormatting(volumeId);
    throw error;
  }
  if (!verdict.mayFormat) {
    await node.state.removeFormatting(volumeId);
    throw new CsiError(
      'FAILED_PRECONDITION',
      `volume ${volumeId} looks blank, but it is not formatted: ${verdict.reason}`,
    );
  }
  node.log.info({ volumeId, device, fsType }, 'volume is blank: making a filesystem');
  const made = await node.mounts.makeFilesystem(device, fsType);
  if (!made.ok) {
    throw new CsiError('INTERNAL', `volume ${volumeId} could not be formatted: ${made.error}`);
  }
  await node.pathd.endFormat(volumeId);
  await node.state.removeFormatting(volumeId);
}

/** mkfs had ended, or nearly: the filesystem is used only after a full check. */
async function requireComplete(
  mounts: Mounts,
  { volumeId, device, fsType }: FormatCall,
  interrupted: FormatRecord,
): Promise<void> {
  if (await mounts.isComplete(device, fsType)) return;
  throw new CsiError(
    'FAILED_PRECONDITION',
    `volume ${volumeId}: making its ${fsType} began at ${interrupted.startedAt}, was interrupted, ` +
      'and the check of what is there fails: it is neither mounted nor made again; ' +
      `if it holds no data, wipe it (wipefs -a) and try again`,
  );
}

function wrongType({ volumeId, fsType }: FormatCall, found: string): CsiError {
  return new CsiError(
    'FAILED_PRECONDITION',
    `volume ${volumeId} holds ${found}, but ${fsType} is asked for (fsType of the ` +
      'PersistentVolume): it is neither mounted nor formatted',
  );
}

function refusal(
  { volumeId }: FormatCall,
  content: Extract<DeviceContent, { kind: 'foreign' | 'unknown' }>,
  interrupted: FormatRecord | undefined,
): CsiError {
  const history =
    interrupted === undefined
      ? ''
      : ` (making a filesystem began at ${interrupted.startedAt} and was interrupted)`;
  if (content.kind === 'unknown') {
    return new CsiError(
      'INTERNAL',
      `volume ${volumeId}: cannot tell what it holds${history}: ${content.detail}; ` +
        'it is neither mounted nor formatted',
    );
  }
  return new CsiError(
    'FAILED_PRECONDITION',
    `volume ${volumeId} holds ${content.what}${history}: it is neither mounted nor formatted; ` +
      'wipe it by hand if that is not needed (wipefs -a, blkdiscard)',
  );
}
