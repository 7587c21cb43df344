/**
 * A path that is kept out by the reservation alone, and is removed or given another address: whatever logs
 * in under its name, what was written to the old address is refused until that address was reset.
 */
import { describe, expect, it } from 'vitest';
import { carriedDebts } from '../../../../src/volume/debt/debt-addresses.ts';
import { PAY_REMOVED_MS } from '../../../../src/volume/kept-out.ts';
import { emptyRecord } from '../../../../src/volume/record/record.ts';
import { profile } from '../../../support/model/fake-lu.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import { Gateway } from '../../../support/model/fake-session.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

const NODE = 'iqn.2026-01.test:n';
const OLD = { host: '10.0.0.0', port: 3260, targetName: 'iqn.t', lun: 1, isid: '800000000000' };

describe.each([
  ['of ports', { owner: 'ports', hasAbort: true }],
  ['of sessions', { owner: 'session', hasAbort: false }],
] as const)('registrations %s', (_, is) => {
  it('moved while the volume was not attached, it stays kept out', async () => {
    const reservations = Object.assign(new FakeReservations(), is);
    const first = new VolumeWorld({ singleNode: true, reservations });
    const { clock, medium, store } = first;
    const [old, p1] = [first.gateway(0), first.gateway(1)];
    await first.start();
    await clock.advance(1_000);
    old.mode = 'frozen';
    // The first one that it executes is answered with a unit attention of the reset.
    const unanswered = [first.write(2, 1), first.write(3, 1)];
    for (const write of unanswered) await first.good(write);
    await first.close();
    const told = first.volume.debts;
    expect(store.disk?.keptOut).toEqual(['p0']);

    const made = (name: string): Gateway =>
      new Gateway(name, medium, profile(), { clock, watch: { ...old.watch } });
    const gateways = [made('x'), p1, made('p0')];
    const weights = [10, 50, 100];
    const moved = { clock, gateways, medium, store, reservations, weights, skip: ['x'] };
    for (const value of [2, 3]) {
      const next = new VolumeWorld({ singleNode: true, ...moved });
      // Addresses are fixed: the old one leads to the gateway that is frozen.
      next.initiator.gateways.set('10.0.0.0:3260', old);
      await next.start();
      await clock.advance(60_000);
      expect(next.current).toBe('p0');
      await next.wrote(3, value);
      await next.close();
      expect(next.volume.debts[0]?.paths).toEqual([{ name: 'p0, removed', ...OLD, keptOut: true }]);
    }
    // What the volume's annotation may still say under the old name is no second debt.
    const carried = { record: store.disk, told, historyKnown: true, initiatorName: NODE };
    expect(carriedDebts(carried)).toEqual([]);
    old.revive();
    await clock.advance(5_000);
    expect(medium.value(3)).toBe(3);
  });
});

it('two addresses that were kept out and removed under one name are two', async () => {
  const removed = { 'p0, removed': { ...OLD, host: '10.0.0.9' } };
  const record = {
    ...emptyRecord('v'),
    ...{ keptOut: ['p0, removed'], keysLeft: true as const, nexuses: removed },
  };
  const reservations = new FakeReservations();
  const world = new VolumeWorld({ singleNode: true, reservations, record });
  await world.start();
  await world.clock.advance(1_000);
  world.gateway(0).mode = 'frozen';
  await world.good(world.write(3, 1));
  const { paths, policy } = world.volume.wanted;
  const left = paths.filter(({ name }) => name !== 'p0');
  const done = world.volume.reconfigure({ paths: left, policy, pin: '' });
  expect(await world.clock.run(done)).toMatchObject({ ok: true });
  await world.close();
  const out = world.volume.debts.flatMap((debt) =>
    debt.paths.map(({ name, host }) => [name, host]),
  );
  expect(out).toEqual([
    ['p0, removed', '10.0.0.9'],
    ['p0, removed 2', '10.0.0.0'],
  ]);
});

describe('a path that is kept out and removed is paid by its own node', () => {
  interface Left {
    readonly world: VolumeWorld;
    readonly reservations: FakeReservations;
    /** The block that it may still write. */
    readonly late: number;
  }

  /** p0 freezes with a write in its socket, is fenced by `preempt`, and its annotation is removed. */
  async function removed(before?: (world: VolumeWorld) => void): Promise<Left> {
    const reservations = new FakeReservations();
    const world = new VolumeWorld({ singleNode: true, reservations, paths: 3 });
    before?.(world);
    await world.start();
    await world.clock.advance(1_000);
    world.gateways.find(({ name }) => name === world.current)!.mode = 'frozen';
    const frozen = world.current;
    for (const write of [world.write(2, 1), world.write(3, 1)]) await world.good(write);
    const { paths, policy } = world.volume.wanted;
    const left = paths.filter(({ name }) => name !== frozen);
    const done = world.volume.reconfigure({ paths: left, policy, pin: '' });
    expect(await world.clock.run(done)).toMatchObject({ ok: true });
    await world.wrote(3, 2);
    return { world, reservations, late: 3 };
  }

  /** The next process of this node, without p0. */
  function next({ world, reservations }: Left): VolumeWorld {
    const { clock, gateways, medium, store } = world;
    const same = { clock, gateways, medium, store, reservations };
    return new VolumeWorld({ singleNode: true, ...same, skip: ['p0'] });
  }

  it('at the detach, once its portal answers: clean, and nothing of it comes any more', async () => {
    const left = await removed();
    const { world, reservations, late } = left;
    world.gateway(0).leavesUnread = true;
    world.gateway(0).delayMs = ({ what }) => (what.op === 'write' ? 5_000 : 1);
    world.gateway(0).revive();
    await world.close();
    expect(world.volume.debts).toEqual([]);
    expect([reservations.keys, reservations.holder, world.store.disk?.keptOut]).toEqual([
      ...[[], undefined, undefined],
    ]);
    await world.clock.advance(20_000);
    expect(world.medium.value(late)).toBe(2);
    expect(world.violations).toEqual([]);
  });

  it('at the next attach, before this node logs in itself', async () => {
    const left = await removed();
    await left.world.close();
    expect(left.world.volume.debts).toMatchObject([{ paths: [{ keptOut: true }] }]);
    left.world.gateway(0).revive();
    const again = next(left);
    await again.start();
    expect(again.store.disk?.keptOut).toBeUndefined();
    expect(again.volume.unpaid).toEqual([]);
    await again.wrote(3, 4);
    await again.close();
    expect([again.volume.debts, left.reservations.keys]).toEqual([[], []]);
    expect(again.medium.value(3)).toBe(4);
  });

  it('not while it is silent: it costs seconds, stays kept out, and is handed on', async () => {
    const left = await removed();
    const { clock } = left.world;
    let from = clock.now();
    await left.world.close();
    expect(clock.now() - from).toBeLessThan(PAY_REMOVED_MS + 2_000);
    from = clock.now();
    const again = next(left);
    await again.start();
    expect(clock.now() - from).toBeLessThan(PAY_REMOVED_MS + 1_000);
    await again.close();
    expect(again.volume.debts).toMatchObject([
      { paths: [{ name: 'p0, removed', host: '10.0.0.0', keptOut: true }] },
    ]);
    expect(left.reservations.holder).toBeDefined();
    again.gateway(0).revive();
    await clock.advance(5_000);
    expect(again.medium.value(3)).toBe(2);
  });

  it('where a redirect had led, and not where it was configured', async () => {
    const left = await removed((world) => {
      // p0 is sent to the gateway of another address, which is no path of its own.
      world.initiator.gateways.set('10.0.0.7:3260', world.gateway(0));
      const elsewhere = new Gateway('x', world.medium, profile(), {
        clock: world.clock,
        watch: {},
      });
      world.initiator.gateways.set('10.0.0.0:3260', elsewhere);
      world.initiator.redirects.set('10.0.0.0:3260', { host: '10.0.0.7', port: 3260 });
    });
    const { world } = left;
    world.initiator.redirects.clear();
    await world.close();
    expect(world.volume.debts).toMatchObject([{ paths: [{ host: '10.0.0.7', keptOut: true }] }]);
    expect(left.reservations.holder).toBeDefined();
  });

  it('not at the detach of one that has its name, target and ISID: a login would end its session', async () => {
    const left = await removed();
    const { world } = left;
    world.gateway(0).revive();
    const { paths, policy } = world.volume.wanted;
    const moved = { ...world.volume.options.paths[0]!, maxWeight: 1 };
    const target = { ...moved.target, host: '10.0.0.5' };
    const wanted = { paths: [...paths, { ...moved, target }], policy, pin: '' };
    expect(await world.clock.run(world.volume.reconfigure(wanted))).toMatchObject({ ok: true });
    const { logins } = world.gateway(0);
    await world.close();
    expect(world.gateway(0).logins).toBe(logins);
    expect(world.volume.debts).toMatchObject([{ paths: [{ name: 'p0, removed' }] }]);
    // The next attach begins with it.
    const again = next(left);
    await again.start();
    expect(again.volume.unpaid).toEqual([]);
    await again.close();
    expect(again.volume.debts).toEqual([]);
  });

  it('nothing is reset by who only reads', async () => {
    const left = await removed();
    await left.world.close();
    left.world.gateway(0).revive();
    const { clock, gateways, medium, store } = left.world;
    const before = gateways.map(({ resets }) => resets);
    const same = { clock, gateways, medium, store, skip: ['p0'] };
    const reader = new VolumeWorld({ singleNode: true, readOnly: true, ...same });
    await reader.start();
    await reader.close();
    expect(gateways.map(({ resets }) => resets)).toEqual(before);
    expect(reader.volume.debts).toMatchObject([{ paths: [{ keptOut: true }] }]);
  });
});
