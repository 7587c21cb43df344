/** csi and the API server: what a PV says, what is shown on it, who may have it, and absence. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PathStatus } from '../../src/pathd/api.ts';
import { PathdError } from '../../src/pathd/api.ts';
import { CsiBench, EXT4_BYTES, refusal } from '../support/node/csi-bench.ts';
import { FakeApi } from '../support/kubernetes/fake-api.ts';
import { blockCapability, mountCapability } from '../support/node/kubelet.ts';

const IQN = 'iqn.2026-01.io.prioritypath.test:vol';
const PATH = (n: number): string => `path.prioritypath.io/p${String(n)}`;
const URL_OF = (n: number): string => `iscsi://10.0.0.${String(n)}/${IQN}/1`;
const OWNER = 'owner.prioritypath.io/node';
const UNIT = 'identity.prioritypath.io/unit';
const STATUS = 'status.prioritypath.io/node-1';
const RACK = 'topology.prioritypath.io/rack';
const ROOM = 'topology.prioritypath.io/room';

let api: FakeApi;
let bench: CsiBench;

beforeEach(async () => {
  api = await FakeApi.start();
  api.addNode('node-1', { [RACK]: 'r1', [ROOM]: 'a' });
  api.addPv('pv-1', { [PATH(0)]: URL_OF(0), [PATH(1)]: URL_OF(1) });
  api.label('persistentvolumes', 'pv-1', {
    'rack.prioritypath.io/p0': 'r1',
    'room.prioritypath.io/p0': 'a',
    'rack.prioritypath.io/p1': 'r2',
    'room.prioritypath.io/p1': 'a',
  });
  bench = await CsiBench.open(EXT4_BYTES, { credentials: api.credentials, node: 'node-1' });
});

afterEach(async () => {
  await bench.close();
  await api.stop();
});

const stage = (): Promise<void> => bench.stage('pv-1', blockCapability(), {});
const weights = (): object =>
  Object.fromEntries(
    (bench.pathd.updates.at(-1) ?? bench.pathd.lastAttach)?.paths.map((path) => [
      path.name,
      path.maxWeight,
    ]) ?? [],
  );
const eventually = (check: () => void): Promise<void> =>
  expect.poll(() => attempt(check), { timeout: 5_000, interval: 20 }).toBe('');

function attempt(check: () => void): string {
  try {
    check();
    return '';
  } catch (error) {
    return String(error);
  }
}

function path(name: string, more: Partial<PathStatus> = {}): PathStatus {
  return {
    ...{ name, portal: '10.0.0.1:3260', weight: 100, maxWeight: 100, state: 'standby' },
    ...{ drained: false, holdDown: false, suspect: false },
    ...{ lastError: '', lastErrorUnixMs: 0, probeP90Us: 0 },
    ...more,
  };
}

describe('stage by the PV', () => {
  test('paths come from annotations, weights from labels of PV and Node', async () => {
    await bench.stage('pv-1', mountCapability(), {
      [PATH(0)]: 'iscsi://10.9.9.9/iqn.2026-01.io.x:y/1',
    });
    expect(bench.pathd.lastAttach?.paths).toMatchObject([
      { name: 'p0', host: '10.0.0.0', maxWeight: 100 },
      { name: 'p1', host: '10.0.0.1', maxWeight: 90 },
    ]);
    expect(api.annotations('pv-1')[OWNER]).toBe('node-1');
  });

  test('a PV of another driver or handle is refused, a missing one named', async () => {
    api.addPv('pv-2', { [PATH(0)]: URL_OF(0) }, { volumeHandle: 'other' });
    const wrong = await refusal(bench.stage('pv-2', blockCapability(), {}));
    expect(wrong).toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect(wrong.message).toContain('"other"');
    const context = { 'prioritypath.io/pv': 'pv-9' };
    const missing = await refusal(bench.stage('pv-3', blockCapability(), context));
    expect(missing).toMatchObject({ code: 'NOT_FOUND' });
    expect(missing.message).toContain('no PersistentVolume pv-9');
    expect(bench.pathd.calls).toEqual([]);
  });

  test('a malformed path is an InvalidPath event on PV and PVC while the good one works', async () => {
    api.annotate('pv-1', { [PATH(1)]: 'iscsi://10.0.0.1/nonsense/1' });
    await stage();
    expect(bench.pathd.lastAttach?.paths).toMatchObject([{ name: 'p0' }]);
    await eventually(() => {
      expect(api.events).toMatchObject([
        {
          reason: 'InvalidPath',
          type: 'Warning',
          metadata: { namespace: 'default' },
          involvedObject: { kind: 'PersistentVolume', uid: 'uid-pv-1' },
        },
        { reason: 'InvalidPath', metadata: { namespace: 'team-a' } },
      ]);
    });
    expect(api.events[0]?.message).toContain('target name "nonsense"');
  });
});

test('a PV without a usable path: the error and the event say what is missing', async () => {
  const missing = 'there is no usable path: there is no path.prioritypath.io/<name>';
  api.addPv('pv-4', {});
  expect((await refusal(bench.stage('pv-4', blockCapability(), {}))).message).toContain(
    'there is no path.prioritypath.io/<name>',
  );
  await eventually(() => expect(api.events).toHaveLength(2));
  expect(api.events[0]).toMatchObject({ reason: 'InvalidPath', message: missing });
  api.addPv('pv-5', { 'paths.prioritypath.io/p0': URL_OF(0) });
  await refusal(bench.stage('pv-5', blockCapability(), {}));
  await eventually(() => expect(api.events).toHaveLength(4));
  expect(api.events[2]?.message).toMatch(/^there is no usable path: paths\.prioritypath\.io\/p0 /);
});

test('a logical unit that is smaller than the PV says is an event when a pod gets it', async () => {
  const keys = { [PATH(0)]: URL_OF(0), 'weight.prioritypath.io/p0': '90' };
  const use = async (name: string): Promise<void> => {
    await bench.stage(name, blockCapability(), {});
    await bench.publish(name, blockCapability());
    await bench.unpublish(name);
    await bench.unstage(name);
  };
  api.addPv('pv-2', keys, {}, 'u-2', '64Mi');
  await use('pv-2');
  api.addPv('pv-3', keys, {}, 'u-3', '1Gi');
  await use('pv-3');
  await eventually(() => expect(api.events).toHaveLength(2));
  expect(api.events[0]).toMatchObject({ reason: 'CapacityMismatch', type: 'Warning' });
  expect(api.events[0]?.message).toMatch(/says 1Gi .* has 67108864 bytes/);
});

describe('live', () => {
  test('an edited annotation reaches pathd once, without a remount', async () => {
    await stage();
    api.annotate('pv-1', { [PATH(2)]: URL_OF(2), 'prioritypath.io/pin': 'p2' });
    api.annotate('pv-1', { 'weight.prioritypath.io/p2': '70', 'drain.prioritypath.io/p0': 'true' });
    await eventually(() => expect(bench.pathd.updates).toHaveLength(1));
    expect(bench.pathd.updates[0]).toMatchObject({
      pin: 'p2',
      paths: [{ name: 'p0', drained: true }, { name: 'p1' }, { name: 'p2', maxWeight: 70 }],
    });
    expect(bench.pathd.calls.filter((call) => call.startsWith('attach'))).toHaveLength(1);
  });

  test('a policy value that is malformed is told and left out', async () => {
    api.annotate('pv-1', {
      'policy.prioritypath.io/no-path-timeout': 'soon',
      'policy.prioritypath.io/fencing': 'gone',
    });
    await stage();
    expect(bench.pathd.lastAttach?.policy).toEqual({ fencing: 'gone' });
    await eventually(() => {
      expect(api.events[0]).toMatchObject({ reason: 'InvalidPath' });
      expect(api.events[0]?.message).toContain('policy.prioritypath.io/no-path-timeout "soon"');
    });
  });

  test('a csi that starts while no API server answers changes nothing, and catches up later', async () => {
    await stage();
    await api.stop();
    await bench.restart();
    api.annotate('pv-1', { 'weight.prioritypath.io/p1': '42' });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(bench.pathd.updates).toEqual([]);
    await api.start();
    await eventually(() => expect(weights()).toEqual({ p0: 100, p1: 42 }));
    expect(bench.pathd.updates).toHaveLength(1);
  });

  test('a record that could not be read when csi began: its PV is followed from the next stage on', async () => {
    await stage();
    const file = join(bench.stateDir, 'volumes', 'pv-1.json');
    const record = readFileSync(file);
    writeFileSync(file, '');
    await bench.restart();
    await eventually(() => expect(bench.logged.join()).toContain('volume is not followed'));
    writeFileSync(file, record);
    await stage();
    api.annotate('pv-1', { 'weight.prioritypath.io/p1': '42' });
    await eventually(() => expect(weights()).toEqual({ p0: 100, p1: 42 }));
  });

  test('while no API server answers, everything for a staged volume works, at once, and unasked', async () => {
    await stage();
    await eventually(() => expect(api.annotations('pv-1')).toHaveProperty(STATUS));
    await api.stop();
    for (const restarted of [false, true]) {
      if (restarted) await bench.restart();
      const startedAt = performance.now();
      await stage();
      await bench.publish('pv-1', blockCapability());
      const at = { volumeId: 'pv-1', volumePath: bench.target() };
      expect(await bench.kubelet.stats(at)).toMatchObject({ usage: [{ total: EXT4_BYTES }] });
      const grown = await bench.kubelet.expand({ ...at, capacityRange: { requiredBytes: 1 } });
      expect(grown.capacityBytes).toBe(EXT4_BYTES);
      await bench.unpublish('pv-1');
      expect(performance.now() - startedAt).toBeLessThan(3_000);
    }
    // No effect on the volume: what was attached once is attached, with the paths it had.
    const kinds = new Set(bench.pathd.calls.map((call) => call.split(' ')[0]));
    expect([...kinds].sort()).toEqual(['attach', 'expand', 'nexuses']);
    await api.start();
  });

  test('our own keys and other annotations cause nothing', async () => {
    await stage();
    api.annotate('pv-1', { 'status.prioritypath.io/node-2': 'x', 'example.com/y': 'z' });
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(bench.pathd.updates).toEqual([]);
  });

  test('a relabelled node changes the weights', async () => {
    await stage();
    expect(weights()).toEqual({ p0: 100, p1: 90 });
    api.label('nodes', 'node-1', { [RACK]: 'r2' });
    await eventually(() => expect(weights()).toEqual({ p0: 90, p1: 100 }));
  });

  test('what pathd refuses is told once and stays as it is', async () => {
    await stage();
    bench.pathd.updateError = new PathdError('FAILED_PRECONDITION', 'p1 is the last usable path');
    api.annotate('pv-1', { [PATH(1)]: null });
    await eventually(() =>
      expect(api.events.map(({ reason }) => reason)).toEqual(
        expect.arrayContaining(['UpdateRefused']),
      ),
    );
    api.annotate('pv-1', { [PATH(0)]: 'broken', [PATH(1)]: 'broken' });
    await eventually(() =>
      expect(api.events.map(({ message }) => message).join()).toMatch(/p0 "broken".*p1 "broken"/),
    );
    expect(bench.pathd.updates).toEqual([]);
  });
});

describe('one writer node', () => {
  test('held by a node that lives: refused with what to do; nothing attached', async () => {
    api.addNode('node-2');
    api.annotate('pv-1', { [OWNER]: 'node-2' });
    const refused = await refusal(stage());
    expect(refused.code).toBe('FAILED_PRECONDITION');
    expect(refused.message).toContain('claimed by node node-2');
    expect(refused.message).toContain('kubectl annotate pv pv-1 owner.prioritypath.io/node-');
    expect(bench.pathd.calls).toEqual([]);
    await bench.stage('pv-1', blockCapability('MULTI_NODE_MULTI_WRITER'), {});
  });

  test.each(['gone', 'out of service'])('taken over from a node that is %s', async (how) => {
    if (how !== 'gone') api.addNode('node-2', {}, ['node.kubernetes.io/out-of-service']);
    api.annotate('pv-1', { [OWNER]: 'node-2', 'status.prioritypath.io/node-2': 'old' });
    await stage();
    expect(api.annotations('pv-1')).toMatchObject({ [OWNER]: 'node-1' });
    expect(api.annotations('pv-1')).not.toHaveProperty('status.prioritypath.io/node-2');
    await eventually(() => expect(api.events[0]?.reason).toBe('OwnerTakenOver'));
  });

  test('the status of a node that is gone is removed by the next stager, of a living one not', async () => {
    api.addNode('node-3');
    api.annotate('pv-1', {
      'status.prioritypath.io/node-2': 'old',
      'status.prioritypath.io/node-3': 'new',
    });
    await bench.stage('pv-1', blockCapability('MULTI_NODE_MULTI_WRITER'), {});
    await eventually(() =>
      expect(api.annotations('pv-1')).not.toHaveProperty('status.prioritypath.io/node-2'),
    );
    expect(api.annotations('pv-1')).toHaveProperty('status.prioritypath.io/node-3');
    expect(api.annotations('pv-1')).not.toHaveProperty(OWNER);
  });

  test('a second node gets the volume when the first has let go, or is deleted', async () => {
    api.addNode('node-2');
    const other = { credentials: api.credentials, node: 'node-2' };
    const second = await CsiBench.open(EXT4_BYTES, other);
    const stageThere = (): Promise<void> => second.stage('pv-1', mountCapability(), {});
    try {
      await stage();
      expect((await refusal(stageThere())).message).toContain('claimed by node node-1');
      await bench.unstage('pv-1');
      await stageThere();
      expect(api.annotations('pv-1')[OWNER]).toBe('node-2');
      expect((await refusal(stage())).message).toContain('claimed by node node-2');
      api.remove('nodes', 'node-2');
      await stage();
      expect(api.annotations('pv-1')[OWNER]).toBe('node-1');
    } finally {
      await second.close();
    }
  });

  test('a claim that is taken while the volume is staged is told', async () => {
    await stage();
    await eventually(() => expect(api.watches).toContain('persistentvolumes/pv-1'));
    api.annotate('pv-1', { [OWNER]: 'node-2' });
    await eventually(() => expect(api.events[0]).toMatchObject({ reason: 'OwnerLost' }));
    api.mode = 'error';
    await bench.pathd.crash();
    expect((await refusal(stage())).code).toBe('UNAVAILABLE');
    api.mode = 'up';
    await bench.unstage('pv-1');
    expect(api.annotations('pv-1')[OWNER]).toBe('node-2');
  });

  test('a claim that was taken: no new pod here, and no repeated stage, until it is ours again', async () => {
    await stage();
    await bench.publish('pv-1', blockCapability());
    await eventually(() => expect(api.watches).toContain('persistentvolumes/pv-1'));
    api.addNode('node-2');
    api.annotate('pv-1', { [OWNER]: 'node-2' });
    await eventually(() => expect(api.events[0]).toMatchObject({ reason: 'OwnerLost' }));
    const taken = {
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('node-2') as string,
    };
    expect(await refusal(bench.publish('pv-1', blockCapability(), 'pod-2'))).toMatchObject(taken);
    expect(await refusal(stage())).toMatchObject(taken);
    // What is there is not disturbed; with the claim gone, it is taken back.
    await bench.publish('pv-1', blockCapability());
    api.annotate('pv-1', { [OWNER]: null });
    await stage();
    expect(api.annotations('pv-1')[OWNER]).toBe('node-1');
    await bench.publish('pv-1', blockCapability(), 'pod-2');
  });

  test('released at unstage, and when the stage fails', async () => {
    bench.pathd.attachError = new PathdError('UNAVAILABLE', 'no path answers');
    expect((await refusal(stage())).code).toBe('UNAVAILABLE');
    await eventually(() => expect(api.annotations('pv-1')).not.toHaveProperty(OWNER));
    bench.pathd.attachError = undefined;
    await stage();
    await eventually(() => expect(api.annotations('pv-1')).toHaveProperty(STATUS));
    await bench.unstage('pv-1');
    expect(Object.keys(api.annotations('pv-1'))).toEqual([PATH(0), PATH(1), UNIT]);
  });

  test('without an answer of the API no claim is made, nor is one believed that was ours', async () => {
    api.mode = 'error';
    expect(
      await refusal(bench.stage('pv-1', blockCapability(), { [PATH(0)]: URL_OF(0) })),
    ).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('cannot be claimed') as string,
    });
    api.mode = 'up';
    await stage();
    await bench.pathd.crash();
    api.mode = 'error';
    await bench.restart();
    // It may have been taken since: who knows is asked again.
    expect(await refusal(stage())).toMatchObject({ code: 'UNAVAILABLE' });
    api.mode = 'up';
    await stage();
    expect(weights()).toEqual({ p0: 100, p1: 90 });
  });
});

describe('status and events', () => {
  test('pathd events appear on PV and PVC, none twice over a restart of csi', async () => {
    await stage();
    bench.pathd.notify({ volumeId: 'pv-1', reason: 'PathDown', message: 'p0 is down' });
    await eventually(() => expect(api.events).toHaveLength(2));
    await bench.restart();
    bench.pathd.notify({ volumeId: 'pv-1', reason: 'PathUp', message: 'p0 is up' }, false);
    await eventually(() => expect(api.events).toHaveLength(4));
    expect(api.events.map(({ reason }) => reason)).toEqual([
      ...['PathDown', 'PathDown', 'PathUp', 'PathUp'],
    ]);
  });

  test('the status is written at transitions and not in between', async () => {
    bench.pathd.paths = [path('p0', { state: 'current' }), path('p1')];
    await stage();
    await eventually(() =>
      expect(api.annotations('pv-1')[STATUS]).toContain('* p0    100/100  current'),
    );
    const written = api.count(/^PATCH/);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(api.count(/^PATCH/)).toBe(written);
    bench.pathd.paths = [
      path('p0', { state: 'down', weight: 50 }),
      path('p1', { state: 'current' }),
    ];
    await eventually(() =>
      expect(api.annotations('pv-1')[STATUS]).toContain('  p0    50/100   down'),
    );
    // A weight that grows is no transition.
    bench.pathd.paths = [
      path('p0', { state: 'down', weight: 52 }),
      path('p1', { state: 'current' }),
    ];
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(api.count(/^PATCH/)).toBe(written + 1);
    expect(bench.pathd.updates).toEqual([]);
  });
});

describe('manners', () => {
  test('one connection and two watches; counted requests for a stage and an unstage', async () => {
    await eventually(() => expect(api.watches).toEqual(['nodes/node-1']));
    const before = api.requests.length;
    await stage();
    await eventually(() => expect(api.annotations('pv-1')).toHaveProperty(STATUS));
    await eventually(() => expect(api.watches).toEqual(['nodes/node-1', 'persistentvolumes/pv-1']));
    expect(api.requests.slice(before).sort()).toEqual([
      'GET /api/v1/persistentvolumes/pv-1',
      // The claim, the unit (of the first stage only), the status.
      'PATCH /api/v1/persistentvolumes/pv-1',
      'PATCH /api/v1/persistentvolumes/pv-1',
      'PATCH /api/v1/persistentvolumes/pv-1',
      'WATCH /api/v1/persistentvolumes',
    ]);
    const staged = api.requests.length;
    await bench.unstage('pv-1');
    expect(api.requests.slice(staged)).toHaveLength(2);
    expect(api.connections).toBe(1);
    expect(bench.counters.connections).toBe(1);
    await eventually(() => expect(api.watches).toEqual(['nodes/node-1']));
  });

  test('an API server that hangs delays a call by seconds, that is gone not even unstage', async () => {
    await stage();
    await eventually(() => expect(api.annotations('pv-1')).toHaveProperty(STATUS));
    await api.stop();
    const startedAt = performance.now();
    await bench.unstage('pv-1');
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect(bench.pathd.device('pv-1')).toBeUndefined();
    expect(api.annotations('pv-1')).toHaveProperty(OWNER);
    // The claim is given back when there is somebody to give it to, by the next csi too.
    await bench.restart();
    await api.start();
    await eventually(() => expect(api.annotations('pv-1')).not.toHaveProperty(OWNER));
    api.mode = 'hang';
    const hungAt = performance.now();
    expect((await refusal(stage())).code).toBe('UNAVAILABLE');
    // What refuses the stage is worth waiting for: a slow server is not one that says no.
    expect(performance.now() - hungAt).toBeLessThan(12_000);
  });
});
