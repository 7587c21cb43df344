#!/usr/bin/env node
/**
 * First step of every npm script that must work straight after clone.
 *
 * Runs on whatever Node the machine has (18 or newer, plain JavaScript on purpose) and makes sure of
 * three things, each only when it is missing: the npm packages of the lock file, Node 24 (it is one
 * of those packages, so it lands in node_modules/.bin, first on PATH in npm scripts), and, with
 * `--system`, the Debian packages that hold the real targets, file systems and load generators.
 * Then it runs the command after `--` with that Node.
 *
 *   node test/tooling/setup.mjs [--system] [--quiet] [-- command args…]
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const split = process.argv.indexOf('--');
const flags = process.argv.slice(2, split === -1 ? undefined : split);
const command = split === -1 ? [] : process.argv.slice(split + 1);
const say = (text) => {
  if (!flags.includes('--quiet')) process.stderr.write(`setup: ${text}\n`);
};

/** Program that proves a package is there → Debian package. */
const SYSTEM = {
  tgtd: 'tgt',
  fio: 'fio',
  ip: 'iproute2',
  nft: 'nftables',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  losetup: 'mount',
  blkid: 'util-linux',
  tshark: 'tshark',
};

function fail(text) {
  process.stderr.write(`setup: ${text}\n`);
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
  say('installing npm packages (Node 24 is one of them) …');
  // No package here needs its install script; not running any is one thing less to trust.
  const ok = run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']);
  if (!ok) fail('npm ci failed; see above. It needs an npm registry and about 450 MB of disk.');
  writeFileSync(stamp, wanted);
}

function systemPackages() {
  const missing = Object.entries(SYSTEM).filter(([program]) => !onPath(program));
  if (missing.length === 0) return;
  const names = [...new Set(missing.map(([, name]) => name))];
  const manual = `apt-get install ${names.join(' ')}`;
  if (process.getuid?.() !== 0) fail(`missing ${names.join(', ')}; as root: ${manual}`);
  if (!onPath('apt-get')) fail(`missing ${names.join(', ')}, and no apt-get here to install them`);
  say(`installing Debian packages: ${names.join(' ')} …`);
  // A service that starts by itself would hold port 3260: the tests start their own targets.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...names];
  if (!run('apt-get', ['update', '-qq'], env) || !run('apt-get', install, env)) {
    fail(`could not install them; try by hand: ${manual}`);
  }
}

npmPackages();
if (flags.includes('--system')) systemPackages();
if (command.length > 0) {
  const bin = join(root, 'node_modules', '.bin');
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
