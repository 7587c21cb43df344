/**
 * A path that is kept out by the reservation alone, and is removed or given another address: whatever logs
 * in under its name, what was written to the old address is refused until that address was reset.
 */
import { describe, expect, it } from 'vitest';
import { carriedDebts } from '../../../src/volume/debt-addresses.ts';
import { emptyRecord } from '../../../src/volume/record.ts';
import { profile } from '../../support/fake-lu.ts';
import { FakeReservations } from '../../support/fake-reservations.ts';
import { Gateway } from '../../support/fake-session.ts';
import { VolumeWorld } from '../../support/volume-world.ts';

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
