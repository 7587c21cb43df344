import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Keeper } from '../../../../src/csi/cluster/keeper.ts';
import { KnownStore } from '../../../../src/csi/cluster/known.ts';
import type { PersistentVolume } from '../../../../src/kubernetes/client.ts';
import {
  type Maintenance,
  NO_MAINTENANCE,
  parseMaintenance,
} from '../../../../src/kubernetes/maintenance.ts';
import { DEFAULT_WEIGHTS, type Topology } from '../../../../src/kubernetes/topology.ts';
import { PathdError, type UpdateRequest } from '../../../../src/pathd/api.ts';

const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const URL_OF = (n: number): string => `iscsi://10.0.0.${String(n)}/iqn.2026-01.io.example:vol/1`;

let dir: string;
let store: KnownStore;
let keeper: Keeper;
let updates: UpdateRequest[];
let errors: PathdError[];
let told: string[];
let looked: (string | undefined)[];
let maintenance: Maintenance;
let topology: Topology;

function pv(
  annotations: Record<string, string>,
  more: Partial<PersistentVolume> = {},
): PersistentVolume {
  return {
    ...{ name: 'v', uid: 'u', resourceVersion: '1', labels: {}, claimRef: undefined },
    ...{ driver: 'iscsi.prioritypath.io', volumeHandle: 'v', volumeAttributes: {}, capacity: '' },
    annotations,
    ...more,
  };
}

const weights = (): (readonly [string, number])[] | undefined =>
  updates.at(-1)?.paths.map(({ name, maxWeight }) => [name, maxWeight] as const);

const newKeeper = (): Keeper =>
  new Keeper({
    ...{ volumeId: 'v', node: 'n', store, log: LOG, weights: DEFAULT_WEIGHTS, policyDefaults: {} },
    pathd: {
      update: async (request) => {
        const error = errors.shift();
        if (error !== undefined) throw error;
        updates.push(request);
      },
    },
    topology: () => topology,
    maintenance: () => maintenance,
    tell: (_, { reason, message }) => void told.push(`${reason}: ${message}`),
    look: (seen) => void looked.push(seen?.uid),
    staged: undefined,
  });

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'keeper-'));
  store = new KnownStore(dir, LOG);
  await store.open();
  const more = { attributes: {}, pv: null, isOwner: false, isReleased: false, applied: '' };
  await store.set({ version: 1, volumeId: 'v', ...more });
  maintenance = NO_MAINTENANCE;
  [looked, updates, errors, told, topology] = [[], [], [], [], { rack: 'r1', room: 'a' }];
  keeper = newKeeper();
  // File writes are real, timers are not.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});

afterEach(() => {
  keeper.stop();
  vi.useRealTimers();
  rmSync(dir, { recursive: true });
});

/** Time passes; what was begun is given real turns to end. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) {
    await vi.advanceTimersByTimeAsync(Math.min(left, 1_000));
    await store.idle();
  }
}

test('several edits within the debounce time are one update', async () => {
  await keeper.onPv(pv({ 'path.prioritypath.io/p0': URL_OF(0) }));
  await keeper.onPv(
    pv({ 'path.prioritypath.io/p0': URL_OF(0), 'weight.prioritypath.io/p0': '70' }),
  );
  await pass(1_000);
  expect(updates).toHaveLength(1);
  expect(weights()).toEqual([['p0', 70]]);
});

test('a pathd that is busy or away is asked again', async () => {
  errors.push(new PathdError('ABORTED', 'attach runs'), new PathdError('UNAVAILABLE', 'away'));
  await keeper.onPv(pv({ 'path.prioritypath.io/p0': URL_OF(0) }));
  await pass(15_000);
  expect(updates).toHaveLength(1);
  expect(told.filter((text) => text.startsWith('UpdateRefused'))).toEqual([]);
});

test('a refusal is told once and tried again each minute, an edit at once', async () => {
  const refused = new PathdError('FAILED_PRECONDITION', 'p0 is the last usable path');
  errors.push(refused, refused, refused);
  await keeper.onPv(pv({ 'path.prioritypath.io/p1': URL_OF(1) }));
  await pass(130_000);
  expect(errors).toEqual([]);
  expect(told.filter((text) => text.startsWith('UpdateRefused'))).toEqual([
    'UpdateRefused: the volume stays as it is: p0 is the last usable path',
  ]);
  expect(updates).toEqual([]);
  await keeper.onPv(
    pv({ 'path.prioritypath.io/p0': URL_OF(0), 'path.prioritypath.io/p1': URL_OF(1) }),
  );
  await pass(1_000);
  expect(updates).toHaveLength(1);
});

test('a replaced, deleted or foreign PV changes nothing', async () => {
  await keeper.onPv(pv({ 'path.prioritypath.io/p0': URL_OF(0) }));
  await pass(1_000);
  const other = { 'path.prioritypath.io/p9': URL_OF(9) };
  await keeper.onPv(undefined);
  looked.length = 0;
  await keeper.onPv(pv(other, { uid: 'another' }));
  // Claimed first: then it is followed.
  expect(looked).toEqual(['another']);
  await keeper.onPv(pv(other, { volumeHandle: 'w' }));
  await pass(1_000);
  expect(updates).toHaveLength(1);
});

test('a node that loses its labels: every path is in another room, and that is told once', async () => {
  const labels = { 'rack.prioritypath.io/p0': 'r1', 'room.prioritypath.io/p0': 'a' };
  await keeper.onPv(pv({ 'path.prioritypath.io/p0': URL_OF(0) }, { labels }));
  await pass(1_000);
  topology = { rack: undefined, room: undefined };
  for (let n = 0; n < 3; n += 1) {
    keeper.check();
    await pass(1_000);
  }
  expect(weights()).toEqual([['p0', 80]]);
  expect(told).toEqual([expect.stringMatching(/^TopologyUnknown: rack or room of p0/)]);
});

test('values that cannot work together are told, and left out where they are the volume’s own', async () => {
  await keeper.onPv(
    pv({
      'path.prioritypath.io/p0': URL_OF(0),
      'path.prioritypath.io/p1': URL_OF(1),
      'weight.prioritypath.io/p0': '1000',
      'policy.prioritypath.io/no-path-timeout': '1s',
      'policy.prioritypath.io/fencing': 'gone',
    }),
  );
  await pass(1_000);
  expect(updates.at(-1)?.policy).toEqual({ fencing: 'gone' });
  expect(weights()).toEqual([
    ['p0', 1000],
    ['p1', 80],
  ]);
  expect(told).toHaveLength(2);
  expect(told.join()).toMatch(/no-path-timeout "1s": 1s ends before a dead path is noticed/);
  expect(told.join()).toMatch(/weight\.prioritypath\.io: max weights 1000 and 80/);
});

test('a node that moves changes the weights; one that does not, nothing', async () => {
  const labels = { 'rack.prioritypath.io/p0': 'r1', 'room.prioritypath.io/p0': 'a' };
  await keeper.onPv(pv({ 'path.prioritypath.io/p0': URL_OF(0) }, { labels }));
  await pass(1_000);
  expect(weights()).toEqual([['p0', 100]]);
  keeper.check();
  await pass(1_000);
  expect(updates).toHaveLength(1);
  topology = { rack: 'r2', room: 'a' };
  keeper.check();
  await pass(1_000);
  expect(weights()).toEqual([['p0', 90]]);
});

test('a rack or a portal under maintenance is drained for the volume, live, and put back', async () => {
  const annotations = {
    'path.prioritypath.io/p0': URL_OF(0),
    'path.prioritypath.io/p1': URL_OF(1),
    'path.prioritypath.io/p2': URL_OF(2),
    'drain.prioritypath.io/p2': 'true',
  };
  const labels = { 'rack.prioritypath.io/p0': 'r7' };
  await keeper.onPv(pv(annotations, { labels }));
  await pass(1_000);
  const drained = (): readonly string[] | undefined =>
    updates.at(-1)?.paths.flatMap(({ name, drained: is }) => (is ? [name] : []));
  expect(drained()).toEqual(['p2']);
  expect(updates.at(-1)?.paths[0]?.rack).toBe('r7');
  maintenance = parseMaintenance({ 'drain.racks': 'r7', 'drain.portals': '10.0.0.1:3260' });
  keeper.check();
  await pass(1_000);
  expect(drained()).toEqual(['p0', 'p1', 'p2']);
  maintenance = NO_MAINTENANCE;
  keeper.check();
  await pass(1_000);
  expect(drained()).toEqual(['p2']);
  keeper.check();
  await pass(1_000);
  expect(updates).toHaveLength(3);
});

const LIVE = {
  'path.prioritypath.io/p0': URL_OF(0),
  'path.prioritypath.io/p1': URL_OF(1),
  'policy.prioritypath.io/fencing': 'gone',
};
const hosts = (): string[] | undefined => updates.at(-1)?.paths.map(({ host }) => host);

test('a typing error in a mounted volume takes no path, and is told; removing one does', async () => {
  await keeper.onPv(pv(LIVE));
  await pass(1_000);
  told.length = 0;
  await keeper.onPv(pv({ ...LIVE, 'path.prioritypath.io/p0': 'iscsi:/10.0.0.0' }));
  await pass(1_000);
  expect(updates).toHaveLength(1);
  expect(told).toEqual([
    `InvalidPath: path.prioritypath.io/p0 "iscsi:/10.0.0.0": expected ` +
      `iscsi://host[:port]/<target name>/<lun>; it stays "${URL_OF(0)}"`,
  ]);
  await keeper.onPv(pv({ 'path.prioritypath.io/p1': URL_OF(1) }));
  await pass(1_000);
  expect(hosts()).toEqual(['10.0.0.1']);
});

test('a typing error that was made while csi was away takes no path either', async () => {
  await keeper.onPv(pv(LIVE));
  await pass(1_000);
  keeper.stop();
  store = new KnownStore(dir, LOG);
  await store.open();
  keeper = newKeeper();
  await keeper.onPv(
    pv({ ...LIVE, 'path.prioritypath.io/p0': '', 'drain.prioritypath.io/p1': 'no' }),
  );
  await pass(1_000);
  expect(updates).toHaveLength(1);
  expect(told.join()).toContain(`it stays "${URL_OF(0)}"`);
});

test('what pathd refused is not what a malformed edit falls back to', async () => {
  await keeper.onPv(pv(LIVE));
  await pass(1_000);
  errors.push(new PathdError('FAILED_PRECONDITION', 'p0 is the last usable path'));
  await keeper.onPv(pv({ ...LIVE, 'path.prioritypath.io/p0': URL_OF(7) }));
  await pass(1_000);
  await keeper.onPv(pv({ ...LIVE, 'path.prioritypath.io/p0': 'x' }));
  await pass(1_000);
  expect(told.at(-1)).toContain(`it stays "${URL_OF(0)}"`);
  expect(updates).toHaveLength(1);
});

test.each([
  ['malformed', { fencing: 'gnoe' }, /"gnoe" is none of .*; it stays "gone"/],
  ['unknown', { fencing: 'gone', 'io-deadlin': '1s' }, /no parameter has the name "io-deadlin"/],
  ['a clash', { fencing: 'delay=30s', 'no-path-timeout': '5s' }, /ends before.*; the policy stays/],
])('a policy that is no good (%s) stays as it was', async (_, policy, words) => {
  await keeper.onPv(pv(LIVE));
  await pass(1_000);
  const keys = Object.entries(policy).map(([name, value]) => [
    `policy.prioritypath.io/${name}`,
    value,
  ]);
  await keeper.onPv(pv({ ...LIVE, ...(Object.fromEntries(keys) as Record<string, string>) }));
  await pass(1_000);
  expect(updates.map((update) => update.policy)).toEqual([{ fencing: 'gone' }]);
  expect(told.at(-1)).toMatch(words);
});
