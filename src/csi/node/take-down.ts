/**
 * Unmount, prove that the device has no user, detach: the second half of unstage. A failed volume is
 * cleared away in the same way.
 *
 * A device is only given back when an O_EXCL open of it succeeds: the unmount may have been of one of
 * several mounts, another mount namespace may have kept a copy, or the kernel may still be writing back
 * after umount had to be left alone. A detach would then turn cached writes into EIO.
 */
import { ok } from '../../base/result.ts';
import { describeUsers } from '../../host/mount/device-users.ts';
import type { Debt, VolumeStatus } from '../../pathd/api.ts';
import { CsiError } from '../wire/csi-error.ts';
import type { NodeContext } from './context.ts';
import type { Mounts } from './mounts.ts';
import { proveOwnDevice } from './own-device.ts';

const OPEN_TIMEOUT_MS = 10_000;
/**
 * A container that is being started has, for a moment, a copy of every mount of the host in its own mount
 * namespace, and udev opens what has changed: such users pass.
 */
const PASSING_USER_MS = 3_000;
const LOOK_AGAIN_MS = 100;

/**
 * `volume` is undefined when pathd does not have it: then there is only the mount to go. The same where
 * its device has come to be another's: who holds that is none of our business. Resolves with what pathd
 * says that may still take effect at the targets.
 */
export async function takeDown(
  node: NodeContext,
  volumeId: string,
  stagingPath: string,
  volume: VolumeStatus | undefined,
): Promise<readonly Debt[]> {
  const own = volume === undefined ? ok(undefined) : await proveOwnDevice(node.mounts, volume);
  if (!own.ok) node.log.warn({ volumeId, foreign: own.error }, 'unstaged without its device');
  const device = own.ok ? volume?.device : undefined;
  const unmounted = await node.mounts.unmountAll(stagingPath);
  if (!unmounted.ok) {
    const { kind, detail } = unmounted.error;
    if (kind === 'busy') throw await busy(node.mounts, volumeId, device ?? stagingPath);
    const later = kind === 'timeout' ? ' (the kernel goes on; the next call carries on here)' : '';
    const text = `volume ${volumeId}: cannot unmount ${stagingPath}: ${detail}${later}`;
    throw new CsiError('INTERNAL', text);
  }
  if (device !== undefined) await requireUnused(node.mounts, volumeId, device);
  // Also when pathd did not list it: an attach may have been under way when csi died.
  const { debts } = await node.pathd.detach(volumeId);
  return debts;
}

async function requireUnused(mounts: Mounts, volumeId: string, device: string): Promise<void> {
  const until = performance.now() + PASSING_USER_MS;
  for (;;) {
    const opened = await withDeadline(mounts.openExclusive(device), device);
    if (opened.ok || opened.error.kind === 'no-device') return;
    if (opened.error.kind !== 'busy') {
      throw new CsiError('INTERNAL', `volume ${volumeId}: ${device}: ${opened.error.detail}`);
    }
    if (performance.now() >= until) throw await busy(mounts, volumeId, device);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

async function busy(mounts: Mounts, volumeId: string, device: string): Promise<CsiError> {
  const users = describeUsers(await mounts.findUsers(device));
  return new CsiError(
    'FAILED_PRECONDITION',
    `volume ${volumeId}: ${device} is still in use, it stays attached: ${users}`,
  );
}

/** Opening a device whose back end is silent may block in the kernel. */
async function withDeadline<T>(promise: Promise<T>, device: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const text = `${device} could not be opened within ${String(OPEN_TIMEOUT_MS)} ms`;
    timer = setTimeout(() => reject(new CsiError('INTERNAL', text)), OPEN_TIMEOUT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
