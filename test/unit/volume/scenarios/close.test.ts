/**
 * Closing a volume in the middle of something of its own: what nobody waits for any more is ended first, so
 * that everything answered is flushed and the record says that no path holds anything.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

afterEach(() => {
  expect(world.violations).toEqual([]);
  expect(world.clock.timers).toBe(0);
});

async function closedAfter(ms: number, policy: Readonly<Record<string, string>> = {}) {
  const cached = { writeCache: true };
  // Registered: giving the keys back takes time, in which a planned switch could still arrive.
  const reservations = new FakeReservations();
  world = new VolumeWorld({ policy, profiles: [cached, cached], reservations, singleNode: true });
  const { clock, volume, store } = world;
  // One that all share where that is declared.
  const cache = new Map();
  const own = policy['write-policy'] !== 'log';
  for (const gateway of world.gateways) gateway.cache = own ? new Map() : cache;
  await world.start();
  await clock.advance(2_000);
  await world.wrote(1, 11);
  volume.pin('p1');
  await clock.advance(ms);
  await world.close();
  return { disk: store.disk, value: world.medium.value(1) };
}

describe('a close', () => {
  it.each(Array.from({ length: 13 }, (_, ms) => ms))(
    '%i ms after a planned switch began leaves a clean record, and everything flushed',
    async (ms) => {
      const { disk, value } = await closedAfter(ms);
      expect(disk).toMatchObject({ mayHoldWrites: [], heldAt: {} });
      expect(value).toBe(11);
    },
  );

  it.each([0, 1, 2, 3, 4])(
    'under write policy log, %i ms after it began, waits for the flush of its own',
    async (ms) => {
      const { disk, value } = await closedAfter(ms, { 'write-policy': 'log' });
      expect(disk).toMatchObject({ mayHoldWrites: [], heldAt: {} });
      expect(value).toBe(11);
    },
  );

  it('waits for what is under way no longer than a drain may take, and the record stays', async () => {
    world = new VolumeWorld();
    await world.start();
    await world.clock.advance(2_000);
    world.gateway(0).mode = 'frozen';
    const io = world.write(1, 11);
    const before = world.clock.now();
    await world.clock.run(world.volume.close());
    expect(world.clock.now() - before).toBeLessThan(4_000);
    expect(io.error).toBe('EIO');
    expect(world.store.disk?.mayHoldWrites).toEqual(['p0']);
    await world.clock.advance(1_100);
  });
});
