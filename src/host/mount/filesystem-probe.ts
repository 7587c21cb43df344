/**
 * What is on a block device: blkid(8) in low-level mode (`-p`: reads the device itself, no udev, no
 * cache), read with suspicion.
 *
 * Exit 2 means "nothing found", but also "cannot open the device": `blkid -p /dev/missing` prints
 * nothing and exits 2 (util-linux 2.38). Volumes were formatted because of that. So exit 2 counts
 * as blank only when the device was a readable block device before and after, and head and tail of
 * it, read by us, are zeros. Exit 8 (signatures that contradict each other), 4 and everything else
 * is an error or something foreign: never blank.
 */
import { open } from 'node:fs/promises';
import { exec } from '../exec.ts';
import { blockDeviceNumbers } from './device-users.ts';
import { oneLine } from './mount.ts';
import { DEVICE_READ_MS, readWithin } from './read-within.ts';

export type DeviceContent =
  /** No signature, and zeros at both ends. */
  | { readonly kind: 'blank' }
  | { readonly kind: 'filesystem'; readonly type: string }
  /** Partition table, LVM, LUKS, swap, RAID … or data that no signature explains. */
  | { readonly kind: 'foreign'; readonly what: string }
  /** Not known: must be treated as data. */
  | { readonly kind: 'unknown'; readonly detail: string };

/** How much of each end must be zeros. Superblocks, labels and backup tables live there. */
export const BLANK_HEAD_BYTES = 2 << 20;
export const BLANK_TAIL_BYTES = 1 << 20;
const CHUNK_BYTES = 1 << 18;

/** Looks at the device, in `timeoutMs` for each of blkid and our own reads. Never rejects. */
export async function probeDevice(
  device: string,
  timeoutMs = DEVICE_READ_MS,
): Promise<DeviceContent> {
  if ((await blockDeviceNumbers(device)) === undefined) {
    return { kind: 'unknown', detail: `${device} is not a block device` };
  }
  const { code, stdout, stderr, failure } = await exec('blkid', ['-p', '-o', 'export', device], {
    timeoutMs,
  });
  if (failure !== undefined) return { kind: 'unknown', detail: failure };
  const verdict = judgeBlkid(code, stdout, stderr);
  return verdict.kind === 'blank' ? await judgeEnds(device, timeoutMs) : verdict;
}

/** Verdict on blkid's answer alone. Pure. */
export function judgeBlkid(code: number, stdout: string, stderr: string): DeviceContent {
  if (code === 8) {
    return { kind: 'foreign', what: 'several signatures that contradict each other' };
  }
  if (code === 2 && stdout.trim() === '' && stderr.trim() === '') return { kind: 'blank' };
  if (code !== 0) {
    const detail = oneLine(stderr) || oneLine(stdout) || 'no message';
    return { kind: 'unknown', detail: `blkid ended with code ${String(code)}: ${detail}` };
  }
  const tags = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const split = line.indexOf('=');
    if (split > 0) tags.set(line.slice(0, split), line.slice(split + 1));
  }
  const type = tags.get('TYPE');
  const table = tags.get('PTTYPE');
  if (table !== undefined) {
    return { kind: 'foreign', what: `a partition table (${table})${type ? ` and ${type}` : ''}` };
  }
  if (type === undefined) return { kind: 'unknown', detail: `blkid said "${oneLine(stdout)}"` };
  if (tags.get('USAGE') === 'filesystem') return { kind: 'filesystem', type };
  return { kind: 'foreign', what: FOREIGN[type] ?? type };
}

const FOREIGN: Readonly<Record<string, string>> = {
  LVM2_member: 'an LVM physical volume (LVM2_member)',
  crypto_LUKS: 'an encrypted volume (crypto_LUKS)',
  swap: 'swap space',
  linux_raid_member: 'a RAID member (linux_raid_member)',
};

/** Reads both ends through the kernel. */
async function judgeEnds(device: string, timeoutMs: number): Promise<DeviceContent> {
  try {
    return await readWithin(device, timeoutMs, async (handle): Promise<DeviceContent> => {
      const size = await deviceSize(handle.fd);
      if (size <= 0) return { kind: 'unknown', detail: `${device} has no size` };
      const head = Math.min(size, BLANK_HEAD_BYTES);
      const tail = Math.max(head, size - BLANK_TAIL_BYTES);
      const ends: readonly [start: number, length: number][] = [
        [0, head],
        [tail, size - tail],
      ];
      for (const [start, length] of ends) {
        const found = await firstData(handle, start, length);
        if (found === undefined) continue;
        return { kind: 'foreign', what: `data without a known signature at byte ${String(found)}` };
      }
      return { kind: 'blank' };
    });
  } catch (cause) {
    return { kind: 'unknown', detail: `cannot read ${device}: ${(cause as Error).message}` };
  }
}

/** Bytes of a block device by sysfs: `stat` of a device node says 0. */
async function deviceSize(fd: number): Promise<number> {
  return (await blockDeviceSize(`/proc/self/fd/${String(fd)}`)) ?? 0;
}

/** Size in bytes; undefined when the path is no block device. Asks sysfs, so it cannot hang. */
export async function blockDeviceSize(device: string): Promise<number | undefined> {
  const numbers = await blockDeviceNumbers(device);
  if (numbers === undefined) return undefined;
  const file = `/sys/dev/block/${String(numbers.major)}:${String(numbers.minor)}/size`;
  try {
    const handle = await open(file, 'r');
    try {
      // Always in units of 512 bytes, whatever the block size.
      return Number((await handle.readFile('utf8')).trim()) * 512;
    } finally {
      await handle.close();
    }
  } catch {
    return undefined;
  }
}

/** Offset of the first byte that is not zero. */
async function firstData(
  handle: Awaited<ReturnType<typeof open>>,
  start: number,
  length: number,
): Promise<number | undefined> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const zeros = Buffer.alloc(CHUNK_BYTES);
  for (let offset = start; offset < start + length;) {
    const wanted = Math.min(CHUNK_BYTES, start + length - offset);
    const { bytesRead } = await handle.read(chunk, 0, wanted, offset);
    if (bytesRead === 0) throw new Error(`the device ends at byte ${String(offset)}`);
    if (chunk.compare(zeros, 0, bytesRead, 0, bytesRead) !== 0) {
      return offset + chunk.subarray(0, bytesRead).findIndex((byte) => byte !== 0);
    }
    offset += bytesRead;
  }
  return undefined;
}
