/**
 * Looks at the devices of attached volumes (D67): pods that have a raw block volume
 * may issue ioctls that turn it into something else (host/block/loop-guard.ts). What was put right is
 * told; a device that is not the volume's any more fails the volume, for good as every failure: what is
 * written through such a device cannot be trusted, and csi publishes it to no pod
 * (csi/node/own-device.ts).
 *
 * A change between two looks is not noticed. It harms the volume of the pod that made it, never another
 * one: the device is kept open and so keeps its number (host/block/fuse-loop-device.ts), and its requests
 * end in the volume's own file.
 */
import type { Logger } from '../base/log.ts';
import { err, ok, type Result } from '../base/result.ts';
import type { ExportedDevice } from '../ports/block.ts';
import type { Volume } from '../volume/volume.ts';
import type { Notices } from './notices.ts';

/** How often pathd has them looked at. */
export const DEVICE_WATCH_MS = 5_000;

export interface WatchedDevice {
  readonly volume: Volume;
  readonly device: ExportedDevice;
  readonly readOnly: boolean;
}

/** One look at each, all at the same time: one that is slow to answer keeps none of the others waiting. */
export async function inspectDevices(
  devices: readonly WatchedDevice[],
  notices: Notices,
  log: Logger,
): Promise<void> {
  await Promise.all(devices.map((watched) => inspectDevice(watched, notices, log)));
}

/** Writes what the kernel has cached of any of them, at most for so long; says what it could not. */
export async function syncDevices(
  devices: readonly WatchedDevice[],
  timeoutMs: number,
  log: Logger,
): Promise<void> {
  const syncs = devices.map(async ({ volume, device, readOnly }) => {
    const synced = readOnly ? ok(undefined) : await device.sync(timeoutMs);
    if (synced.ok) return;
    const { volumeId } = volume.options;
    log.warn({ volumeId, why: synced.error.detail }, 'not all that was written is safe');
  });
  await Promise.all(syncs);
}

/** One look at one device; the error says why the volume has failed. */
export async function inspectDevice(
  { volume, device }: Pick<WatchedDevice, 'volume' | 'device'>,
  notices: Notices,
  log: Logger,
): Promise<Result<void, string>> {
  if (volume.status().state === 'failed') return err(volume.status().reason);
  const { volumeId } = volume.options;
  const verdict = await device.inspect();
  if (verdict.kind === 'fine') return ok(undefined);
  const what = verdict.kind === 'restored' ? verdict.what : verdict.why;
  log.warn({ volumeId, what, lost: verdict.kind === 'lost' }, 'device was tampered with');
  const message =
    verdict.kind === 'restored'
      ? `${what}. See which pod has the volume as a raw block device: this driver does not do this`
      : `${what}. The volume fails: delete its pods, so that it is staged anew, and see which pod has done it`;
  notices.add(volumeId, { reason: 'DeviceTampered', warning: true, message });
  if (verdict.kind === 'restored') return ok(undefined);
  await volume.giveUp(`its device was tampered with: ${what}`);
  return err(what);
}
