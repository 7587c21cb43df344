/**
 * Whether a device is the volume's, asked of the kernel and not of its name (D67): /dev/loopN is a number that
 * comes to belong to another volume once it is free, and a pod with a raw block volume may try to free it
 * (host/block/loop-guard.ts). What stands behind a device is the volume's own file, in sysfs as pathd saw it.
 */
import type { PathdApi, VolumeStatus } from '../../pathd/api.ts';
import { CsiError } from '../wire/status.ts';
import type { Mounts } from './mounts.ts';

/**
 * Why the device is not the volume's; undefined: it is, or there is nothing to compare. Rejects when the
 * kernel could not be asked (no descriptor, no memory): that proves nothing, and the call comes again.
 */
export async function whyForeign(
  mounts: Mounts,
  { device, backingFile = '' }: Pick<VolumeStatus, 'device' | 'backingFile'>,
): Promise<string | undefined> {
  if (backingFile === '') return undefined;
  const numbers = await mounts.blockDeviceNumbers(device);
  if (numbers === undefined) return `its device ${device} is gone`;
  const shown = await mounts.readBackingFile(numbers);
  if (shown === undefined) return `its device ${device} was detached by another process`;
  if (shown === backingFile) return undefined;
  return `its device ${device} is another's now: it shows ${shown}, not ${backingFile}`;
}

/** Nothing is formatted, checked or mounted by the name of a device alone. */
export async function requireOwnDevice(
  { pathd, mounts }: { readonly pathd: Pick<PathdApi, 'status'>; readonly mounts: Mounts },
  volumeId: string,
): Promise<void> {
  const volume = (await pathd.status(volumeId)).find((one) => one.volumeId === volumeId);
  const foreign = volume === undefined ? 'it is not attached' : await whyForeign(mounts, volume);
  if (foreign === undefined) return;
  throw new CsiError('INTERNAL', `volume ${volumeId} was attached, but ${foreign}: try again`);
}
