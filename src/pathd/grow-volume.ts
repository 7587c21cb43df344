/**
 * Takes over the size that the unit has at its targets: the volume first, then its device. The device has
 * to show the size before csi is told.
 */
import { ok } from '../base/result.ts';
import type { ExportedDevice } from '../ports/block.ts';
import type { Volume } from '../volume/volume.ts';
import { PathdError } from './api.ts';
import { fromVolumeError } from './errors.ts';

export async function expandVolume(
  { volume, device }: { readonly volume: Volume; readonly device: ExportedDevice },
  requiredBytes: number,
): Promise<{ readonly sizeBytes: number }> {
  const isEnough = requiredBytes > 0 && volume.sizeBytes >= requiredBytes;
  const size = isEnough ? ok(volume.sizeBytes) : await volume.expand();
  if (!size.ok) throw fromVolumeError(size.error);
  // Always: an earlier call may have grown the volume and then failed to resize its device.
  const resized = await device.resize();
  if (!resized.ok) throw new PathdError('INTERNAL', resized.error.detail);
  if (size.value < requiredBytes) {
    const detail = `the LUN has ${String(size.value)} bytes on every path, ${String(requiredBytes)} wanted`;
    throw new PathdError('OUT_OF_RANGE', `${detail}: grow it at the target first`);
  }
  return { sizeBytes: size.value };
}
