/**
 * The tiers of tests, from what runs anywhere to what needs a real kernel, and whether this machine
 * can run them. The question is answered by trying the thing itself (open the device, make the
 * namespace): permissions, modules and containers differ in too many ways to be derived.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ensurePackages, ensureTools } from '../cluster/build-tools.ts';
import { CLUSTER_TOOLS, toolPath } from '../cluster/cache.ts';

export const TIERS = [
  'unit',
  'property',
  'conformance',
  'chart',
  'interop',
  'kernel',
  'sanity',
  'cluster',
] as const;
export type Tier = (typeof TIERS)[number];

/** Run only where they are asked for by name. */
export const ON_REQUEST: readonly Tier[] = ['cluster'];

const MINUTE_MS = 60_000;

/** How long a tier may take. The first run of `cluster` on a machine builds Kubernetes. */
export function limitMs(tier: Tier): number {
  return (tier === 'cluster' ? 60 : 20) * MINUTE_MS;
}

const CHART_TOOLS = ['helm', 'kube-apiserver'] as const;
const SANITY_TOOLS = ['csi-sanity'] as const;

/** Builds or installs what the tier needs of its own; minutes on a fresh machine, else nothing. */
export async function prepare(tier: Tier): Promise<void> {
  if (tier === 'chart') {
    await ensurePackages(['etcd-server']);
    await ensureTools(CHART_TOOLS);
  } else if (tier === 'sanity') await ensureTools(SANITY_TOOLS);
}

/** Why the tier cannot run here, each with what to do; empty: it can. */
export function obstacles(tier: Tier): string[] {
  switch (tier) {
    case 'unit':
    case 'property':
    case 'conformance':
      return [];
    case 'chart':
      return [...needTools(...CHART_TOOLS), ...needEtcd()];
    case 'interop':
      return [...needRoot(), ...needPrograms('tgtd', 'tgtadm', 'ip'), ...needNamespaces()];
    case 'kernel':
      return [
        ...needRoot(),
        ...needPrograms('tgtd', 'tgtadm', 'losetup', 'mount', 'mkfs.ext4', 'blkid', 'fio'),
        ...needDevice('/dev/fuse', 'modprobe fuse'),
        ...needDevice('/dev/loop-control', 'modprobe loop'),
      ];
    case 'sanity':
      return [...obstacles('kernel'), ...needTools(...SANITY_TOOLS)];
    case 'cluster':
      return [
        ...needRoot(),
        ...needPrograms('tgtd', 'tgtadm', 'ip', 'nsenter', 'apt-get'),
        ...needTools(...CLUSTER_TOOLS),
        ...needNamespaces(),
        ...needDevice('/dev/fuse', 'modprobe fuse'),
        ...needDevice('/dev/loop-control', 'modprobe loop'),
      ];
  }
}

function needRoot(): string[] {
  return process.getuid?.() === 0 ? [] : ['not root: run it with sudo'];
}

function needPrograms(...programs: string[]): string[] {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const missing = programs.filter(
    (program) => !folders.some((folder) => existsSync(join(folder, program))),
  );
  return missing.length === 0
    ? []
    : [`not on PATH: ${missing.join(', ')}; npm run setup -- --system installs them`];
}

function needEtcd(): string[] {
  if (existsSync('/usr/bin/etcd') || needRoot().length + needPrograms('apt-get').length === 0) {
    return [];
  }
  return ['no /usr/bin/etcd, and not root on Debian to install it: the package is etcd-server'];
}

function needTools(...names: string[]): string[] {
  const missing = names.filter((name) => !existsSync(toolPath(name)));
  return missing.length === 0 || needPrograms('go').length === 0
    ? []
    : [
        `not built, and no Go toolchain to build them with (https://go.dev/dl): ${missing.join(', ')}`,
      ];
}

function needNamespaces(): string[] {
  const { status } = spawnSync('unshare', ['--net', 'true'], { stdio: 'ignore', timeout: 10_000 });
  return status === 0 ? [] : ['cannot make a network namespace: needs CAP_SYS_ADMIN'];
}

function needDevice(path: string, hint: string): string[] {
  try {
    closeSync(openSync(path, 'r+'));
    return [];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [`${reason} (try ${hint}; a container must be privileged)`];
  }
}
