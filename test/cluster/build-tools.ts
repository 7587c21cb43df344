/**
 * Builds what the cluster tier needs and is missing: programs from Go modules into the cache,
 * Debian packages by apt. Does nothing, within a second, when everything is there.
 *
 *   node test/cluster/build-tools.ts [NAME…]      everything, or these programs and no packages
 *
 * Gently beside other work: GOMAXPROCS=1 GOFLAGS=-p=1 nice -n 19 before it.
 *
 * A program is linked in a folder of its own and moved when the linker has succeeded: what has its
 * real name is whole. What an interrupted build has compiled stays in Go's own cache, so it goes on
 * there.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TOOLS, type Tool, linkerFlags, toolFolder, toolPath } from './cache.ts';
import { toolVersion, toolsFolder } from './cache.ts';
import { run, say, systemEnv, timed } from './process.ts';

/** Program that proves a Debian package is there → package. */
const PACKAGES: Readonly<Record<string, string>> = {
  '/usr/bin/etcd': 'etcd-server',
  '/usr/bin/containerd': 'containerd',
  '/usr/sbin/runc': 'runc',
  '/usr/lib/cni/ptp': 'containernetworking-plugins',
  '/usr/bin/buildah': 'buildah',
  '/usr/sbin/debootstrap': 'debootstrap',
  '/usr/sbin/iptables': 'iptables',
  '/usr/bin/openssl': 'openssl',
};

/**
 * Compilers that collect their garbage rarely, and no debugging symbols, which the linker would drop
 * (cache.ts): 27 % less processor time, measured on net/http and go/types.
 */
const COMPILER = { CGO_ENABLED: '0', GOGC: '400' };

/** The programs of one module with all their dependencies on a slow core. */
const BUILD_LIMIT_MS = 90 * 60_000;

/**
 * Builds programs of one module together: while one is linked, on one core, the next is compiled. Each
 * gets its real name when all are there.
 */
async function build(tools: readonly Tool[]): Promise<void> {
  const [first] = tools;
  if (first === undefined) return;
  const names = tools.map(({ name }) => name).join(', ');
  const partial = join(toolsFolder(), `${first.folder}.partial-${String(process.pid)}`);
  mkdirSync(partial);
  say(`building ${first.folder} ${toolVersion(first)}: ${names} …`);
  try {
    await timed(names, () =>
      run(
        'go',
        [
          ...['build', '-trimpath', '-gcflags=all=-dwarf=false'],
          ...['-ldflags', linkerFlags(first), '-o', `${partial}/`],
          ...tools.map(({ goPackage }) => goPackage),
        ],
        {
          cwd: toolFolder(first),
          env: systemEnv({ ...COMPILER, GOFLAGS: `-buildvcs=false ${goFlags()}`.trim() }),
          limitMs: BUILD_LIMIT_MS,
        },
      ),
    );
    for (const { name } of tools) renameSync(join(partial, name), toolPath(name));
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** The caller's, but for the one that is always set here. */
function goFlags(): string {
  return (process.env['GOFLAGS'] ?? '').replace(/-buildvcs\S*/g, '').trim();
}

/** Left by a build that was killed. One that runs at this moment has a process. */
function removePartials(): void {
  for (const name of readdirSync(toolsFolder())) {
    const pid = /\.partial-(\d+)$/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    rmSync(join(toolsFolder(), name), { recursive: true });
  }
}

/** Builds programs that are missing, of all or of these; resolves with the folder that holds them. */
export async function ensureTools(
  names: readonly string[] = TOOLS.map(({ name }) => name),
): Promise<string> {
  removePartials();
  const wanted = TOOLS.filter(({ name }) => names.includes(name));
  if (wanted.length < names.length) throw new Error(`not all known: ${names.join(', ')}`);
  const missing = wanted.filter(({ name }) => !existsSync(toolPath(name)));
  if (missing.length > 0) {
    const problem = 'building these needs a Go toolchain on PATH, https://go.dev/dl';
    await run('go', ['version']).catch((error: unknown) => {
      throw new Error(`${problem} (${String(error)})`);
    });
  }
  for (const folder of new Set(missing.map((tool) => tool.folder))) {
    await build(missing.filter((tool) => tool.folder === folder));
  }
  return toolsFolder();
}

/**
 * Installs Debian packages that are missing. None of their services may start: containerd and etcd
 * would take ports, sockets and cgroups of their own. policy-rc.d is what Debian asks before it
 * starts one; a machine's own is kept.
 */
export async function ensurePackages(
  wanted: readonly string[] = Object.values(PACKAGES),
): Promise<void> {
  const missing = Object.entries(PACKAGES).filter(([program]) => !existsSync(program));
  const names = missing.map(([, name]) => name).filter((name) => wanted.includes(name));
  if (names.length === 0) return;
  if (process.getuid?.() !== 0) throw new Error(`as root: apt-get install ${names.join(' ')}`);
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    const env = systemEnv({ DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' });
    await timed(`Debian packages: ${names.join(' ')}`, async () => {
      await run('apt-get', ['update', '-qq'], { env });
      const install = ['install', '-y', '-qq', '--no-install-recommends', ...names];
      await run('apt-get', install, { env, limitMs: 900_000 });
    });
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}

if (import.meta.main) {
  try {
    const asked = process.argv.slice(2);
    const names = asked.length > 0 ? asked : TOOLS.map(({ name }) => name);
    if (asked.length === 0) await ensurePackages();
    const folder = await ensureTools(names);
    for (const name of names) {
      const mib = Math.round(statSync(join(folder, name)).size / 2 ** 20);
      say(`${String(mib).padStart(5)} MiB  ${join(folder, name)}`);
    }
  } catch (error) {
    say(`build-tools: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
