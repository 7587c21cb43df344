/** CHAP of nodeStageSecretRef as csi handles it: to pathd and to nobody else. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PathdError } from '../../src/pathd/api.ts';
import { CsiBench, EXT4_BYTES, refusal } from '../support/node/csi-bench.ts';
import { FakeApi } from '../support/kubernetes/fake-api.ts';
import { blockCapability } from '../support/node/kubelet.ts';

const SECRETS = {
  'node.session.auth.username': 'alice',
  'node.session.auth.password': 'correct horse',
};
const ROTATED = { ...SECRETS, 'node.session.auth.password': 'battery staple' };
const VALUES = /correct horse|battery staple/;

let api: FakeApi;
let bench: CsiBench;

beforeEach(async () => {
  api = await FakeApi.start();
  api.addNode('node-1', {});
  api.addPv('pv-1', { 'path.prioritypath.io/p0': 'iscsi://10.0.0.1/iqn.2026-01.io.x:y/1' });
  bench = await CsiBench.open(EXT4_BYTES, { credentials: api.credentials, node: 'node-1' });
});

afterEach(async () => {
  const files = readdirSync(bench.stateDir, { recursive: true, withFileTypes: true });
  const texts = files
    .filter((file) => file.isFile())
    .map((file) => readFileSync(join(file.parentPath, file.name), 'utf8'));
  expect(texts.join('\n')).not.toMatch(VALUES);
  expect(bench.logged.join('\n')).not.toMatch(VALUES);
  expect(JSON.stringify(api.events)).not.toMatch(VALUES);
  await bench.close();
  await api.stop();
});

const stage = (secrets: Readonly<Record<string, string>>): Promise<void> =>
  bench.stage('pv-1', blockCapability(), {}, secrets);

test('the secret goes to pathd with the attach; a rotated one when it is staged again', async () => {
  await stage(SECRETS);
  const spec = { initiatorName: 'alice', targetName: '', targetSecret: '' };
  expect(bench.pathd.lastAttach?.chap).toEqual({ ...spec, initiatorSecret: 'correct horse' });
  await stage(ROTATED);
  expect(bench.pathd.lastChap).toEqual({ ...spec, initiatorSecret: 'battery staple' });
  expect(bench.pathd.calls.filter((call) => call.startsWith('attach'))).toHaveLength(1);
});

test('a secret that the target refuses: one event, counted, whatever the kubelet tries', async () => {
  bench.pathd.attachError = new PathdError(
    'UNAUTHENTICATED',
    'no path is usable (p0: login: authentication failure (0201))',
  );
  for (let tries = 1; tries <= 3; tries++) {
    const refused = await refusal(stage(SECRETS));
    expect(refused.code).toBe('UNAUTHENTICATED');
    expect(refused.message).toContain('p0: login: authentication failure');
    expect(refused.message).toContain('node.session.auth.password');
    expect(refused.message).toContain('nodeStageSecretRef');
  }
  const ofPv = (): unknown[] =>
    api.events
      .filter(({ involvedObject }) => involvedObject.kind === 'PersistentVolume')
      .map(({ reason, type, count }) => [reason, type, count]);
  const one = ['AuthenticationFailed', 'Warning', 3];
  await expect.poll(() => ofPv().at(-1), { timeout: 5_000 }).toEqual(one);
  expect(ofPv().filter((event) => String(event).startsWith('Auth'))).toHaveLength(1);
  expect(bench.pathd.device('pv-1')).toBeUndefined();
  bench.pathd.attachError = undefined;
  await stage(ROTATED);
});

test('half a pair is refused before anything happens', async () => {
  const refused = await refusal(stage({ 'node.session.auth.username': 'alice' }));
  expect(refused).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(refused.message).toContain('node.session.auth.password is missing');
  expect(bench.pathd.calls).toEqual([]);
});
