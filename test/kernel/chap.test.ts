/**
 * CHAP through the whole product: a Secret at stage, real tgtd that asks for it, pathd and csi as
 * processes; and that the secret is found nowhere but in the file that pathd keeps in memory.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { fakeIo } from '../unit/cli/fake-io.ts';
import { statusCommand } from '../../src/cli/status-command.ts';
import { parseVolumeConfig } from '../../src/kubernetes/contract.ts';
import { DEFAULT_WEIGHTS } from '../../src/kubernetes/topology.ts';
import { connectPathd } from '../../src/pathd/pathd-client.ts';
import type { VolumeNotice } from '../../src/pathd/api.ts';
import { refusal } from '../support/node/csi-bench.ts';
import { blockCapability, mountCapability } from '../support/node/kubelet.ts';
import { Rig, type RigOptions, secretsOf } from '../support/node/rig.ts';

const ONE_WAY = { user: 'alice', password: 'find-me-hushhush-1' };
const MUTUAL = { ...ONE_WAY, target: { user: 'disk', password: 'find-me-hushhush-2' } };
const ROTATED = { user: 'alice', password: 'find-me-hushhush-3' };
const NOWHERE = { rack: undefined, room: undefined };
/** No error and no log may say it. */
const SECRET = /hushhush/;

let rig: Rig;
afterEach(() => rig.close());

async function start(options: RigOptions): Promise<string[]> {
  rig = await Rig.start({ ...options, logLevel: 'debug' });
  const lines = [...rig.plugin.pathd.tail, ...rig.plugin.csi.tail];
  for (const child of [rig.plugin.pathd, rig.plugin.csi]) {
    child.onLine((line) => void lines.push(line));
  }
  return lines;
}

const standby = (index: number) => (status: { readonly paths: readonly { state: string }[] }) =>
  status.paths[index]?.state === 'standby';

async function notices(): Promise<VolumeNotice[]> {
  const stop = new AbortController();
  const seen: VolumeNotice[] = [];
  setTimeout(() => stop.abort(), 300);
  for await (const notice of rig.pathd.events(0, stop.signal)) seen.push(notice);
  return seen;
}

/** The volume itself, its mounts, and where the secret has to be. */
const NOT_SEARCHED = new Set(['disk', 'fuse', 'staging', 'pod', 'secrets']);

/** Every file below a folder as one text, names included; special files are not opened. */
function filesBelow(folder: string): string {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !NOT_SEARCHED.has(entry.name))
    .map((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return path + filesBelow(path);
      return entry.isFile() ? path + readFileSync(path, 'latin1') : path;
    })
    .join('\n');
}

test.each([
  ['one-way', ONE_WAY],
  ['mutual', MUTUAL],
])('%s CHAP: stage, write, failover, unstage', async (_what, chap) => {
  await start({ chap, targets: 2, policy: { fencing: 'gone' } });
  await rig.stage();
  await rig.publish();
  writeFileSync(join(rig.path, 'file'), 'precious');
  await rig.until('p1 stands by', standby(1));
  await rig.target(0).kill();
  await rig.until('p1 took over', ({ currentPath }) => currentPath === 'p1');
  expect(readFileSync(join(rig.path, 'file'), 'utf8')).toBe('precious');
  await rig.target(0).start();
  await rig.until('p0 is back, with CHAP', ({ currentPath }) => currentPath === 'p0', 60_000);
  expect(readdirSync(rig.plugin.secretDir)).toEqual([`${rig.volumeId}.json`]);
  await rig.unpublish();
  await rig.unstage();
  expect(readdirSync(rig.plugin.secretDir)).toEqual([]);
});

test.each([
  ['a wrong secret', ONE_WAY, { ...ONE_WAY, password: 'wrong-hushhush-x' }, /check the initiator/],
  ['a wrong name', ONE_WAY, { ...ONE_WAY, user: 'mallory' }, /check the initiator/],
  [
    'a target that cannot prove itself',
    MUTUAL,
    { ...MUTUAL, target: { ...MUTUAL.target, password: 'wrong-hushhush-y' } },
    /target's CHAP name or secret/,
  ],
])('%s: UNAUTHENTICATED, one login a path and no more', async (_what, chap, given, why) => {
  const lines = await start({ chap, targets: 2 });
  const refused = await refusal(rig.stage(blockCapability(), secretsOf(given)));
  expect(refused.code).toBe('UNAUTHENTICATED');
  expect(refused.message).toMatch(why);
  expect(refused.message).toMatch(/p0: .*p1: /);
  expect(refused.message).toContain('nodeStageSecretRef');
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const failures = lines.filter((line) => line.includes('"CHAP failed"'));
  expect(failures.map((line) => (JSON.parse(line) as { path: string }).path).sort()).toEqual([
    'p0',
    'p1',
  ]);
  expect(await rig.pathd.status()).toEqual([]);
  expect(await notices()).toEqual([]);
  expect(readdirSync(rig.plugin.secretDir)).toEqual([]);
  expect(`${refused.message} ${lines.join()}`).not.toMatch(SECRET);
  // Corrected, it works at once.
  await rig.stage(blockCapability());
});

test('no Secret where the target wants one: told, with the keys to set', async () => {
  await start({ chap: ONE_WAY, targets: 1 });
  const refused = await refusal(rig.stage(blockCapability(), {}));
  expect(refused.code).toBe('UNAUTHENTICATED');
  expect(refused.message).toContain('node.session.auth.password');
});

test('a pathd that was killed logs in again with what it has kept, asked by nobody', async () => {
  await start({ chap: MUTUAL, targets: 2 });
  await rig.stage(blockCapability());
  await rig.plugin.pathd.kill();
  await rig.plugin.startPathd();
  const config = parseVolumeConfig(rig.volumeContext, NOWHERE, DEFAULT_WEIGHTS);
  const { paths, policy } = config;
  const { volumeId } = rig;
  await rig.pathd.attach({ volumeId, paths, policy, readOnly: false, pin: '', chap: null });
  await rig.until('both paths are logged in', standby(1));
});

test('a rotated secret: the next stage hands it over, the next login uses it', async () => {
  await start({ chap: ONE_WAY, targets: 2, policy: { fencing: 'gone' } });
  await rig.stage(mountCapability());
  await rig.until('p1 stands by', standby(1));
  for (const target of rig.targets) await target.changeAccount(ROTATED);
  await rig.target(1).kill();
  await rig.until('p1 is down', ({ paths }) => paths[1]?.state === 'down');
  await rig.target(1).start();
  await rig.until('p1 is told apart', ({ paths }) => /authent/.test(paths[1]?.lastError ?? ''));
  const reasons = (await notices()).map(({ reason, message }) => `${reason} ${message}`);
  expect(reasons.filter((reason) => reason.startsWith('AuthenticationFailed p1'))).toHaveLength(1);
  await rig.stage(mountCapability(), secretsOf(ROTATED));
  await rig.until('p1 is back', standby(1), 60_000);
});

test('the secret is in no log, argv, environment, state file, status or notice', async () => {
  const lines = await start({ chap: MUTUAL, targets: 2, policy: { fencing: 'gone' } });
  await rig.stage();
  await rig.until('p1 stands by', standby(1));
  await rig.target(0).kill();
  await rig.until('p1 took over', ({ currentPath }) => currentPath === 'p1');
  const { pathd, csi, secretDir } = rig.plugin;
  const process = [pathd.pid, csi.pid].map((pid) =>
    ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${String(pid)}/${file}`, 'latin1')),
  );
  const io = fakeIo();
  const status = statusCommand(connectPathd);
  for (const form of [[], ['-o', 'json']]) {
    const words = ['--endpoint', rig.plugin.pathdEndpoint, ...form];
    expect(await status.run(words, io)).toBe(0);
  }
  const places = {
    process: process.flat().join(),
    status: io.out() + io.err(),
    notices: JSON.stringify(await notices()),
    files: filesBelow(rig.folder),
    log: lines.join('\n'),
  };
  for (const [place, text] of Object.entries(places)) {
    expect(text.length, place).toBeGreaterThan(100);
    expect(SECRET.test(text), place).toBe(false);
  }
  // The test looks where it says: there it is.
  const kept = join(secretDir, `${rig.volumeId}.json`);
  expect(readFileSync(kept, 'utf8')).toMatch(SECRET);
  expect(statSync(kept).mode & 0o777).toBe(0o600);
});
