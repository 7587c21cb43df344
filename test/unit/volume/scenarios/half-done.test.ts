/**
 * Steps of a fence, of a take-over and of leaving a path that look done and are not: each one's end is
 * waited for, and its failure counts.
 */
import { describe, expect, it } from 'vitest';
import { nodePrefix, pathPrefix } from '../../../../src/volume/reserve/reservation-key.ts';
import { check } from '../../../support/model/fake-lu.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import type { FakeSession } from '../../../support/model/fake-session.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

const OURS = nodePrefix('iqn.2026-01.test:n');
const OTHER = 'iqn.2026-01.test:other';
const FOREIGN = `${pathPrefix(OTHER, '800000000000')}01`;
/** A node that has left nothing but its keys. */
const DEBTS = [{ node: 'a', sinceUnixMs: 0, allPaths: false, initiatorName: OTHER, paths: [] }];
const stranger = {
  ...{ isid: 'another node', initiatorName: OTHER, attentions: [] },
  gateway: { tasks: new Set(), mode: 'up' },
} as unknown as FakeSession;

function build(options: WorldOptions = {}) {
  const reservations = new FakeReservations();
  const world = new VolumeWorld({ singleNode: true, reservations, ...options });
  return { world, reservations };
}

async function serving(options: WorldOptions = {}) {
  const built = build(options);
  await built.world.start();
  await built.world.clock.advance(1_000);
  return built;
}

describe('a socket that closes late', () => {
  it('holds the payload of what is replayed: nothing is sent again, or answered, before it is closed', async () => {
    const { world } = await serving({ policy: { fencing: 'none' } });
    const p0 = world.gateway(0);
    p0.closeDelayMs = 5_000;
    p0.mode = 'frozen';
    const write = world.write(1, 7);
    await world.clock.until(() => p0.closing.size > 0);
    const from = world.clock.now();
    await world.good(write);
    expect(world.clock.now() - from).toBeGreaterThanOrEqual(4_900);
    expect([world.current, world.medium.value(1), world.violations]).toEqual(['p1', 7, []]);
    p0.closeDelayMs = 0;
    await world.close();
  });

  it('holds up the end of a volume that fails: its payloads are not the caller’s before', async () => {
    const { world } = await serving();
    const p0 = world.gateway(0);
    p0.closeDelayMs = 2_000;
    p0.mode = 'frozen';
    const write = world.write(1, 7);
    await world.clock.advance(10);
    const disowned = world.volume.disown('node-b has it');
    await world.clock.advance(1_000);
    expect(write.answers).toBe(0);
    await world.clock.run(disowned);
    expect([write.error, world.violations]).toEqual(['EIO', []]);
    p0.closeDelayMs = 0;
    await world.close();
  });
});

describe('a fence by preempt that is half done', () => {
  it('is none where the cache of the unit could not be emptied', async () => {
    const { world } = await serving();
    world.gateway(0).mode = 'frozen';
    world.gateway(1).inject('sync', check(3, 0x0c, 0), 1_000);
    const held = world.write(3, 1);
    await world.clock.advance(20_000);
    expect([held.answers, world.current]).toEqual([0, undefined]);
    expect(world.volume.status().reason).toMatch(/preempt: .*SYNCHRONIZE CACHE/);
    world.gateway(1).injections.length = 0;
    await world.good(held);
    expect(world.volume.status().lastSwitch?.fence).toBe('preempt');
    await world.close();
  });

  it('keeps the reservation beyond the end: the key is gone, and nothing else refuses what comes', async () => {
    const { world, reservations } = await serving({ policy: { fencing: 'delay=8s' } });
    world.gateway(0).mode = 'frozen';
    world.gateway(1).resetWorks = false;
    await world.good(world.write(3, 1));
    expect(world.volume.status().lastSwitch?.fence).toBe('delay');
    await world.wrote(3, 2);
    await world.close();
    expect(reservations.holder?.key).toMatch(OURS);
    expect(world.store.disk).toMatchObject({ keysLeft: true, mayHoldWrites: [] });
    world.gateway(0).revive();
    await world.clock.advance(5_000);
    expect(world.medium.value(3)).toBe(2);
  });
});

it('a take-over whose LOGICAL UNIT RESET fails is none: what the former holder has begun may follow', async () => {
  const { world, reservations } = build({ mayTakeOver: true, debts: DEBTS });
  reservations.takenBy(FOREIGN, stranger);
  for (const gateway of world.gateways) gateway.resetWorks = false;
  const started = await world.clock.run(world.volume.start());
  expect(started.ok ? '' : started.error.detail).toMatch(/taking over: LOGICAL UNIT RESET/);
  expect(world.executed).toEqual([]);
  await world.close();
});

it('a key of ours that is gone where another node has registered is its doing, though it has reserved nothing', async () => {
  const { world, reservations } = await serving();
  reservations.takenBy(FOREIGN, stranger);
  reservations.holder = undefined;
  [...world.gateway(0).sessions][0]!.attentions.push({ key: 6, asc: 0x2a, ascq: 5 });
  await world.clock.advance(5_000);
  const { state, reason } = world.volume.status();
  expect([state, reason]).toEqual(['failed', expect.stringMatching(/another node took/)]);
  expect(reservations.keys).toEqual([FOREIGN]);
  await world.close();
});
