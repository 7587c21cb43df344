/**
 * Whether a device is the volume's, asked of the kernel and not of its name (D67): /dev/loopN is a number that
 * comes to belong to another volume once it is free, and a pod with a raw block volume may try to free it
 * (host/block/loop-guard.ts). What stands behind a device is the volume's own file, in sysfs as pathd saw it.
 */
import { err, ok, type Result } from '../../base/result.ts';
import type { PathdApi, VolumeStatus } from '../../pathd/api.ts';
import { CsiError } from '../wire/csi-error.ts';
import type { Mounts } from './mounts.ts';

/**
 * The device is the volume's, or there is nothing to compare; the error says why it is not. Rejects when the
 * kernel could not be asked (no descriptor, no memory): that proves nothing, and the call comes again.
 */
export async function proveOwnDevice(
  mounts: Mounts,
  { device, backingFile = '' }: Pick<VolumeStatus, 'device' | 'backingFile'>,
): Promise<Result<void, string>> {
  if (backingFile === '') return ok(undefined);
  const numbers = await mounts.blockDeviceNumbers(device);
  if (numbers === undefined) return err(`its device ${device} is gone`);
  const shown = await mounts.readBackingFile(numbers);
  if (shown === undefined) return err(`its device ${device} was detached by another process`);
  if (shown === backingFile) return ok(undefined);
  return err(`its device ${device} is another's now: it shows ${shown}, not ${backingFile}`);
}

/** Nothing is formatted, checked or mounted by the name of a device alone. */
export async function requireOwnDevice(
  { pathd, mounts }: { readonly pathd: Pick<PathdApi, 'status'>; readonly mounts: Mounts },
  volumeId: string,
): Promise<void> {
  const volume = (await pathd.status(volumeId)).find((one) => one.volumeId === volumeId);
  const own =
    volume === undefined ? err('it is not attached') : await proveOwnDevice(mounts, volume);
  if (own.ok) return;
  throw new CsiError('INTERNAL', `volume ${volumeId} was attached, but ${own.error}: try again`);
}
