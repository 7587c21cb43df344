import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KnownStore, type KnownVolume } from '../../../../src/csi/cluster/known.ts';
import { configOf, unsafeToLeaveOut, wanted } from '../../../../src/csi/cluster/volume-config.ts';
import { DEFAULT_WEIGHTS } from '../../../../src/kubernetes/topology.ts';

const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const PATH = 'iscsi://10.0.0.1/iqn.2026-01.io.example:vol/1';
const VOLUME: KnownVolume = {
  ...{ version: 1, volumeId: 'v', isOwner: true, isReleased: false, applied: 'x' },
  attributes: { 'path.prioritypath.io/p0': PATH },
  pv: { name: 'pv', uid: 'u', annotations: {}, labels: {}, claimRef: null },
};

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'known-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true });
});

async function open(): Promise<KnownStore> {
  const store = new KnownStore(dir, LOG);
  await store.open();
  return store;
}

test('volumes, labels and cursor outlive the process', async () => {
  const store = await open();
  await store.set(VOLUME);
  await store.setNodeLabels({ rack: 'r1' });
  await store.setCursor({ instance: 'a', sequence: 7 });
  const later = await open();
  expect(later.all()).toEqual([VOLUME]);
  expect(await later.nodeLabels()).toEqual({ rack: 'r1' });
  expect(await later.cursor()).toEqual({ instance: 'a', sequence: 7 });
  await later.remove('v');
  expect((await open()).all()).toEqual([]);
});

test('a damaged file counts as absent', async () => {
  await (await open()).set(VOLUME);
  const [file = ''] = readdirSync(join(dir, 'known'));
  for (const text of ['', '{', 'null', '{"version":2}', JSON.stringify({ ...VOLUME, pv: 1 })]) {
    writeFileSync(join(dir, 'known', file), text);
    expect((await open()).all()).toEqual([]);
  }
  writeFileSync(join(dir, 'known', 'events.json'), '[]');
  expect(await (await open()).cursor()).toEqual({ instance: '', sequence: 0 });
});

test('a bad policy value is left out and named with its key; the good ones and the paths stay', () => {
  const annotations = {
    'policy.prioritypath.io/fencing': 'perhaps',
    'policy.prioritypath.io/no-path-timout': '30s',
    'policy.prioritypath.io/no-path-timeout': '30s',
  };
  const pv = { ...VOLUME.pv!, annotations };
  const config = configOf({ ...VOLUME, pv }, { rack: 'r', room: 'a' }, DEFAULT_WEIGHTS, {});
  expect(config.policy).toEqual({ 'no-path-timeout': '30s' });
  expect(config.paths).toHaveLength(1);
  expect(config.problems.join('\n')).toMatch(/policy\.prioritypath\.io\/fencing "perhaps": /);
  expect(config.problems.join('\n')).toMatch(
    /no-path-timout "30s": .*did you mean no-path-timeout/,
  );
});

test.each([
  [{ portals: 'flaoting' }, /portals "flaoting"/],
  [{ portal: 'floating' }, /portal "floating": .*did you mean portals/],
  [{ portals: 'floating', reservation: 'off' }, /portals "floating": /],
  [{ reservation: 'requird' }, /reservation "requird"/],
])('without %o a volume is not staged: the default would not be the safe value', (values, why) => {
  const annotations = Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`policy.prioritypath.io/${name}`, value]),
  );
  const pv = { ...VOLUME.pv!, annotations };
  const config = configOf({ ...VOLUME, pv }, { rack: 'r', room: 'a' }, DEFAULT_WEIGHTS, {});
  expect(unsafeToLeaveOut(config).join('\n')).toMatch(why);
});

test('other values that are wrong keep no volume from being staged', () => {
  const annotations = {
    'policy.prioritypath.io/fencing': 'perhaps',
    'policy.prioritypath.io/no-path-timout': '30s',
    'policy.prioritypath.io/portals': 'floating',
    'path.prioritypath.io/p9': 'iscsi://nothing',
  };
  const pv = { ...VOLUME.pv!, annotations };
  const config = configOf({ ...VOLUME, pv }, { rack: 'r', room: 'a' }, DEFAULT_WEIGHTS, {});
  expect(config.problems.length).toBeGreaterThan(1);
  expect(unsafeToLeaveOut(config)).toEqual([]);
});

test.each([
  ['the volume', { 'policy.prioritypath.io/write-policy': 'log' }, {}],
  ['the chart', {}, { 'write-policy': 'log' }],
])(
  'write policy log, wanted by %s, is left alone without a fence: told, and through',
  (_, own, chart) => {
    const annotations = { ...own, 'policy.prioritypath.io/fencing': 'none' };
    const pv = { ...VOLUME.pv!, annotations };
    const config = configOf({ ...VOLUME, pv }, { rack: 'r', room: 'a' }, DEFAULT_WEIGHTS, chart);
    expect(config.policy).toEqual({ fencing: 'none', 'write-policy': 'through' });
    expect(config.problems.join('\n')).toMatch(/write-policy.*: log replays writes .* use through/);
  },
);

test('what is wanted does not depend on the order of keys, but on the settings of csi', () => {
  const policy = (...names: string[]): KnownVolume => ({
    ...VOLUME,
    attributes: {
      ...VOLUME.attributes,
      ...Object.fromEntries(names.map((name) => [`policy.prioritypath.io/${name}`, '30s'])),
    },
  });
  const want = (volume: KnownVolume, defaults = {}): string =>
    wanted(configOf(volume, { rack: 'r', room: 'a' }, DEFAULT_WEIGHTS, {}), defaults);
  const [a, b] = ['no-path-timeout', 'failback-jitter'];
  expect(want(policy(a, b))).toBe(want(policy(b, a)));
  expect(want(VOLUME, '{}')).not.toBe(want(VOLUME, '{"policy":"fast"}'));
});
