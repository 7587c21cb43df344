/**
 * The machine's mounts, and getting rid of those below a folder. Blocking: teardown may not wait.
 */
import { readFileSync } from 'node:fs';
import { runNow } from './process.ts';

/** Mount points in the order in which they were mounted. */
export function mountPoints(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
  return lines.map((line) => unescape(line.split(' ')[4] ?? ''));
}

/** mountinfo writes blanks and the like as \040. */
function unescape(path: string): string {
  return path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

export function isBelow(folder: string, path: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** Mount points at and below a folder, the innermost and latest first. */
export function mountsBelow(folder: string): string[] {
  return mountPoints()
    .filter((path) => isBelow(folder, path))
    .reverse();
}

/**
 * Unmounts everything at and below a folder. A busy or dead one is detached: it is out of sight at
 * once and gone when its last user is. Returns what is still mounted.
 */
export function unmountBelow(folder: string): string[] {
  for (const lazy of [false, true]) {
    for (const path of mountsBelow(folder)) runNow('umount', lazy ? ['-l', path] : [path]);
    if (mountsBelow(folder).length === 0) return [];
  }
  return mountsBelow(folder);
}
