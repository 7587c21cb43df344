/**
 * csi and an API server that forbids: for good, which is a way to run it, or for a while, as one that has
 * just started and has not read its roles does.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CsiBench, EXT4_BYTES, refusal } from '../support/node/csi-bench.ts';
import { FakeApi } from '../support/kubernetes/fake-api.ts';
import { blockCapability } from '../support/node/kubelet.ts';

const PATH = 'path.prioritypath.io/p0';
const OWNER = 'owner.prioritypath.io/node';
const UNIT = 'identity.prioritypath.io/unit';
const STATUS = 'status.prioritypath.io/node-1';
const attributes = { [PATH]: 'iscsi://10.0.0.0/iqn.2026-01.io.prioritypath.test:vol/1' };
const poll = { timeout: 5_000, interval: 20 };

let api: FakeApi;
let bench: CsiBench;

beforeEach(async () => {
  api = await FakeApi.start();
  api.addNode('node-1');
  api.addPv('pv-1', attributes);
  bench = await CsiBench.open(EXT4_BYTES, { credentials: api.credentials, node: 'node-1' });
});

afterEach(async () => {
  await bench.close();
  await api.stop();
});

const stage = (): Promise<void> => bench.stage('pv-1', blockCapability(), attributes);
const keys = (): string[] => Object.keys(api.annotations('pv-1'));

test('nothing is staged unclaimed where PVs could be read before', async () => {
  await stage();
  await bench.unstage('pv-1');
  api.addNode('node-2');
  api.annotate('pv-1', { [OWNER]: 'node-2' });
  // As one does that has just started and has not read its roles yet.
  api.mode = 'forbid';
  const refused = await refusal(stage());
  expect(refused).toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringContaining('not allowed to read PersistentVolumes') as string,
  });
  await bench.restart();
  expect((await refusal(stage())).code).toBe('UNAVAILABLE');
  expect(bench.pathd.calls.filter((call) => call.startsWith('attach'))).toHaveLength(1);
});

test('where it never could, a volume is what its attributes say, and nothing is claimed', async () => {
  api.mode = 'forbid';
  await stage();
  expect(bench.pathd.lastAttach?.paths).toMatchObject([{ name: 'p0' }]);
  api.mode = 'up';
  expect(api.annotations('pv-1')).not.toHaveProperty(OWNER);
});

test('a claim is given back when the right is there again', async () => {
  await stage();
  await expect.poll(keys, poll).toContain(STATUS);
  api.mode = 'forbid';
  await bench.unstage('pv-1');
  expect(api.annotations('pv-1')).toHaveProperty(OWNER);
  api.mode = 'up';
  await expect.poll(keys, poll).toEqual([PATH, UNIT]);
});
