/** What a stage asks of the cluster, and what an API server that does not answer is worth. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Logger } from '../../../../src/base/log.ts';
import { Cluster } from '../../../../src/csi/cluster/cluster.ts';
import { StateStore } from '../../../../src/csi/node/stage-record.ts';
import { DEFAULT_TOPOLOGY_KEYS } from '../../../../src/kubernetes/keys.ts';
import { DEFAULT_WEIGHTS } from '../../../../src/kubernetes/topology.ts';
import { FakeApi } from '../../../support/kubernetes/fake-api.ts';
import { CsiDouble } from '../../../support/node/csi-double.ts';

const PATH_KEY = 'path.prioritypath.io/p0';
const URL_0 = 'iscsi://10.0.0.0/iqn.2026-01.io.prioritypath.test:vol/1';
const OWNER = 'owner.prioritypath.io/node';
const MODE = 'SINGLE_NODE_WRITER';
const UNAVAILABLE = { code: 'UNAVAILABLE' };

let dir: string;
let api: FakeApi;
let cluster: Cluster;
let logged: string[];

const log: Logger = Object.fromEntries(
  ['debug', 'info', 'warn', 'error'].map((level) => [
    level,
    (fields: object, text: string) => void logged.push(`${text} ${JSON.stringify(fields)}`),
  ]),
) as unknown as Logger;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cluster-'));
  logged = [];
  api = await FakeApi.start();
  api.addNode('node-1');
  api.addPv('pv-1', { [PATH_KEY]: URL_0 });
  const stateDir = join(dir, 'state');
  const state = new StateStore(stateDir);
  await state.open();
  cluster = new Cluster({
    ...{ credentials: api.credentials, topologyKeys: DEFAULT_TOPOLOGY_KEYS, policyDefaults: {} },
    ...{ node: 'node-1', topology: { rack: 'r1', room: 'a' }, weights: DEFAULT_WEIGHTS },
    ...{ pathd: new CsiDouble(dir, 1), state, stateDir, log },
  });
  await cluster.open();
});

afterEach(async () => {
  await cluster.stop();
  await api.stop();
  rmSync(dir, { recursive: true });
});

/** Up to the attach. */
async function prepare(): Promise<void> {
  await cluster.configure('pv-1', {}, MODE);
  await cluster.claim('pv-1', MODE);
}

const invalid = (): number => logged.filter((line) => line.includes('InvalidPath')).length;

describe('a claim', () => {
  test('that was this node’s when the API server last answered is none without an answer', async () => {
    await prepare();
    expect(api.annotations('pv-1')[OWNER]).toBe('node-1');
    api.annotate('pv-1', { [OWNER]: 'node-2' });
    api.mode = 'error';
    await expect(prepare()).rejects.toMatchObject(UNAVAILABLE);
    api.mode = 'up';
    api.addNode('node-2');
    await expect(prepare()).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  test('of a PV that csi may not read any more is none either', async () => {
    await prepare();
    api.mode = 'forbid';
    await expect(prepare()).rejects.toMatchObject(UNAVAILABLE);
  });
});

describe('a PV that cannot be read', () => {
  test('is not called wrong: neither told as InvalidPath nor refused for good', async () => {
    api.mode = 'error';
    await expect(prepare()).rejects.toMatchObject({
      ...UNAVAILABLE,
      message: expect.stringContaining('cannot be read now; it is tried again') as string,
    });
    expect(invalid()).toBe(0);
  });

  test('whose keys were wrong when it was read last is not told so again', async () => {
    api.annotate('pv-1', { [PATH_KEY]: 'iscsi://10.0.0.0/nonsense/1' });
    await prepare();
    const told = invalid();
    expect(told).toBeGreaterThan(0);
    api.annotate('pv-1', { [PATH_KEY]: URL_0 });
    api.mode = 'error';
    await expect(prepare()).rejects.toMatchObject(UNAVAILABLE);
    expect(invalid()).toBe(told);
  });
});
