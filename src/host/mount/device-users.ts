/**
 * The users of a block device: what keeps it open.
 *
 * "Device or resource busy" does not name the user. The kernel does not keep a list either, so this file
 * looks in the three places where a user can be seen:
 *
 * - mounts, in every mount namespace: a container may still have the volume mounted after the
 *   kubelet has unmounted it. /proc/PID/mountinfo of one process per namespace (/proc/PID/ns/mnt
 *   tells them apart). A mount is of the device when its numbers match, or, for filesystems that
 *   make up numbers (btrfs), when its source is the device's path;
 * - open descriptors: /proc/PID/fd/N whose stat is the same block device;
 * - other block devices on top of it: /sys/dev/block/MAJ:MIN/holders (dm, md, bcache).
 *
 * What it cannot see: swap on it is in /proc/swaps (looked at too), processes of another pid namespace
 * when /proc is not the host's, a kernel thread. So an empty list is no proof that the device has no
 * user; `openExclusive` proves that. Rejected: fuser(1) and lsof(8), which follow mount points and block
 * on a dead FUSE mount.
 */
import { constants } from 'node:fs';
import { open, readdir, readFile, readlink, stat } from 'node:fs/promises';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import type { DeviceUser } from '../../ports/block.ts';
import { exec } from '../exec.ts';
import type { MountEntry } from './mountinfo.ts';
import { parseMountInfo } from './mountinfo.ts';

const DETACHED_TIMEOUT_MS = 1_000;

/** Device numbers of a block special file. */
export interface DeviceNumbers {
  readonly major: number;
  readonly minor: number;
}

export type ExclusiveErrorKind = 'busy' | 'no-device' | 'io';

export interface ExclusiveError {
  readonly kind: ExclusiveErrorKind;
  readonly detail: string;
}

/** Splits a Linux dev_t as glibc's gnu_dev_major and gnu_dev_minor do. */
export function splitDeviceNumber(dev: number): DeviceNumbers {
  const value = BigInt(dev);
  return {
    major: Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n)),
    minor: Number((value & 0xffn) | ((value >> 12n) & 0xffffff00n)),
  };
}

/** Device numbers of a block device; undefined when the path is not one. */
export async function blockDeviceNumbers(path: string): Promise<DeviceNumbers | undefined> {
  try {
    const info = await stat(path);
    return info.isBlockDevice() ? splitDeviceNumber(info.rdev) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * All users of the device that can be seen; empty for a path that is no block device.
 *
 * @param ownFd a descriptor of this process that does not count.
 */
export async function findUsers(devicePath: string, ownFd?: number): Promise<DeviceUser[]> {
  const numbers = await blockDeviceNumbers(devicePath);
  if (numbers === undefined) return [];
  const pids = await processIds();
  const tables = await mountsByNamespace(pids);
  const users = [
    ...(await findStackedDevices(numbers)),
    ...(await findSwap(devicePath)),
    ...findMounts(devicePath, numbers, tables),
    ...(await findOpenDescriptors({ ...numbers, ...sortMounts(tables), ownFd }, pids)),
  ];
  return users.map((what) => ({ what }));
}

/** One line that names every user, for the detail of a `busy` error. */
export function describeUsers(users: readonly DeviceUser[]): string {
  if (users.length === 0) return 'held by something that /proc and /sys do not show';
  const shown = users.slice(0, 8).map((user) => user.what);
  const rest = users.length - shown.length;
  return shown.join('; ') + (rest > 0 ? `; and ${rest} more` : '');
}

/**
 * Opens the device with O_EXCL and closes it again: on a block device that succeeds only while no
 * mount, dm, md, swap or other O_EXCL opener claims it. It does not exclude plain openers (dd): see
 * `findUsers`. Opening it for reading makes no request to the device itself.
 */
export async function openExclusive(devicePath: string): Promise<Result<void, ExclusiveError>> {
  try {
    const handle = await open(devicePath, constants.O_RDONLY | constants.O_EXCL);
    await handle.close();
    return ok(undefined);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EBUSY') return err({ kind: 'busy', detail: `${devicePath} is in use` });
    const gone = code === 'ENOENT' || code === 'ENXIO' || code === 'ENODEV';
    return err({ kind: gone ? 'no-device' : 'io', detail: message });
  }
}

async function processIds(): Promise<string[]> {
  const names = await readdir('/proc').catch(() => []);
  return names.filter((name) => /^\d+$/.test(name));
}

async function findStackedDevices({ major, minor }: DeviceNumbers): Promise<string[]> {
  const names = await readdir(`/sys/dev/block/${major}:${minor}/holders`).catch(() => []);
  return names.map((name) => `held by ${name}`);
}

async function findSwap(devicePath: string): Promise<string[]> {
  const text = await readFile('/proc/swaps', 'utf8').catch(() => '');
  const used = text.split('\n').some((line) => line.split(/\s+/)[0] === devicePath);
  return used ? ['used as swap space'] : [];
}

/** The mount table of every mount namespace that has a process, by the pid it was read from. */
async function mountsByNamespace(pids: readonly string[]): Promise<Map<string, MountEntry[]>> {
  const namespaces = new Set<string>();
  const tables = new Map<string, MountEntry[]>();
  for (const pid of pids) {
    // The process may end between any two of these steps; then it holds nothing.
    const namespace = await readlink(`/proc/${pid}/ns/mnt`).catch(() => undefined);
    if (namespace === undefined || namespaces.has(namespace)) continue;
    const text = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    namespaces.add(namespace);
    tables.set(pid, parseMountInfo(text));
  }
  return tables;
}

function findMounts(
  devicePath: string,
  numbers: DeviceNumbers,
  tables: ReadonlyMap<string, readonly MountEntry[]>,
): string[] {
  const found: string[] = [];
  for (const [pid, entries] of tables) {
    for (const entry of entries) {
      if (!isMountOf(entry, devicePath, numbers)) continue;
      found.push(`mounted at ${entry.mountPoint} (pid ${pid} mount namespace)`);
    }
  }
  return found;
}

function isMountOf(entry: MountEntry, devicePath: string, numbers: DeviceNumbers): boolean {
  // A device node bind-mounted as a file (raw block volumes) has the numbers of the devtmpfs it came
  // from; such a mount holds nothing by itself, a process that opens it shows as an open descriptor.
  if (entry.major === numbers.major && entry.minor === numbers.minor) return true;
  return entry.source === devicePath && entry.fsType !== 'devtmpfs';
}

async function findOpenDescriptors(scan: FdScan, pids: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const pid of pids) {
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const isOurs = pid === String(process.pid);
    for (const fd of fds) {
      if (isOurs && fd === String(scan.ownFd)) continue;
      if (!(await isDescriptorOf(pid, fd, scan))) continue;
      // The server of the device has it open for as long as it serves it.
      if (!isOurs && (await hasFuseOpen(pid, fds))) break;
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?');
      found.push(`opened by pid ${pid} (${name.trim()})`);
      break;
    }
  }
  return found;
}

interface FdScan extends DeviceNumbers, MountIds {
  readonly ownFd: number | undefined;
}

/** Mount ids are unique in the kernel, so one set does for all namespaces. */
interface MountIds {
  /** Where `stat` answers at once. */
  readonly local: ReadonlySet<number>;
  /** Where it may not. */
  readonly remote: Set<number>;
}

async function hasFuseOpen(pid: string, fds: readonly string[]): Promise<boolean> {
  for (const fd of fds) {
    if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) === '/dev/fuse') return true;
  }
  return false;
}

/**
 * Filesystems where `stat` asks a server that may not answer, and where there are no device nodes.
 */
const REMOTE = /^(fuse|nfs|cifs|smb|ceph|9p|virtiofs|afs|lustre|glusterfs|autofs)/;

function sortMounts(tables: ReadonlyMap<string, readonly MountEntry[]>): MountIds {
  const [local, remote] = [new Set<number>(), new Set<number>()];
  for (const entries of tables.values()) {
    for (const { fsType, mountId } of entries) (REMOTE.test(fsType) ? remote : local).add(mountId);
  }
  return { local, remote };
}

async function isDescriptorOf(pid: string, fd: string, scan: FdScan): Promise<boolean> {
  const path = `/proc/${pid}/fd/${fd}`;
  const target = await readlink(path).catch(() => '');
  if (!target.startsWith('/') || target.startsWith('/memfd:')) return false; // socket:[…], pipe:[…]
  const details = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => '');
  const mountId = Number(/^mnt_id:\s*(\d+)/m.exec(details)?.[1]);
  // A block device may be opened under any name, but it is never a file of a remote filesystem.
  if (Number.isNaN(mountId) || scan.remote.has(mountId)) return false;
  const numbers = scan.local.has(mountId)
    ? await blockDeviceNumbers(path)
    : await askDetached(path, mountId, scan);
  return numbers?.major === scan.major && numbers.minor === scan.minor;
}

/** FUSE_CTL_SUPER_MAGIC, as stat(1) has it: a filesystem without device nodes. */
const FUSECTL = '65735543';

/**
 * The same of a file whose mount no table shows: it was unmounted lazily (the usual way out with a dead
 * NFS server) and is kept by who has files open. Nothing tells what filesystem it is, so a child asks,
 * with a time limit: `stat` of our own would keep a thread of libuv for as long as the server is silent.
 */
async function askDetached(
  path: string,
  mountId: number,
  { remote }: MountIds,
): Promise<DeviceNumbers | undefined> {
  const options = { timeoutMs: DETACHED_TIMEOUT_MS };
  const type = await exec('stat', ['-L', '-f', '-c', '%t', '--', path], options);
  // We have a file of it open for each volume (../block/fuse-control.ts), each with a mount that is detached.
  if (type.failure !== undefined || type.stdout.trim() === FUSECTL) {
    remote.add(mountId);
    return undefined;
  }
  const asked = await exec('stat', ['-L', '-c', '%F:%t:%T', '--', path], options);
  // Not asked again for each of its files.
  if (asked.failure !== undefined) remote.add(mountId);
  const shown = /^block special file:([0-9a-f]+):([0-9a-f]+)$/.exec(asked.stdout.trim());
  if (shown === null) return undefined;
  return { major: parseInt(shown[1] ?? '', 16), minor: parseInt(shown[2] ?? '', 16) };
}
