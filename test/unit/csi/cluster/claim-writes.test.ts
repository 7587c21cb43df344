/** Claims against an API server in memory that keeps its promises: uid and resourceVersion. */
import { beforeEach, describe, expect, test } from 'vitest';
import {
  type Claimed,
  claimOwner,
  releaseOwner,
  type ReleaseTerms,
  removeDeadStatuses,
} from '../../../../src/csi/cluster/claim-writes.ts';
import { attachRequest } from '../../../../src/csi/node/attach-request.ts';
import {
  claimEntry,
  type Debt,
  type DebtEntry,
  parseDebts,
} from '../../../../src/kubernetes/debt-annotation.ts';
import { OUT_OF_SERVICE_TAINT } from '../../../../src/kubernetes/owner.ts';
import { PvApi } from '../../../support/kubernetes/pv-api.ts';

const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const OWNER = 'owner.prioritypath.io/node';
const DEBTS = 'owner.prioritypath.io/debts';
const statusOf = (node: string): string => `status.prioritypath.io/${node}`;
const PATH = { name: 'p0', host: '10.0.0.1', port: 3260, targetName: 'iqn.2026-01.x:y', lun: 1 };

let api: PvApi;

beforeEach(() => {
  api = new PvApi();
});

/** With the session names that a node of this name has. */
const entryOf = (node: string): ReturnType<typeof claimEntry> =>
  claimEntry(node, Date.now(), [PATH], {
    initiatorName: `iqn.2026-01.x:${node}`,
    isids: [{ path: 'p0', isid: '800000010000' }],
  });
const claim = (node: string, left?: readonly Debt[]): Promise<Claimed> =>
  claimOwner(
    { api: api.api, node, log: LOG },
    { volumeId: 'pv-1', pv: api.pv, entry: () => Promise.resolve(entryOf(node)), left },
  );
const CLEAN = { left: [], isOwner: true, isPaid: true, wasHeld: false, isOver: () => false };
const release = (node: string, more: Partial<ReleaseTerms> = {}): Promise<boolean> =>
  releaseOwner(
    { api: api.api, node, log: LOG },
    { volumeId: 'pv-1', name: 'pv-1', uid: 'u-1', ...CLEAN, ...more },
  );
/** What the PV says is under way: node, whether it is a claim's entry, whether every path. */
const debts = (): readonly string[] =>
  parseDebts(api.annotations[DEBTS], Date.now()).map(
    ({ isClaim, debt }) =>
      `${debt.node}${isClaim ? ' claim' : ''}${debt.allPaths ? ' every' : ''} ${debt.paths.map(({ name }) => name).join()}`,
  );
const KEPT_OUT: Debt = {
  ...{ node: 'n1', sinceUnixMs: 1_000, allPaths: false, initiatorName: 'iqn.2026-01.x:n1' },
  paths: [{ ...PATH, isid: '800000010000', keptOut: true }],
};
const REFUSED = {
  code: 'FAILED_PRECONDITION',
  message: expect.stringContaining('claimed by node') as string,
};
const LATER = { code: 'UNAVAILABLE', message: expect.stringContaining('tried again') as string };

describe('a claim', () => {
  test('of a free volume is one write', async () => {
    const { pv, takenFrom } = await claim('n1');
    expect([pv.annotations[OWNER], takenFrom, api.calls]).toEqual(['n1', undefined, ['PATCH']]);
  });

  test('that is held is no request at all, after a crash between claim and stage too', async () => {
    await claim('n1');
    api.calls.length = 0;
    expect((await claim('n1')).takenFrom).toBeUndefined();
    expect(api.calls).toEqual([]);
  });

  test('of two at the same moment: the second reads again, and is refused', async () => {
    api.nodes.set('n2', { uid: 'x', taints: [] });
    api.race = () => api.edit({ [OWNER]: 'n2' });
    await expect(claim('n1')).rejects.toMatchObject(REFUSED);
    expect(api.annotations[OWNER]).toBe('n2');
    expect(api.calls).toEqual(['PATCH', 'GET', 'GET n2']);
  });

  test('goes on after a conflict with an edit that has nothing to do with it', async () => {
    api.race = () => api.edit({ 'example.com/x': 'y' });
    expect((await claim('n1')).pv.annotations[OWNER]).toBe('n1');
  });

  test('of a PV that keeps changing, or whose answer is lost, is tried again later', async () => {
    const again = (): void => {
      api.edit({ 'example.com/x': 'y' });
      queueMicrotask(() => (api.race = again));
    };
    api.race = again;
    await expect(claim('n1')).rejects.toMatchObject(LATER);
    api.race = undefined;
    api.patchTrouble = { kind: 'unavailable', isApplied: true };
    await expect(claim('n1')).rejects.toMatchObject(LATER);
    // It was written all the same: the next try holds it, and a release finds it.
    api.calls.length = 0;
    await claim('n1');
    expect(api.calls).toEqual([]);
    expect(await release('n1')).toBe(true);
    expect(api.annotations).not.toHaveProperty([OWNER]);
  });

  test('of a PV that was replaced between reading and writing is not written on the new one', async () => {
    const old = api.pv;
    [api.uid, api.exists] = ['u-2', false];
    const entry = (): Promise<DebtEntry> => Promise.resolve(entryOf('n1'));
    const wanted = { volumeId: 'pv-1', pv: old, entry, left: undefined };
    const claiming = claimOwner({ api: api.api, node: 'n1', log: LOG }, wanted);
    await expect(claiming).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(api.annotations).toEqual({});
  });
});

describe('a volume of another node', () => {
  beforeEach(() => {
    api.edit({ [OWNER]: 'n2', [statusOf('n2')]: 'table' });
  });

  test('whose pod was deleted by force: refused while the Node is there, whatever its state', async () => {
    api.nodes.set('n2', { uid: 'x', taints: ['node.kubernetes.io/unreachable'] });
    await expect(claim('n1')).rejects.toMatchObject(REFUSED);
    expect(api.calls).not.toContain('PATCH');
  });

  test('is free when that node has unstaged it, or an operator removed the claim', async () => {
    api.nodes.set('n2', { uid: 'x', taints: [] });
    expect(await release('n2')).toBe(true);
    expect(api.annotations).toEqual({});
    await claim('n1');
    expect(api.annotations[OWNER]).toBe('n1');
  });

  test('whose Node is gone: taken, its status with it, and why is said', async () => {
    const { takenFrom } = await claim('n1');
    expect(takenFrom).toEqual({ node: 'n2', why: 'Node n2 does not exist any more' });
    expect(Object.keys(api.annotations)).toEqual([OWNER, DEBTS]);
  });

  test('whose Node is out of service: taken', async () => {
    api.nodes.set('n2', { uid: 'x', taints: [OUT_OF_SERVICE_TAINT] });
    expect((await claim('n1')).takenFrom?.node).toBe('n2');
  });

  test('whose Node was deleted and is there again with another uid: not taken by others', async () => {
    api.nodes.set('n2', { uid: 'new', taints: [] });
    await expect(claim('n1')).rejects.toMatchObject(REFUSED);
    // By the node of that name itself it is held.
    expect((await claim('n2')).takenFrom).toBeUndefined();
  });

  test('whose Node cannot be asked about: later, nothing written', async () => {
    api.nodeTrouble = 'unavailable';
    await expect(claim('n1')).rejects.toMatchObject(LATER);
    expect(api.annotations[OWNER]).toBe('n2');
  });

  test('two nodes that take over at the same moment: one has it', async () => {
    api.race = () => {
      api.nodes.set('n3', { uid: 'x', taints: [] });
      api.edit({ [OWNER]: 'n3' });
    };
    await expect(claim('n1')).rejects.toMatchObject(REFUSED);
    expect(api.annotations[OWNER]).toBe('n3');
  });
});

describe('a release', () => {
  test("takes our status off, another's claim stays", async () => {
    api.edit({ [OWNER]: 'n2', [statusOf('n1')]: 'table' });
    expect(await release('n1')).toBe(true);
    expect(api.annotations).toEqual({ [OWNER]: 'n2' });
  });

  test('that meets a take-over in between leaves the new claim', async () => {
    api.edit({ [OWNER]: 'n1' });
    api.race = () => api.edit({ [OWNER]: 'n2' });
    expect(await release('n1')).toBe(true);
    expect(api.annotations[OWNER]).toBe('n2');
  });

  test('of a PV that is gone or another one is done, without a write', async () => {
    expect(await release('n1', { uid: 'u-0' })).toBe(true);
    api.exists = false;
    expect(await release('n1')).toBe(true);
    expect(api.calls).toEqual(['GET', 'GET']);
  });

  test('that is not answered is to be tried again', async () => {
    api.edit({ [OWNER]: 'n1' });
    api.patchTrouble = { kind: 'unavailable', isApplied: false };
    expect(await release('n1')).toBe(false);
    expect(await release('n1')).toBe(true);
    expect(api.annotations).toEqual({});
  });

  test('that is forbidden for a while is not forgotten: the claim would stay for good', async () => {
    api.edit({ [OWNER]: 'n1', [statusOf('n1')]: 'table' });
    api.pvTrouble = 'forbidden';
    expect(await release('n1')).toBe(false);
    api.pvTrouble = undefined;
    api.patchTrouble = { kind: 'forbidden', isApplied: false };
    expect(await release('n1')).toBe(false);
    expect(await release('n1')).toBe(true);
    expect(api.annotations).toEqual({});
  });
});

test('statuses of Nodes that are gone are removed, of living and unknown ones not', async () => {
  api.edit({ [statusOf('n2')]: 'x', [statusOf('n3')]: 'y', [statusOf('n1')]: 'own' });
  api.nodes.set('n3', { uid: 'x', taints: [] });
  const options = { api: api.api, node: 'n1', log: LOG };
  await removeDeadStatuses(options, api.pv);
  expect(Object.keys(api.annotations)).toEqual([statusOf('n3'), statusOf('n1')]);
  api.nodeTrouble = 'unavailable';
  await removeDeadStatuses(options, api.pv);
  expect(Object.keys(api.annotations)).toHaveLength(2);
});

describe('registrations of others may be taken away', () => {
  const chap = { initiatorName: '', initiatorSecret: '', targetName: '', targetSecret: '' };
  const config = { paths: [], policy: {}, pin: '' };
  const STAGE = {
    volumeId: 'pv-1',
    mode: 'SINGLE_NODE_WRITER',
    chap,
    config,
    pinnedUnit: '',
  } as const;
  const under = (node: string, claimed: readonly Debt[]): boolean | undefined =>
    attachRequest({ ...STAGE, node, claimed }).mayTakeOver;
  const may = async (node: string): Promise<boolean | undefined> =>
    under(node, (await claim(node)).debts);

  test('only where the claim was taken from a named node, by a stage that failed too', async () => {
    await claim('n2');
    expect(await may('n1')).toBe(true);
    await release('n1', { isPaid: false });
    expect(await may('n1')).toBe(true);
  });

  test('not under a claim that was free, that this node had before, or that was given back', async () => {
    expect(await may('n1')).toBe(false);
    expect(await may('n1')).toBe(false);
    await release('n1', { left: [KEPT_OUT] });
    expect(await may('n2')).toBe(false);
  });

  test('not from a holder that nobody can name', async () => {
    api.edit({ [DEBTS]: 'nonsense' });
    const { debts: earlier } = await claim('n1');
    expect([earlier.length, under('n1', earlier)]).toEqual([1, false]);
  });
});

describe('what a holder may still have under way', () => {
  test('a claim says who is about to write, from the moment it is made, in the same write', async () => {
    const { debts: earlier } = await claim('n1');
    expect(earlier).toEqual([]);
    expect(debts()).toEqual(['n1 claim every p0']);
    const [own] = parseDebts(api.annotations[DEBTS], Date.now());
    expect(own?.debt).toMatchObject({
      initiatorName: 'iqn.2026-01.x:n1',
      paths: [{ ...PATH, isid: '800000010000' }],
    });
  });

  test('a clean release takes owner, debts and status away in one write', async () => {
    await claim('n1');
    api.edit({ [statusOf('n1')]: 'table' });
    api.calls.length = 0;
    expect(await release('n1')).toBe(true);
    expect(api.annotations).toEqual({});
    expect(api.calls).toEqual(['GET', 'PATCH']);
  });

  test('a release that is not clean leaves what pathd said, and frees the volume in the same write', async () => {
    await claim('n1');
    api.calls.length = 0;
    expect(await release('n1', { left: [KEPT_OUT] })).toBe(true);
    expect(api.calls).toEqual(['GET', 'PATCH']);
    expect(api.annotations).not.toHaveProperty([OWNER]);
    const { debts: earlier } = await claim('n2');
    expect(earlier).toEqual([KEPT_OUT]);
    expect(debts()).toEqual(['n2 claim every p0', 'n1 p0']);
  });

  test('of a node that it was taken from: every path, since the take-over, under its names', async () => {
    await claim('n2');
    const claimedAt = api.annotations[DEBTS] ?? '';
    api.edit({
      [DEBTS]: claimedAt.replace(/"since":"[^"]*"/, '"since":"2026-01-01T00:00:00.000Z"'),
    });
    const startedAt = Date.now();
    const { debts: earlier } = await claim('n1');
    expect(earlier).toMatchObject([
      { node: 'n2', allPaths: true, initiatorName: 'iqn.2026-01.x:n2', paths: [PATH] },
    ]);
    expect(earlier[0]?.sinceUnixMs).toBeGreaterThanOrEqual(startedAt);
    expect(debts()).toEqual(['n1 claim every p0', 'n2 every p0']);
    // The claim is made in the write that says so: one that fails has said nothing.
    expect(api.calls.filter((call) => call === 'PATCH')).toHaveLength(2);
  });

  test('of a node whose csi is older and wrote no entry: every path, of a holder without names', async () => {
    api.edit({ [OWNER]: 'n2' });
    const { debts: earlier } = await claim('n1');
    expect(earlier).toMatchObject([{ node: 'n2', allPaths: true, initiatorName: '', paths: [] }]);
    expect(debts()).toEqual(['n1 claim every p0', 'n2 every ']);
  });

  test('an owner annotation that the operator removes leaves the debts, and they count', async () => {
    await claim('n2');
    api.edit({ [OWNER]: null });
    const { debts: earlier, takenFrom } = await claim('n1');
    expect(takenFrom).toBeUndefined();
    expect(earlier).toMatchObject([{ node: 'n2', allPaths: true, paths: [PATH] }]);
  });

  test('a value that nobody understands is a holder that may have written through every path', async () => {
    api.edit({ [DEBTS]: '[{"node":"n2"' });
    const { debts: earlier } = await claim('n1');
    expect(earlier).toMatchObject([{ node: '', allPaths: true }]);
  });

  test('a claim that this node held before counts as its own debt, and costs no write', async () => {
    await claim('n1');
    api.calls.length = 0;
    const { debts: earlier, wasHeld } = await claim('n1');
    expect(api.calls).toEqual([]);
    expect([wasHeld, earlier]).toMatchObject([true, [{ node: 'n1', allPaths: true }]]);
    // The stage fails: what that claim has left is not forgotten.
    expect(await release('n1', { isPaid: false, wasHeld })).toBe(true);
    expect(api.annotations).not.toHaveProperty([OWNER]);
    expect(debts()).toEqual(['n1 every p0']);
  });

  test('a claim that was held and of which pathd has said that it is clean is no debt', async () => {
    await claim('n1');
    const { debts: earlier, wasHeld } = await claim('n1', []);
    expect([wasHeld, earlier]).toEqual([false, []]);
  });

  test('a stage that fails before anything was fenced loses no debt of others', async () => {
    await claim('n2');
    api.edit({ [OWNER]: null });
    const { wasHeld } = await claim('n1');
    expect(await release('n1', { isPaid: false, wasHeld })).toBe(true);
    expect(debts()).toEqual(['n2 every p0']);
    expect((await claim('n3')).debts).toMatchObject([{ node: 'n2' }]);
  });

  test('stages that fail, however many, do not crowd out what others have left', async () => {
    await claim('n2');
    api.edit({ [OWNER]: null });
    for (let attempt = 0; attempt < 40; attempt += 1) {
      const { debts: earlier, wasHeld } = await claim('n1');
      const own = { ...KEPT_OUT, sinceUnixMs: 1_000 + attempt, paths: [] };
      const left = [own, ...earlier.filter(({ node }) => node !== 'n1')];
      await release('n1', { left, isPaid: false, wasHeld });
    }
    expect(debts()).toEqual(['n2 every p0', 'n1 ']);
  });

  test('a PV that was made anew for the volume gets what is left; one of another volume does not', async () => {
    await claim('n1');
    [api.uid, api.annotations] = ['u-2', {}];
    expect(await release('n1', { left: [KEPT_OUT] })).toBe(true);
    expect(debts()).toEqual(['n1 p0']);
    // The manifest was applied as it stood in the cluster: nobody else would take our name off it.
    [api.uid, api.annotations] = ['u-3', { [OWNER]: 'n1' }];
    expect(await release('n1')).toBe(true);
    expect(api.annotations).toEqual({});
    [api.uid, api.annotations, api.driver] = ['u-4', {}, 'other'];
    expect(await release('n1', { left: [KEPT_OUT] })).toBe(true);
    expect(api.annotations).toEqual({});
  });

  test('a release whose answer is lost leaves the claim or the debts, never neither', async () => {
    await claim('n1');
    api.patchTrouble = { kind: 'unavailable', isApplied: false };
    expect(await release('n1', { left: [KEPT_OUT] })).toBe(false);
    expect(api.annotations[OWNER]).toBe('n1');
    api.patchTrouble = { kind: 'unavailable', isApplied: true };
    expect(await release('n1', { left: [KEPT_OUT] })).toBe(false);
    expect(debts()).toEqual(['n1 p0']);
    expect(await release('n1', { left: [KEPT_OUT] })).toBe(true);
    expect(debts()).toEqual(['n1 p0']);
  });
});
