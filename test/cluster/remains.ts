/**
 * What a cluster leaves on the machine, and its removal. Works from what is on disk and in the
 * kernel, not from memory: teardown ends with it, so do a failed start and the process's exit, and
 * the next start calls it for clusters whose process was killed. Everything here blocks and is
 * idempotent.
 *
 * Components change the machine outside their folder, whatever they are told: the kubelet sets
 * sysctls and makes /var/lib/kubelet/device-plugins and links in /var/log/containers, containerd
 * keeps shim sockets in /run/containerd, libcni results in /var/lib/cni. What was there before is written down at the start (before.json) and is what comes
 * back.
 */
import { appendFileSync, existsSync, globSync, lstatSync, mkdirSync, readFileSync } from 'node:fs';
import { readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killCgroup, removeCgroup } from './cgroups.ts';
import { isBelow, unmountBelow } from './mounts.ts';
import { runNow } from './process.ts';

const PREFIX = 'pp-cluster-';
const BEFORE = 'before.json';

/** Changed by the kubelet; its flag against that makes it refuse to start instead. */
const SYSCTLS = [
  'kernel/keys/root_maxbytes',
  'kernel/keys/root_maxkeys',
  'kernel/panic',
  'kernel/panic_on_oops',
  'vm/overcommit_memory',
  'vm/panic_on_oom',
] as const;

/** Made by components; removed again, empty or not, where they were not before. */
const FOLDERS = [
  '/etc/cni',
  '/opt/cni',
  '/run/containerd',
  '/var/lib/cni',
  '/var/lib/kubelet',
  '/var/log/containers',
  '/var/log/pods',
] as const;

interface Before {
  /**
   * Process that owns the cluster and when it started, so that a pid used again is not mistaken.
   */
  readonly owner: number;
  readonly ownerStart: string;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly absent: readonly string[];
}

function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/PID/stat; undefined: no such process. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Makes the folder of a new cluster and writes down how the machine is now. */
export function makeRoot(): { root: string; cgroup: string } {
  removeAbandoned();
  const cgroup = `${PREFIX}${String(process.pid)}`;
  const root = join(tmpdir(), cgroup);
  const sysctls = SYSCTLS.flatMap((name) => {
    const value = readSysctl(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const before: Before = {
    owner: process.pid,
    ownerStart: startOf(process.pid) ?? '',
    sysctls: Object.fromEntries(sysctls),
    absent: FOLDERS.filter((folder) => !existsSync(folder)),
  };
  mkdirSync(root, { mode: 0o755 });
  writeFileSync(join(root, BEFORE), JSON.stringify(before));
  return { root, cgroup };
}

/**
 * Removes clusters whose process is gone. Throws when one is alive: two cannot share the
 * sysctls.
 */
export function removeAbandoned(): void {
  for (const name of readdirSync(tmpdir()).filter((file) => file.startsWith(PREFIX))) {
    const root = join(tmpdir(), name);
    const before = readBefore(root);
    if (before !== undefined && startOf(before.owner) === before.ownerStart) {
      throw new Error(`a cluster runs already: process ${String(before.owner)}, ${root}`);
    }
    const left = removeRemains(root, name);
    if (left.length > 0) throw new Error(`remains of an earlier cluster: ${left.join('; ')}`);
  }
}

function readBefore(root: string): Before | undefined {
  try {
    return JSON.parse(readFileSync(join(root, BEFORE), 'utf8')) as Before;
  } catch {
    return undefined; // killed before it was written: then nothing had been started either
  }
}

const SHARED = 'shared';

/** Writes down a folder that becomes a mount of its own, before it does. */
export function rememberShared(root: string, folder: string): void {
  appendFileSync(join(root, SHARED), `${folder}\n`);
}

function unmountShared(root: string): string[] {
  const file = join(root, SHARED);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8').split('\n').filter(Boolean).flatMap(unmountBelow);
}

/** The kubelet links container logs here; a real kubelet's links are not ours. */
function removeLogLinks(root: string): void {
  const folder = '/var/log/containers';
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const link = join(folder, name);
    if (!lstatSync(link).isSymbolicLink()) continue;
    const target = readlinkSync(link);
    if (isBelow(root, target) || !existsSync(link)) rmSync(link);
  }
}

function restore(before: Before): string[] {
  const left: string[] = [];
  for (const folder of before.absent) {
    left.push(...unmountBelow(folder).map((path) => `mount ${path}`));
    removeFolder(folder, left);
  }
  for (const [name, value] of Object.entries(before.sysctls)) {
    if (readSysctl(name) === value) continue;
    try {
      writeFileSync(`/proc/sys/${name}`, value);
    } catch (error) {
      left.push(`sysctl ${name}: ${String(error)}`);
    }
  }
  return left;
}

/** Never crosses into a mounted file system: what is mounted there is somebody's data. */
function removeFolder(folder: string, left: string[]): void {
  if (!existsSync(folder)) return;
  const problem = runNow('rm', ['-rf', '--one-file-system', folder]);
  if (problem !== undefined) left.push(problem);
}

/**
 * Devices on files below the cluster's folder: a killed pathd leaves them, and nobody else would ever
 * let go of them. One that is mounted goes with its last mount.
 */
export function detachLoops(root: string): void {
  for (const file of globSync('/sys/block/loop*/loop/backing_file')) {
    try {
      if (!isBelow(root, readFileSync(file, 'utf8').trim())) continue;
    } catch {
      continue; // gone since it was listed
    }
    runNow('losetup', ['--detach', `/dev/${file.split('/')[3] ?? ''}`]);
  }
}

/** Seconds after SIGKILL in which a process must be gone; one stuck in the kernel never is. */
const KILL_LIMIT_MS = 20_000;

/**
 * Ends every process of the cluster, unmounts and removes what it made and restores what it
 * changed. Returns what is left, a line each: empty means nothing.
 */
export function removeRemains(root: string, cgroup: string): string[] {
  const left = killCgroup(cgroup, KILL_LIMIT_MS).map((pid) => `process ${String(pid)} lives on`);
  detachLoops(root);
  const mounted = [...unmountShared(root), ...unmountBelow(root)];
  left.push(...mounted.map((path) => `mount ${path}`));
  left.push(...removeCgroup(cgroup).map((path) => `cgroup ${path}`));
  if (existsSync(`/run/netns/${cgroup}`)) {
    const problem = runNow('ip', ['netns', 'delete', cgroup]);
    if (problem !== undefined) left.push(problem);
  }
  removeLogLinks(root);
  const before = readBefore(root);
  if (before !== undefined) left.push(...restore(before));
  // The folder goes last: it is what finds the rest again.
  if (left.length === 0) removeFolder(root, left);
  return left;
}
