/** One ConfigMap drains a rack or a portal for every volume of the cluster: live, told, and taken back. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CsiBench, EXT4_BYTES } from '../support/node/csi-bench.ts';
import { FakeApi } from '../support/kubernetes/fake-api.ts';
import { blockCapability } from '../support/node/kubelet.ts';

const PATH = (n: number): string => `path.prioritypath.io/p${String(n)}`;
const URL_OF = (n: number): string => `iscsi://10.0.0.${String(n)}/iqn.2026-01.io.test:vol/1`;
const MAP = 'priority-path-maintenance';

let api: FakeApi;
let bench: CsiBench;

beforeEach(async () => {
  api = await FakeApi.start();
  api.addNode('node-1', { 'topology.prioritypath.io/rack': 'r1' });
  api.addPv('pv-1', { [PATH(0)]: URL_OF(0), [PATH(1)]: URL_OF(1) });
  api.label('persistentvolumes', 'pv-1', {
    'rack.prioritypath.io/p0': 'r1',
    'rack.prioritypath.io/p1': 'r2',
  });
  const maintenance = { namespace: 'ns', name: MAP };
  const cluster = { credentials: api.credentials, node: 'node-1', maintenance };
  bench = await CsiBench.open(EXT4_BYTES, cluster);
});

afterEach(async () => {
  await bench.close();
  await api.stop();
});

const stage = (): Promise<void> => bench.stage('pv-1', blockCapability(), {});
const drained = (): readonly string[] =>
  (bench.pathd.updates.at(-1) ?? bench.pathd.lastAttach)?.paths.flatMap(({ name, drained: is }) =>
    is ? [name] : [],
  ) ?? [];
const eventually = (look: () => unknown, value: unknown): Promise<void> =>
  expect.poll(look, { timeout: 5_000, interval: 20 }).toEqual(value);

test('a rack drained in the ConfigMap is drained on the staged volume, and back when it is removed', async () => {
  await stage();
  expect(drained()).toEqual([]);
  expect(bench.pathd.lastAttach?.paths.map(({ rack }) => rack)).toEqual(['r1', 'r2']);
  api.setConfigMap(MAP, { 'drain.racks': 'r2' });
  await eventually(drained, ['p1']);
  api.setConfigMap(MAP, { 'drain.racks': 'r2', 'drain.portals': '10.0.0.0' });
  await eventually(drained, ['p0', 'p1']);
  api.remove('configmaps', MAP);
  await eventually(drained, []);
});

test('a volume that is staged during maintenance begins drained', async () => {
  api.setConfigMap(MAP, { 'drain.racks': 'r1' });
  await expect.poll(() => bench.logged.join('\n'), { timeout: 5_000 }).toContain('"r1"');
  await stage();
  expect(drained()).toEqual(['p0']);
});

test('it is one watch by name, without a write, and quiet once it is known', async () => {
  api.setConfigMap(MAP, { 'drain.racks': 'r1' });
  await stage();
  await eventually(drained, ['p0']);
  await eventually(
    () => api.watches.filter((one) => one.startsWith('configmaps/')),
    [`configmaps/${MAP}`],
  );
  const asked = api.count(/configmaps/);
  api.setConfigMap(MAP, { 'drain.racks': 'r1' });
  api.bookmark();
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(api.count(/configmaps/)).toBe(asked);
  expect(api.count(/^(?!WATCH).*configmaps/)).toBe(0);
  expect(bench.pathd.updates.length).toBeLessThanOrEqual(1);
});

test('a malformed value is an event on the ConfigMap, told once; the good ones hold', async () => {
  await stage();
  api.setConfigMap(MAP, { 'drain.racks': 'r2', 'drain.portals': '10.0.0.999' });
  await eventually(drained, ['p1']);
  const told = (): typeof api.events =>
    api.events.filter(({ reason }) => reason === 'InvalidMaintenance');
  await eventually(() => told().length, 1);
  expect(told()[0]).toMatchObject({
    type: 'Warning',
    involvedObject: { kind: 'ConfigMap', name: MAP, namespace: 'ns' },
    metadata: { namespace: 'ns' },
  });
  expect(told()[0]?.message).toContain('drain.portals "10.0.0.999"');
});

test('a csi that starts without an API server undrains nothing; a removal meanwhile is noticed', async () => {
  await stage();
  api.setConfigMap(MAP, { 'drain.racks': 'r2' });
  await eventually(drained, ['p1']);
  const updates = bench.pathd.updates.length;
  await api.stop();
  await bench.restart();
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(bench.pathd.updates.length).toBe(updates);
  api.remove('configmaps', MAP);
  await api.start();
  // What is not there is not sent: the first bookmark says so.
  await eventually(() => api.watches.filter((one) => one.startsWith('configmaps/')).length, 1);
  api.bookmark();
  await eventually(drained, []);
});
