/**
 * What a cluster of 5,000 nodes with 20 volumes each asks of its API servers, computed from what one
 * csi with three volumes was counted to ask, set up as the chart sets it up, and compared with a budget. Whoever adds a request per
 * stage, per event or per minute meets the budget here.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CsiBench, EXT4_BYTES } from '../support/node/csi-bench.ts';
import { FakeApi } from '../support/kubernetes/fake-api.ts';
import { blockCapability } from '../support/node/kubelet.ts';
import { path } from '../unit/cli/status-samples.ts';

const CLUSTER = { nodes: 5_000, volumes: 20 };
const NAMES = ['pv-1', 'pv-2', 'pv-3'];
/** As many as volumes, and the two that every node has: of its Node and of the maintenance ConfigMap. */
const OWN_WATCHES = ['configmaps/priority-path-maintenance', 'nodes/node-1'];
const STATUS = 'status.prioritypath.io/node-1';
const IDLE_S = 5;
const poll = { timeout: 10_000, interval: 20 };

/** Never staged before. */
const NEW = 'pv-new';

let api: FakeApi;
let bench: CsiBench;

beforeEach(async () => {
  api = await FakeApi.start();
  api.addNode('node-1');
  for (const [n, name] of [...NAMES, NEW].entries()) {
    const url = `iscsi://10.0.0.${String(n)}/iqn.2026-01.io.prioritypath.test:vol/1`;
    // With both labels: a guess would be one event more. Staged before: the unit is pinned once.
    const keys = { 'path.prioritypath.io/p0': url, 'weight.prioritypath.io/p0': '90' };
    const unit = { 'identity.prioritypath.io/unit': 'a unit' };
    api.addPv(name, name === NEW ? keys : { ...keys, ...unit });
  }
  bench = await CsiBench.open(EXT4_BYTES, {
    credentials: api.credentials,
    node: 'node-1',
    maintenance: { namespace: 'ns', name: 'priority-path-maintenance' },
  });
  bench.pathd.paths = [path('p0', { state: 'current' }), path('p1')];
  await expect.poll(() => api.watches, poll).toEqual(OWN_WATCHES);
});

afterEach(async () => {
  await bench.close();
  await api.stop();
});

interface Asked {
  readonly reads: number;
  readonly watches: number;
  readonly writes: number;
}

/** What is asked from now until `settled` holds, and for a moment after. */
async function asked(act: () => unknown, settled: () => boolean): Promise<Asked> {
  const before = api.requests.length;
  await act();
  await expect.poll(settled, poll).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const lines = api.requests.slice(before);
  const count = (verbs: RegExp): number => lines.filter((line) => verbs.test(line)).length;
  return { reads: count(/^GET/), watches: count(/^WATCH/), writes: count(/^(PATCH|POST|PUT)/) };
}

const all = async (act: (name: string) => Promise<unknown>): Promise<void> => {
  for (const name of NAMES) await act(name);
};
const haveStatus = (text: string): boolean =>
  NAMES.every((name) => (api.annotations(name)[STATUS] ?? '').includes(text));
const areWatched = (): boolean => api.watches.length === NAMES.length + OWN_WATCHES.length;

test('5,000 nodes with 20 volumes each stay within the budget, as counted', async () => {
  const stage = await asked(
    () => all((name) => bench.stage(name, blockCapability(), {})),
    () => areWatched() && haveStatus('* p0'),
  );
  const idle = await asked(
    () => new Promise((resolve) => setTimeout(resolve, IDLE_S * 1_000)),
    () => true,
  );
  const failover = await asked(
    () => {
      bench.pathd.paths = [path('p0', { state: 'down' }), path('p1', { state: 'current' })];
      for (const volumeId of NAMES) {
        bench.pathd.notify({ volumeId, reason: 'PathDown', message: 'p0 is down' });
        bench.pathd.notify({ volumeId, reason: 'FailedOver', message: 'p0 -> p1' });
      }
    },
    () => haveStatus('* p1') && api.events.length >= 4 * NAMES.length,
  );
  const restart = await asked(() => bench.restart(), areWatched);
  const unstage = await asked(
    () => all((name) => bench.unstage(name)),
    () => NAMES.every((name) => !(STATUS in api.annotations(name))),
  );
  const first = await asked(
    () => bench.stage(NEW, blockCapability(), {}),
    () => (api.annotations(NEW)[STATUS] ?? '').includes('* p1'),
  );

  const { nodes, volumes } = CLUSTER;
  const own = OWN_WATCHES.length;
  const each = (count: number): number => count / NAMES.length;
  const table = {
    connections: nodes * (bench.counters.connections / 1),
    watches: (nodes * (volumes + own) * restart.watches) / (NAMES.length + own),
    watchesRenewedPerSecond: (nodes * (volumes + own)) / Math.min(...api.watchSeconds),
    idleRequestsPerSecond: (nodes * (idle.reads + idle.watches + idle.writes)) / IDLE_S,
    requestsPerStage: each(stage.reads + stage.watches + stage.writes),
    writesPerStage: each(stage.writes),
    // Once in the life of a PV: which unit it is.
    requestsPerFirstStage: first.reads + first.watches + first.writes,
    requestsPerUnstage: each(unstage.reads + unstage.watches + unstage.writes),
    writesPerFailover: each(failover.writes),
    readsPerFailover: each(failover.reads + failover.watches),
    writesPerRestart: restart.writes,
    readsPerRestartAndVolume: each(restart.reads),
    // A target that serves every volume of the cluster dies, and its minute of news.
    writesPerSecondOfTheWorstMinute: (nodes * volumes * each(failover.writes)) / 60,
  };
  const budget: Record<keyof typeof table, number> = {
    connections: 5_000,
    watches: 110_000,
    // Had all of them drawn the shortest life, half an hour.
    watchesRenewedPerSecond: 62,
    idleRequestsPerSecond: 0,
    requestsPerStage: 4,
    writesPerStage: 2,
    requestsPerFirstStage: 5,
    requestsPerUnstage: 2,
    writesPerFailover: 5,
    readsPerFailover: 0,
    writesPerRestart: 0,
    readsPerRestartAndVolume: 0,
    writesPerSecondOfTheWorstMinute: 8_400,
  };
  for (const [name, limit] of Object.entries(budget)) {
    const value = table[name as keyof typeof table];
    expect(value, `${name}: ${String(value)} of ${String(limit)}`).toBeLessThanOrEqual(limit);
  }
  // That it was counted at all.
  expect(table).toMatchObject({ requestsPerStage: 4, writesPerFailover: 5, watches: 110_000 });
}, 60_000);
