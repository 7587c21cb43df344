/**
 * What may still take effect follows the volume: two nodes, one after the other, over the same gateways
 * and one medium. Whatever the first one left is fenced before the first write of the second.
 */
import { describe, expect, it } from 'vitest';
import type { Debt } from '../../../../src/volume/record/debt.ts';
import { nodePrefix } from '../../../../src/volume/reserve/reservation-key.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import type { Gateway } from '../../../support/model/fake-session.ts';
import {
  MemoryStore,
  VolumeWorld,
  type WorldOptions,
} from '../../../support/model/volume-world.ts';

const A = 'iqn.2026-01.test:a';
const B = 'iqn.2026-01.test:b';

function nodeA(options: WorldOptions = {}): VolumeWorld {
  return new VolumeWorld({ singleNode: true, initiatorName: A, ...options });
}

/** Another node: a record of its own, the same targets. */
function nodeB(a: VolumeWorld, debts: readonly Debt[], options: WorldOptions = {}): VolumeWorld {
  const { clock, gateways, medium } = a;
  const store = new MemoryStore(clock);
  const same = { clock, gateways, medium, store, singleNode: true };
  return new VolumeWorld({ ...same, initiatorName: B, debts, ...options });
}

/** A claim that was taken over without a release. */
function claimOf(a: VolumeWorld, isids = true): Debt {
  const paths = a.volume.options.paths.map(({ name, target, isid }) => {
    return { name, ...target, isid: isids ? isid : '', keptOut: false };
  });
  const sinceUnixMs = a.clock.wallTime().getTime();
  return { node: 'a', sinceUnixMs, allPaths: true, initiatorName: isids ? A : '', paths };
}

/** A writes through p0, which freezes with the write in its socket; no rung holds, and A gives up. */
async function latched(options: WorldOptions = {}): Promise<VolumeWorld> {
  const a = nodeA({ policy: { 'no-path-timeout': '10s' }, ...options });
  await a.start();
  await a.clock.advance(1_000);
  a.gateway(0).mode = 'frozen';
  const old = a.write(3, 1);
  expect(await a.clock.run(old.done)).toBe('EIO');
  expect(a.volume.status().state).toBe('failed');
  await a.close();
  return a;
}

const writtenTo = { name: 'p0', host: '10.0.0.0', port: 3260, targetName: 'iqn.t', lun: 1 };

describe('a node that gives up with a write unanswered', () => {
  it('leaves the path, its address and its ISID, also when it is asked again from disk', async () => {
    const a = await latched();
    const debts = a.volume.debts;
    expect(debts).toMatchObject([
      { allPaths: false, initiatorName: A, paths: [{ ...writtenTo, isid: '800000000000' }] },
    ]);
    expect(debts[0]?.paths).toHaveLength(1);
    expect(debts[0]?.paths[0]?.keptOut).toBe(false);
    const since = a.store.disk?.leftUnixMs;
    await a.clock.advance(60_000);
    expect(a.volume.debts).toEqual(debts);
    expect(debts[0]?.sinceUnixMs).toBe(since);
  });

  it('the next one is held until the old portal answers, names the node, and then it is fenced', async () => {
    const a = await latched();
    const b = nodeB(
      a,
      a.volume.debts.map((debt) => ({ ...debt, node: 'a' })),
    );
    const refused = await b.clock.run(b.volume.start());
    expect(refused).toMatchObject({ ok: false, error: { kind: 'stuck' } });
    const text = refused.ok ? '' : refused.error.detail;
    expect(text).toMatch(/p0 of node a \(10\.0\.0\.0:3260\) are not fenced.*set policy/u);
    await b.close();
    expect(b.executed).toEqual([]);
    // Killed or given up: what is to be fenced is on disk.
    expect(b.store.disk?.debts).toMatchObject([{ node: 'a', paths: [{ name: 'p0' }] }]);

    const again = nodeB(a, [], { store: b.store, debts: b.store.disk?.debts ?? [] });
    const starting = again.volume.start();
    await again.clock.advance(3_000);
    again.gateway(0).revive();
    expect(await again.clock.run(starting)).toMatchObject({ ok: true });
    await again.wrote(3, 2);
    await again.clock.advance(20_000);
    expect(again.medium.value(3)).toBe(2);
    expect(again.store.disk?.debts).toBeUndefined();
    expect(again.volume.unpaid).toEqual([]);
    expect(again.violations).toEqual([]);
    await again.close();
  });

  it('what lies unread in the socket of its session goes with that session, which no reset reaches', async () => {
    const a = await latched();
    a.gateway(0).leavesUnread = true;
    a.gateway(0).delayMs = ({ what }) => (what.op === 'write' ? 5_000 : 1);
    const b = nodeB(a, a.volume.debts);
    const starting = b.volume.start();
    await b.clock.advance(1_000);
    b.gateway(0).revive();
    expect(await b.clock.run(starting)).toMatchObject({ ok: true });
    await b.wrote(3, 2);
    await b.clock.advance(20_000);
    expect(b.medium.value(3)).toBe(2);
    await b.close();
  });

  it.each([
    ['30 s after the release', 0, 20_000],
    ['at once, if that is longer ago', 60_000, 0],
  ])('`delay=30s` counts from the release: it may go on %s', async (_, ago, atLeast) => {
    const a = await latched();
    const policy = { fencing: 'delay=30s' };
    await a.clock.advance(ago);
    const from = a.clock.now();
    let b = nodeB(a, a.volume.debts, { policy });
    for (let tries = 0; !(await b.clock.run(b.volume.start())).ok; tries++) {
      expect(tries).toBeLessThan(8);
      await b.close();
      b = nodeB(a, [], { policy, store: b.store, debts: b.store.disk?.debts ?? [] });
    }
    expect(b.clock.now() - from).toBeGreaterThanOrEqual(atLeast);
    expect(b.clock.now() - from).toBeLessThan(atLeast + 12_000);
    await b.wrote(3, 2);
    await b.close();
  });

  it('a release in the future, by another clock, counts as now', async () => {
    const a = await latched();
    const debts = a.volume.debts.map((debt) => ({ ...debt, sinceUnixMs: 1e15 }));
    const from = a.clock.now();
    const b = nodeB(a, debts, { policy: { fencing: 'delay=5s' } });
    await b.start();
    expect(b.clock.now() - from).toBeGreaterThanOrEqual(5_000);
    expect(b.clock.now() - from).toBeLessThan(8_000);
    await b.close();
  });

  it('a path that is not configured any more is fenced at its address', async () => {
    const a = await latched();
    const left = a.gateways.slice(1);
    const b = nodeB(a, a.volume.debts, { paths: left.length, skip: ['p0'] });
    const starting = b.volume.start();
    await b.clock.advance(2_000);
    expect(b.volume.status().state).toBe('holding');
    b.gateway(0).revive();
    expect(await b.clock.run(starting)).toMatchObject({ ok: true });
    await b.wrote(3, 2);
    await b.clock.advance(5_000);
    expect(b.medium.value(3)).toBe(2);
    expect(b.gateway(0).resets).toBeGreaterThan(0);
    expect(b.current).toBe('p1');
    await b.close();
  });

  it('a node that comes back to its own debt fences it once, by its record', async () => {
    const a = await latched();
    const { clock, gateways, medium, store } = a;
    const again = nodeA({ clock, gateways, medium, store, debts: [] });
    const starting = again.volume.start();
    await clock.advance(2_000);
    const before = gateways[0]!.resets;
    gateways[0]!.revive();
    expect(await clock.run(starting)).toMatchObject({ ok: true });
    expect(gateways[0]!.resets - before).toBe(1);
    await again.wrote(3, 2);
    await clock.advance(5_000);
    expect(medium.value(3)).toBe(2);
    await again.close();
    expect(again.volume.debts).toEqual([]);
  });

  it('who only reads fences nothing, and hands the debts on', async () => {
    const a = await latched();
    a.gateway(0).mode = 'dead';
    const b = nodeB(a, a.volume.debts, { readOnly: true });
    await b.start();
    expect(b.volume.unpaid).toEqual(a.volume.debts);
    await b.close();
    expect(b.volume.debts).toEqual(a.volume.debts);
  });

  it('who only read leaves nothing, however it ends', async () => {
    const a = nodeA({ readOnly: true, policy: { 'no-path-timeout': '5s' } });
    await a.start();
    for (const gateway of a.gateways) gateway.mode = 'frozen';
    await a.clock.advance(30_000);
    expect(a.volume.status().state).toBe('failed');
    await a.close();
    expect(a.volume.debts).toEqual([]);
  });

  it('of a volume that several nodes write it is told, and no reset is imposed on the others', async () => {
    const a = await latched();
    const b = nodeB(a, a.volume.debts, { singleNode: false });
    await b.start();
    expect(b.event('debts-left')[0]?.detail).toMatch(/p0 \(10\.0\.0\.0:3260\)/u);
    expect(b.gateways.map(({ resets }) => resets)).toEqual([0, 0]);
    b.gateway(0).revive();
    await b.close();
  });
});

it('a clean hand-over costs nothing', async () => {
  const a = nodeA();
  await a.start();
  await a.wrote(3, 1);
  await a.close();
  expect(a.volume.debts).toEqual([]);
  const b = nodeB(a, []);
  await b.start();
  await b.wrote(3, 2);
  expect(b.gateways.map(({ resets }) => resets)).toEqual([0, 0]);
  await b.close();
  expect(b.volume.debts).toEqual([]);
});

describe.each([
  ['of ports', { owner: 'ports', hasAbort: true }],
  ['of sessions', { owner: 'session', hasAbort: false }],
] as const)('a path kept out by the reservation alone (registrations %s)', (_, is) => {
  /** A fences p0 by preempt, writes on through p1, and detaches cleanly. */
  async function keptOut(paths = 2, before?: (world: VolumeWorld) => Promise<void>) {
    const reservations = Object.assign(new FakeReservations(), is);
    const a = nodeA({ reservations, paths });
    await a.start();
    await a.clock.advance(1_000);
    a.gateway(0).mode = 'frozen';
    const first = a.write(2, 1);
    const old = a.write(3, 1);
    await a.good(first);
    await a.good(old);
    await before?.(a);
    await a.close();
    expect(a.current).toBeUndefined();
    return { a, reservations };
  }

  it('is handed on by each holder until it was logged into: what it brings is refused', async () => {
    const { a, reservations } = await keptOut();
    const left = a.volume.debts;
    expect(left).toMatchObject([{ initiatorName: A, paths: [{ ...writtenTo, keptOut: true }] }]);
    const b = nodeB(a, left);
    await b.start();
    expect(b.volume.unpaid).toMatchObject([{ initiatorName: A, paths: [{ keptOut: true }] }]);
    await b.wrote(3, 2);
    await b.close();
    expect(reservations.holder?.key).toMatch(nodePrefix(B));
    // B's own keys are among what it leaves: who comes next may take them, and the reservation over.
    expect(b.volume.debts.map(({ initiatorName }) => initiatorName).sort()).toEqual([A, B]);

    const c = nodeB(a, b.volume.debts, { initiatorName: 'iqn.2026-01.test:c' });
    await c.start();
    await c.wrote(3, 3);
    expect(c.volume.unpaid).toMatchObject([{ initiatorName: A, paths: [{ keptOut: true }] }]);
    await c.close();
    a.gateway(0).revive();
    await a.clock.advance(5_000);
    expect(a.medium.value(3)).toBe(3);
  });

  it('is paid also where the unit is reserved and it is not configured any more', async () => {
    const { a, reservations } = await keptOut(3);
    const b = nodeB(a, a.volume.debts, { skip: ['p0'] });
    await b.start();
    await b.wrote(3, 2);
    b.gateway(0).revive();
    await b.clock.advance(60_000);
    expect(b.volume.unpaid).toEqual([]);
    await b.close();
    expect([reservations.keys, b.volume.debts]).toEqual([[], []]);
    expect(b.medium.value(3)).toBe(2);
  });

  it('is known by its address also when it was removed', async () => {
    const { a } = await keptOut(3, async (world) => {
      const { paths, policy } = world.volume.wanted;
      const left = paths.filter(({ name }) => name !== 'p0');
      const done = world.volume.reconfigure({ paths: left, policy, pin: '' });
      expect(await world.clock.run(done)).toMatchObject({ ok: true });
    });
    expect(a.volume.debts).toMatchObject([
      { paths: [{ ...writtenTo, name: 'p0, removed', isid: '800000000000', keptOut: true }] },
    ]);
  });

  it('is paid once its portal answers: reinstated, reset, and forgotten', async () => {
    const { a, reservations } = await keptOut();
    const b = nodeB(a, a.volume.debts);
    await b.start();
    await b.wrote(3, 2);
    b.gateway(0).revive();
    await b.clock.advance(60_000);
    expect(b.volume.unpaid).toEqual([]);
    await b.wrote(3, 4);
    await b.close();
    expect([reservations.keys, reservations.holder]).toEqual([[], undefined]);
    expect(b.volume.debts).toEqual([]);
    expect(b.medium.value(3)).toBe(4);
  });

  it('is not paid where addresses have come to float: what answers there need not be its target', async () => {
    const { a } = await keptOut();
    const b = nodeB(a, a.volume.debts);
    await b.start();
    await b.wrote(3, 2);
    const { paths, policy } = b.volume.wanted;
    const floating = { ...policy, portals: 'floating' } as const;
    const edited = b.volume.reconfigure({ paths, policy: floating, pin: '' });
    expect(await b.clock.run(edited)).toMatchObject({ ok: true });
    b.gateway(0).revive();
    await b.clock.advance(60_000);
    expect(b.volume.unpaid).toMatchObject([{ initiatorName: A, paths: [{ keptOut: true }] }]);
    await b.close();
  });

  it('is not believed to be kept out where the reservation is gone, though there is a new one', async () => {
    const { a, reservations } = await keptOut(3);
    reservations.clear();
    const b = nodeB(a, a.volume.debts);
    const refused = await b.clock.run(b.volume.start());
    expect(refused).toMatchObject({ ok: false, error: { kind: 'stuck' } });
    expect(refused.ok ? '' : refused.error.detail).toMatch(/preempt: its key was not seen/u);
    await b.close();
  });

  it('stays kept out when this node is killed and comes back', async () => {
    const { a } = await keptOut();
    const b = nodeB(a, a.volume.debts);
    await b.start();
    b.write(4, 4); // with requests open a close is as good as a crash
    await b.close();
    expect(b.store.disk?.debts).toMatchObject([{ paths: [{ keptOut: true }] }]);
    const again = nodeB(a, [], { store: b.store, debts: b.store.disk?.debts ?? [] });
    await again.start();
    await again.wrote(3, 2);
    await again.close();
    a.gateway(0).revive();
    await a.clock.advance(5_000);
    expect(a.medium.value(3)).toBe(2);
  });
});

describe('a claim that was taken over without a release', () => {
  /** A is gone in the middle of a write that healthy gateways have accepted and not executed yet. */
  async function dead(options: WorldOptions = {}): Promise<VolumeWorld> {
    const a = nodeA(options);
    await a.start();
    await a.clock.advance(1_000);
    for (const gateway of a.gateways) slow(gateway);
    a.write(3, 1);
    await a.clock.advance(10);
    for (const gateway of a.gateways) {
      for (const session of [...gateway.sessions]) session.end({ kind: 'reset', detail: 'died' });
    }
    // Nothing more is heard of it.
    const ended = a.volume.close();
    for (const gateway of a.gateways) gateway.loginReject = 'gone';
    await a.clock.run(ended);
    for (const gateway of a.gateways) gateway.loginReject = undefined;
    return a;
  }

  function slow(gateway: Gateway): void {
    gateway.delayMs = ({ what, session }) =>
      what.op === 'write' && session.initiatorName === A ? 5_000 : 1;
  }

  it.each([
    ['no persistent reservations', {}],
    ['reservation: "off"', { policy: { reservation: 'off' } }],
  ])('ends what is under way at healthy gateways, on every path (%s)', async (_, options) => {
    const a = await dead(options);
    const b = nodeB(a, [claimOf(a)], options);
    await b.start();
    await b.wrote(3, 2);
    await b.clock.advance(10_000);
    expect(b.medium.value(3)).toBe(2);
    expect(b.gateways.every(({ resets }) => resets > 0)).toBe(true);
    expect(b.gateways.every(({ initiatorNames }) => initiatorNames.has(A))).toBe(true);
    await b.close();
  });

  it('also where nobody knows its name: through logins of this node', async () => {
    const a = await dead();
    const b = nodeB(a, [claimOf(a, false)]);
    await b.start();
    await b.wrote(3, 2);
    await b.clock.advance(10_000);
    expect(b.medium.value(3)).toBe(2);
    await b.close();
  });

  it('is settled also where the same node had left one of its paths before', async () => {
    const a = await dead();
    const { sinceUnixMs } = claimOf(a);
    const paths = claimOf(a).paths.slice(0, 1);
    const before = { node: 'a', sinceUnixMs, allPaths: false, initiatorName: A, paths };
    const b = nodeB(a, [before, claimOf(a)]);
    await b.start();
    expect([b.volume.unpaid, b.store.disk?.debts]).toEqual([[], undefined]);
    await b.close();
  });

  it('takes its keys and its reservation, and nobody else', async () => {
    const reservations = new FakeReservations();
    const a = await dead({ reservations });
    expect(reservations.holder?.key).toMatch(nodePrefix(A));
    const b = nodeB(a, [claimOf(a)]);
    await b.start();
    expect(reservations.keys.every((key) => key.startsWith(nodePrefix(B)))).toBe(true);
    expect(reservations.holder?.key).toMatch(nodePrefix(B));
    await b.wrote(3, 2);
    await b.clock.advance(10_000);
    expect(b.medium.value(3)).toBe(2);
    await b.close();
  });

  it('a path whose portal is silent is fenced by preempt: its key was seen and taken', async () => {
    const reservations = new FakeReservations();
    const a = await dead({ reservations });
    a.gateway(0).mode = 'frozen';
    const b = nodeB(a, [claimOf(a)]);
    await b.start();
    await b.wrote(3, 2);
    expect(b.volume.unpaid).toMatchObject([
      { allPaths: false, paths: [{ name: 'p0', keptOut: true }] },
    ]);
    await b.close();
    b.gateway(0).revive();
    await b.clock.advance(20_000);
    expect(b.medium.value(3)).toBe(2);
  });
});

describe('a unit that a node has reserved from which this one was not given the volume', () => {
  it.each([
    ['another claim was taken', [{ node: 'c', initiatorName: 'iqn.2026-01.test:c' }]],
    ['the claim was free', []],
  ])('is left to it, though %s', async (_, holders) => {
    const reservations = new FakeReservations();
    const a = nodeA({ reservations });
    await a.start();
    await a.clock.advance(1_000);
    const paths: Debt['paths'] = [];
    const debts = holders.map((one) => ({ ...one, sinceUnixMs: 0, allPaths: false, paths }));
    const b = nodeB(a, debts, { mayTakeOver: true });
    const refused = await b.clock.run(b.volume.start());
    expect(refused).toMatchObject({ ok: false, error: { kind: 'no-path' } });
    expect(refused.ok ? '' : refused.error.detail).toMatch(
      /reserved by another node \(key .*was not given the volume.*remove its reservation/u,
    );
    await b.close();
    await a.wrote(3, 1);
    expect(reservations.keys.every((key) => key.startsWith(nodePrefix(A)))).toBe(true);
    expect(a.volume.status().state).toBe('serving');
    expect(a.gateways.map(({ resets }) => resets)).toEqual([0, 0]);
    await a.close();
  });
});
