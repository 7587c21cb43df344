/** One volume, two nodes, one API server: what a holder may have left goes with the volume. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Debt, PathdError } from '../../src/pathd/api.ts';
import { CsiBench, EXT4_BYTES, refusal } from '../support/node/csi-bench.ts';
import { FakeApi } from '../support/kubernetes/fake-api.ts';
import { blockCapability } from '../support/node/kubelet.ts';

const PATH_KEY = 'path.prioritypath.io/p0';
const URL_0 = 'iscsi://10.0.0.0/iqn.2026-01.io.prioritypath.test:vol/1';
const OWNER = 'owner.prioritypath.io/node';
const DEBTS = 'owner.prioritypath.io/debts';
const UNIT = 'identity.prioritypath.io/unit';
const STATUS = 'status.prioritypath.io/node-1';
const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';
const LEFT: Debt = {
  ...{ node: '', sinceUnixMs: 1_000, allPaths: false, initiatorName: 'iqn.2026-01.test:own' },
  paths: [
    {
      ...{ name: 'p0', host: '10.0.0.0', port: 3260, lun: 1, isid: '800000000000' },
      ...{ targetName: 'iqn.2026-01.io.prioritypath.test:vol', keptOut: false },
    },
  ],
};

let api: FakeApi;
let one: CsiBench;
let two: CsiBench;

beforeEach(async () => {
  api = await FakeApi.start();
  api.addNode('node-1');
  api.addNode('node-2');
  api.addPv('pv-1', { [PATH_KEY]: URL_0 });
  one = await CsiBench.open(EXT4_BYTES, { credentials: api.credentials, node: 'node-1' });
  two = await CsiBench.open(EXT4_BYTES, { credentials: api.credentials, node: 'node-2' });
});

afterEach(async () => {
  await one.close();
  await two.close();
  await api.stop();
});

const stage = (node: CsiBench): Promise<void> => node.stage('pv-1', blockCapability(), {});
const annotations = (): Readonly<Record<string, string>> => api.annotations('pv-1');
const reasons = (): readonly string[] => api.events.map(({ reason }) => reason);
const eventually = (check: () => unknown): Promise<void> =>
  expect.poll(check, { timeout: 8_000, interval: 20 }).toBeTruthy();

describe('a hand-over', () => {
  test('that is clean says so and costs nothing; the claim vouches for the history', async () => {
    await stage(one);
    expect(annotations()[DEBTS]).toContain('"node":"node-1","claim":true');
    expect(annotations()[DEBTS]).toContain('"as":"iqn.2026-01.test:own"');
    await one.unstage('pv-1');
    expect(annotations()).not.toHaveProperty([DEBTS]);
    await stage(two);
    expect(two.pathd.lastAttach).toMatchObject({
      ...{ debts: [], historyKnown: true, mayTakeOver: false, claimQuestions: true },
      expectedIdentity: one.pathd.identity,
    });
  });

  test('that is not clean: the next node is told what pathd has said, by whom; settled, it is gone', async () => {
    await stage(one);
    one.pathd.debts = [LEFT];
    await one.unstage('pv-1');
    expect(annotations()).not.toHaveProperty([OWNER]);
    expect(annotations()[DEBTS]).toContain('"node":"node-1"');
    await eventually(() => reasons().includes('DebtsLeft'));
    await stage(two);
    const { debts } = two.pathd.lastAttach ?? {};
    expect(debts).toEqual([{ ...LEFT, node: 'node-1' }]);
    expect(annotations()[DEBTS]).not.toContain('node-1');
  });

  test('while the API server is away: the claim stands, and another node is refused, until it is written', async () => {
    await stage(one);
    one.pathd.debts = [LEFT];
    api.mode = 'error';
    await one.unstage('pv-1');
    await one.restart();
    one.pathd.debts = [];
    expect(annotations()[OWNER]).toBe('node-1');
    expect((await refusal(stage(two))).code).toBe('UNAVAILABLE');
    api.mode = 'up';
    await eventually(() => annotations()[OWNER] === undefined);
    await stage(two);
    // What was said at the detach is on disk: what pathd says later is not asked for.
    expect(two.pathd.lastAttach?.debts).toEqual([{ ...LEFT, node: 'node-1' }]);
  });

  test('of a csi that died before it wrote down what pathd had said: pathd is asked again', async () => {
    await stage(one);
    one.pathd.detachError = new PathdError('UNAVAILABLE', 'away');
    await expect(one.unstage('pv-1')).rejects.toThrow();
    one.pathd.detachError = undefined;
    one.pathd.debts = [LEFT];
    await one.unstage('pv-1');
    await eventually(() => annotations()[DEBTS]?.includes('node-1') === true);
    expect(annotations()).not.toHaveProperty([OWNER]);
  });
});

test('what a node leaves of a volume that several write is told, and imposed on nobody', async () => {
  const shared = blockCapability('MULTI_NODE_MULTI_WRITER');
  await one.stage('pv-1', shared, {});
  one.pathd.debts = [LEFT];
  await one.unstage('pv-1');
  await eventually(() => reasons().includes('DebtsLeft'));
  expect(annotations()).not.toHaveProperty([DEBTS]);
  await two.stage('pv-1', shared, {});
  expect(two.pathd.lastAttach).toMatchObject({
    ...{ debts: [], historyKnown: false, claimQuestions: false },
    expectedIdentity: one.pathd.identity,
  });
});

describe('a take-over', () => {
  test('counts every path of the former holder until pathd has settled it', async () => {
    await stage(one);
    api.remove('nodes', 'node-1');
    api.addNode('node-1', {}, [OUT_OF_SERVICE]);
    two.pathd.attachError = new PathdError('UNAVAILABLE', 'FenceFailed');
    await refusal(stage(two));
    // Neither the failed stage nor its rollback has lost it, and it may take over still.
    expect(annotations()).not.toHaveProperty([OWNER]);
    two.pathd.attachError = undefined;
    await stage(two);
    expect(two.pathd.lastAttach).toMatchObject({
      mayTakeOver: true,
      debts: [{ node: 'node-1', allPaths: true, initiatorName: 'iqn.2026-01.test:own' }],
    });
    expect(annotations()[DEBTS]).not.toContain('node-1');
  });

  test('of a volume that nobody held, or this node itself, is none', async () => {
    await stage(one);
    expect(one.pathd.lastAttach?.mayTakeOver).toBe(false);
    await one.pathd.crash();
    await stage(one);
    expect(one.pathd.lastAttach).toMatchObject({ mayTakeOver: false, debts: [{ node: 'node-1' }] });
  });

  test('by two nodes at once: one has it', async () => {
    api.addNode('node-3', {}, [OUT_OF_SERVICE]);
    api.annotate('pv-1', { [OWNER]: 'node-3' });
    const outcomes = await Promise.allSettled([stage(one), stage(two)]);
    const won = outcomes.map(({ status }) => status === 'fulfilled');
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(annotations()[OWNER]).toBe(won[0] ? 'node-1' : 'node-2');
    const loser = won[0] ? two : one;
    expect(loser.pathd.calls.filter((call) => call.startsWith('attach'))).toEqual([]);
  });

  test('on a node whose pathd is older and could not fence is refused', async () => {
    two.pathd.isOlder = true;
    await stage(one);
    // A hand-over from a node that has given it back is as it was.
    await one.unstage('pv-1');
    await stage(two);
    await two.unstage('pv-1');
    await stage(one);
    api.remove('nodes', 'node-1');
    const refused = await refusal(stage(two));
    expect(refused.code).toBe('FAILED_PRECONDITION');
    expect(refused.message).toMatch(/node node-1 may still have writes .* replace its pathd pod/);
    expect(annotations()[DEBTS]).toContain('"node":"node-1"');
  });
});

describe('an API server', () => {
  test('that is slow does not make an old claim believed', async () => {
    await stage(one);
    await one.pathd.crash();
    api.annotate('pv-1', { [OWNER]: 'node-2' });
    api.delayMs = 3_000;
    const refused = await refusal(stage(one));
    expect(refused).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('claimed by node node-2') as string,
    });
    expect(one.pathd.calls.filter((call) => call.startsWith('attach'))).toHaveLength(1);
  });

  test('that is slow does not keep a claim from being made', async () => {
    api.delayMs = 2_500;
    await stage(one);
    expect(annotations()[OWNER]).toBe('node-1');
  });

  test('that does not show a PV: nothing is told about its keys', async () => {
    api.annotate('pv-1', { [PATH_KEY]: 'iscsi://10.0.0.0/nonsense/1' });
    await refusal(stage(one));
    await eventually(() => reasons().includes('InvalidPath'));
    const count = one.logged.filter((line) => line.includes('InvalidPath')).length;
    api.annotate('pv-1', { [PATH_KEY]: URL_0 });
    api.mode = 'error';
    expect((await refusal(stage(one))).code).toBe('UNAVAILABLE');
    expect((await refusal(stage(two))).code).toBe('UNAVAILABLE');
    expect(one.logged.filter((line) => line.includes('InvalidPath'))).toHaveLength(count);
    expect(two.logged.filter((line) => line.includes('InvalidPath'))).toEqual([]);
  });
});

describe('while it is staged', () => {
  beforeEach(async () => {
    await stage(one);
    await eventually(() => annotations()[STATUS] !== undefined);
    await eventually(() => api.watches.filter((watch) => watch.endsWith('pv-1')).length === 1);
  });

  /** Finalizers stripped, the same manifest applied. */
  function makeAnew(): void {
    api.remove('persistentvolumes', 'pv-1');
    api.addPv('pv-1', { [PATH_KEY]: URL_0 }, {}, 'uid-again');
  }

  test.each([false, true])(
    'a PV that is made anew is claimed at once, and status and events follow it (csi restarted: %s)',
    async (isRestarted) => {
      if (isRestarted) {
        await api.stop();
        makeAnew();
        await one.restart();
        await api.start();
      } else {
        makeAnew();
      }
      await eventually(() => annotations()[OWNER] === 'node-1');
      await eventually(() => annotations()[STATUS] !== undefined);
      expect(annotations()[UNIT]).toBe(one.pathd.identity);
      expect((await refusal(stage(two))).message).toContain('claimed by node node-1');
      one.pathd.notify({ volumeId: 'pv-1', reason: 'PathDown', message: 'p0 is down' });
      await eventually(() => reasons().includes('PathDown'));
      expect(reasons()).toContain('OwnerReclaimed');
      const uids = api.events
        .filter(({ involvedObject: { kind } }) => kind === 'PersistentVolume')
        .filter(({ reason }) => reason !== 'TopologyUnknown')
        .map(({ involvedObject: { uid } }) => uid);
      expect(new Set(uids)).toEqual(new Set(['uid-again']));
      await one.unstage('pv-1');
      expect(Object.keys(annotations())).toEqual([PATH_KEY, UNIT]);
    },
  );

  test('a claim that another node has taken: pathd is told, and the event says so', async () => {
    api.annotate('pv-1', { [OWNER]: 'node-2' });
    await eventually(() => one.pathd.calls.includes('confirmClaim pv-1 lost'));
    await eventually(() => reasons().includes('OwnerLost'));
    await one.unstage('pv-1');
    expect(annotations()[OWNER]).toBe('node-2');
  });

  test('an owner annotation that is removed is back at once', async () => {
    api.annotate('pv-1', { [OWNER]: null });
    await eventually(() => annotations()[OWNER] === 'node-1');
    await eventually(() => reasons().includes('OwnerReclaimed'));
    expect(one.pathd.calls.some((call) => call.startsWith('confirmClaim'))).toBe(false);
  });

  test('pathd asks whether the claim stands: the API server is asked, not memory', async () => {
    api.mode = 'error';
    one.pathd.notify({ volumeId: 'pv-1', reason: 'ClaimQuestioned', message: 'keys vanished' });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(one.pathd.calls.some((call) => call.startsWith('confirmClaim'))).toBe(false);
    api.mode = 'up';
    await eventually(() => one.pathd.calls.includes('confirmClaim pv-1 confirmed'));
  });
});
