/**
 * /proc/PID/mountinfo (proc_pid_mountinfo(5)): which filesystem is mounted where.
 *
 * One line a mount:
 *
 *   36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
 *   (1)(2)(3)  (4)   (5)   (6)        (7)     (8)(9)  (10)      (11)
 *
 * (7) is a list of any length, ended by the lone "-" (8). Space, tab, newline and backslash within
 * a field are written as three-digit octal escapes (\040 …). The table is the kernel's own account:
 * `mount(8)` output and /etc/mtab are not, and `stat` on a dead mount blocks or fails, so
 * everything here that wants to know about mounts reads this and nothing else.
 *
 * The parse is pure; a line that does not fit the format is left out, because a kernel that adds to
 * the format must not make every unmount fail.
 */
import { readFile } from 'node:fs/promises';

export interface MountEntry {
  readonly mountId: number;
  readonly parentId: number;
  /**
   * `st_dev` of files in this mount: the block device's own numbers for ext4 and xfs, not for
   * btrfs.
   */
  readonly major: number;
  readonly minor: number;
  /** Root of the mount within its filesystem; not `/` for bind mounts. */
  readonly root: string;
  readonly mountPoint: string;
  /** Per-mount options: rw, ro, noatime … */
  readonly options: readonly string[];
  /** shared:N, master:N, propagate_from:N, unbindable. */
  readonly propagation: readonly string[];
  readonly fsType: string;
  /** /dev/loop3, tmpfs, … whatever the filesystem calls its source. */
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** Undoes the kernel's octal escapes; a lone backslash stays what it is. */
export function unescapeMountField(field: string): string {
  if (!field.includes('\\')) return field;
  // The escapes are bytes, but only ASCII is ever escaped, so code points are the same thing.
  return field.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 8)),
  );
}

/** One line, or undefined when it is not in the format. */
export function parseMountLine(line: string): MountEntry | undefined {
  const fields = line.split(' ');
  const separator = fields.indexOf('-', 6);
  if (separator === -1 || fields.length < separator + 4) return undefined;
  const [mountId, parentId, device, root, mountPoint, options] = fields;
  const [fsType, source, superOptions] = fields.slice(separator + 1);
  const numbers = /^(\d+):(\d+)$/.exec(device ?? '');
  if (numbers === null || !/^\d+$/.test(mountId ?? '') || !/^\d+$/.test(parentId ?? '')) {
    return undefined;
  }
  return {
    mountId: Number(mountId),
    parentId: Number(parentId),
    major: Number(numbers[1]),
    minor: Number(numbers[2]),
    root: unescapeMountField(root ?? ''),
    mountPoint: unescapeMountField(mountPoint ?? ''),
    options: (options ?? '').split(','),
    propagation: fields.slice(6, separator),
    fsType: unescapeMountField(fsType ?? ''),
    source: unescapeMountField(source ?? ''),
    superOptions: (superOptions ?? '').split(','),
  };
}

/** The whole table, in the kernel's order: later entries are mounted over earlier ones. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const entry = parseMountLine(line);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

/**
 * The mount that is visible at exactly this path: the last one there, when several are stacked.
 * The path is compared as text; resolve symbolic links first.
 */
export function findByMountPoint(
  entries: readonly MountEntry[],
  mountPoint: string,
): MountEntry | undefined {
  return entries.findLast((entry) => entry.mountPoint === mountPoint);
}

/** Every mount of the filesystem with these device numbers, bind mounts included. */
export function findByDevice(
  entries: readonly MountEntry[],
  major: number,
  minor: number,
): MountEntry[] {
  return entries.filter((entry) => entry.major === major && entry.minor === minor);
}

/**
 * Reads the table of a process's mount namespace, by default our own. Rejects as `readFile` does.
 */
export async function readMountInfo(pid: number | 'self' = 'self'): Promise<MountEntry[]> {
  return parseMountInfo(await readFile(`/proc/${String(pid)}/mountinfo`, 'utf8'));
}
