#!/usr/bin/env node
/**
 * First step of every npm script that must work straight after clone.
 *
 * Runs on whatever Node the machine has (18 or newer, plain JavaScript on purpose) and makes sure of
 * three things, each only when it is missing: the npm packages of the lock file, Node 24 (it is one
 * of those packages, so it lands in node_modules/.bin, first on PATH in npm scripts), and, with
 * `--system`, the Debian packages that hold the real targets, file systems and load generators
 * (`--try-system`: says what it could not install and goes on).
 * Then it runs the command after `--` with that Node.
 *
 *   node test/tooling/setup.mjs [--system|--try-system] [--quiet] [-- command args…]
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const bin = join(root, 'node_modules', '.bin');
const split = process.argv.indexOf('--');
const flags = process.argv.slice(2, split === -1 ? undefined : split);
const command = split === -1 ? [] : process.argv.slice(split + 1);
const say = (text) => {
  if (!flags.includes('--quiet')) process.stderr.write(`setup: ${text}\n`);
};

/** Program that proves a package is there → Debian package, or packages. */
const SYSTEM = {
  tgtd: 'tgt',
  istgt: 'istgt',
  fio: 'fio',
  ip: 'iproute2',
  nft: 'nftables',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  losetup: 'mount',
  blkid: 'util-linux',
  tshark: 'tshark',
  'iscsi-perf': 'libiscsi-bin',
  'qemu-img': 'qemu-utils qemu-block-extra',
  'qemu-storage-daemon': 'qemu-system-common',
  nbdfuse: 'libnbd-bin',
};

function complain(text) {
  process.stderr.write(`setup: ${text}\n`);
}

function fail(text) {
  complain(text);
  process.exit(1);
}

function run(program, args, env = process.env) {
  const done = spawnSync(program, args, { cwd: root, env, stdio: ['ignore', 2, 2] });
  return done.status === 0;
}

function onPath(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, program)));
}

function npmPackages() {
  const lock = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  const wanted = lock.digest('hex');
  const stamp = join(root, 'node_modules', '.setup-stamp');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  // A second worktree may share the packages of the first: npm would put a folder in the link's place.
  if (lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) return;
  say('installing npm packages (Node 24 is one of them) …');
  // No package here needs its install script; not running any is one thing less to trust. Not `npm ci`:
  // it refuses a lock file without the optional binaries of platforms that a registry does not carry.
  // `install --no-save` takes the versions and checksums of the lock file too, and leaves it alone.
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  const ok = run('npm', ['install', '--no-save', '--ignore-scripts', ...quiet]);
  if (!ok) fail('npm install failed; see above. It needs a registry and about 450 MB of disk.');
  writeFileSync(stamp, wanted);
}

/** The lock file brings Node 24 for Linux on x64 and arm64; elsewhere the machine's own must do. */
function nodeVersion() {
  if (existsSync(join(bin, 'node'))) return;
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 24 || (major === 24 && minor >= 11)) return;
  fail(`needs Node 24.11 or newer, this is ${process.version}, and npm has none for this platform`);
}

/** Installs what is missing; what went wrong otherwise, with what to do about it. */
function systemPackages() {
  const missing = Object.entries(SYSTEM).filter(([program]) => !onPath(program));
  if (missing.length === 0) return undefined;
  const names = [...new Set(missing.flatMap(([, name]) => name.split(' ')))];
  const manual = `apt-get install ${names.join(' ')}`;
  if (process.getuid?.() !== 0) return `missing ${names.join(', ')}; as root: ${manual}`;
  if (!onPath('apt-get')) return `missing ${names.join(', ')}, and no apt-get to install them`;
  say(`installing Debian packages: ${names.join(' ')} …`);
  // A service that starts by itself would hold port 3260: the tests start their own targets.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...names];
  const done = run('apt-get', ['update', '-qq'], env) && run('apt-get', install, env);
  return done ? undefined : `could not install ${names.join(', ')}; try by hand: ${manual}`;
}

// `npm run demo -- --targets embedded` is for machines where tgt cannot be had.
if (command.includes('embedded') || command.includes('--targets=embedded')) delete SYSTEM.tgtd;

npmPackages();
nodeVersion();
if (flags.includes('--system') || flags.includes('--try-system')) {
  const problem = systemPackages();
  if (problem !== undefined) (flags.includes('--system') ? fail : complain)(problem);
}
if (command.length > 0) {
  const path = [bin, process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter);
  const [program, ...args] = command;
  const env = { ...process.env, PATH: path };
  // Ctrl-C reaches the whole foreground group; the child decides what it means, we wait for it.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {});
  const { spawn } = await import('node:child_process');
  const child = spawn(program, args, { cwd: process.cwd(), env, stdio: 'inherit' });
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('error', (error) => fail(`cannot run ${program}: ${error.message}`));
  child.on('exit', (code, signal) => {
    process.exit(signal ? 128 + constants.signals[signal] : (code ?? 1));
  });
}
