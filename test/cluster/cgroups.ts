/**
 * A cgroup of the cluster's own. It is the register of everything that the cluster started: the
 * programs are put into it, the kubelet has it as `cgroupRoot`, so pods' cgroups are below it, and
 * what a container forks stays in. Teardown need not know pids: it kills whatever is in there.
 * Rejected: process groups and a list of pids (shims and containers leave both behind), a pid
 * namespace (the tests must see the processes they kill).
 *
 * Works on cgroup v1, where each controller is a tree of its own (the development machine), and on
 * v2.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

interface Tree {
  readonly at: string;
  readonly options: readonly string[];
  readonly type: string;
}

function trees(): Tree[] {
  const lines = readFileSync('/proc/mounts', 'utf8').trimEnd().split('\n');
  return lines
    .map((line) => line.split(' '))
    .filter(([, , type = '']) => type === 'cgroup' || type === 'cgroup2')
    .map(([, at = '', type = '', options = '']) => ({ at, type, options: options.split(',') }));
}

/**
 * The tree in which every process of the cluster can be found; v1 has several, this one counts
 * only.
 */
function register(): Tree {
  const all = trees();
  const tree =
    all.find(({ options }) => options.includes('pids')) ??
    all.find(({ type }) => type === 'cgroup2') ??
    all.at(0);
  if (tree === undefined) throw new Error('no cgroup file system is mounted');
  return tree;
}

/** Makes the cgroup in every tree, as the kubelet wants its root to be. */
export function makeCgroup(name: string): void {
  for (const { at } of trees()) mkdirSync(join(at, name), { recursive: true });
  mkdirSync(programs(name), { recursive: true });
}

/** Folder of the cgroup for the cluster's own programs, below the one it shares with pods. */
export function programs(name: string): string {
  return join(register().at, name, 'programs');
}

function descendants(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const inside = readdirSync(folder, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  return [...inside.flatMap((entry) => descendants(join(folder, entry.name))), folder];
}

/** Pids of everything that is in the cgroup or below it. */
export function processesIn(name: string): number[] {
  return descendants(join(register().at, name)).flatMap((folder) => {
    try {
      return readFileSync(join(folder, 'cgroup.procs'), 'utf8')
        .split('\n')
        .filter(Boolean)
        .map(Number);
    } catch {
      return []; // gone since it was listed
    }
  });
}

/**
 * Kills everything in the cgroup, again and again until it is empty: a process may fork while it is
 * listed. Blocking. Returns the pids that would not die within the limit (stuck in the kernel).
 */
export function killCgroup(name: string, limitMs: number): number[] {
  const until = performance.now() + limitMs;
  for (;;) {
    const alive = processesIn(name);
    if (alive.length === 0 || performance.now() > until) return alive;
    for (const pid of alive) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // ended by itself
      }
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
}

/** Removes the empty cgroup from every tree; returns what could not be removed. */
export function removeCgroup(name: string): string[] {
  const left: string[] = [];
  for (const { at } of trees()) {
    for (const folder of descendants(join(at, name))) {
      try {
        rmdirSync(folder);
      } catch {
        left.push(folder);
      }
    }
  }
  return left;
}
