/**
 * What a process and the kernel hold: counted before and after something that must leave nothing
 * behind, and compared. Machine-wide things (loop devices, mounts, FUSE connections) are counted only
 * as far as they belong to a given folder, because other tests run beside this one.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface LeakScope {
  /** Processes to look at. */
  readonly pids: readonly number[];
  /** Folders whose mounts, and whose files' loop devices, belong to the test. */
  readonly folders: readonly string[];
}

/** What is held: name → how much. Names of files and numbers of sockets are not part of a name. */
export type Holdings = ReadonlyMap<string, number>;

export function takeStock(scope: LeakScope): Holdings {
  const holdings = new Map<string, number>();
  const add = (what: string, count = 1): void => {
    holdings.set(what, (holdings.get(what) ?? 0) + count);
  };
  for (const [index, pid] of scope.pids.entries()) {
    // By position, so that a process that was restarted can be compared with its predecessor.
    const process = `process ${String(index)}`;
    add(`${process}: threads`, list(`/proc/${String(pid)}/task`).length);
    for (const kind of descriptors(pid)) add(`${process}: fd ${kind}`);
  }
  const inScope = (path: string): boolean => scope.folders.some((folder) => isBelow(path, folder));
  for (const mount of parseMountInfo(read('/proc/self/mountinfo'))) {
    if (!inScope(mount.mountPoint)) continue;
    add(`mount ${mount.type}`);
    if (mount.type.startsWith('fuse')) add('fuse connection');
  }
  for (const loop of list('/sys/block').filter((name) => name.startsWith('loop'))) {
    const backing = read(`/sys/block/${loop}/loop/backing_file`).trim();
    if (inScope(backing.replace(/ \(deleted\)$/, ''))) add('loop device');
  }
  return holdings;
}

/** Kinds of the open descriptors of a process: what they are, not which. */
function descriptors(pid: number): string[] {
  const folder = `/proc/${String(pid)}/fd`;
  return list(folder).map((fd) => {
    try {
      return descriptorKind(readlinkSync(`${folder}/${fd}`));
    } catch {
      return 'closed meanwhile';
    }
  });
}

/** "socket:[123]" → socket, "anon_inode:[eventpoll]" → eventpoll, "/dev/fuse" → /dev/fuse. */
export function descriptorKind(link: string): string {
  const anonymous = /^anon_inode:\[?([^\]]+)\]?$/.exec(link)?.[1];
  if (anonymous !== undefined) return anonymous;
  const special = /^(\w+):\[\d+\]$/.exec(link)?.[1];
  if (special !== undefined) return special;
  return /^\/dev\/loop\d+$/.test(link) ? '/dev/loopN' : link.startsWith('/dev/') ? link : 'file';
}

export interface MountEntry {
  readonly mountPoint: string;
  readonly type: string;
}

/** Mount points (with their escapes undone) and types of /proc/self/mountinfo, proc(5). */
export function parseMountInfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after] = line.split(' - ');
    const mountPoint = before.split(' ')[4];
    if (after === undefined || mountPoint === undefined) return [];
    const plain = mountPoint.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(parseInt(octal, 8)),
    );
    return [{ mountPoint: plain, type: after.split(' ')[0] ?? '' }];
  });
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/**
 * What `after` holds more than `before`, one line each; empty when nothing is. `tolerance` allows for
 * what comes and goes by itself (threads of a pool, a connection being made), per kind.
 */
export function leaked(
  before: Holdings,
  after: Holdings,
  tolerance: Readonly<Record<string, number>> = {},
): string {
  const lines: string[] = [];
  for (const [what, count] of after) {
    const was = before.get(what) ?? 0;
    const allowed = Object.entries(tolerance).find(([kind]) => what.endsWith(kind))?.[1] ?? 0;
    if (count > was + allowed) lines.push(`${what}: ${String(was)} before, ${String(count)} after`);
  }
  return lines.join('\n');
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
