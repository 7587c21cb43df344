/** Commands of a fence take what they take on a slow target; a silent one is left as fast as ever. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Policy } from '../../../../src/paths/policy.ts';
import { limitsOf } from '../../../../src/volume/fence/fence.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import type { Task } from '../../../support/model/fake-session.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

/** A write is unanswered on p0, whose connection is then lost. */
async function abandoned(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld({ profiles: [{ writeCache: true, dpofua: false }, {}], ...options });
  await world.start();
  await world.clock.advance(2_000);
  world.gateway(0).delayMs = ({ what }: Task) => (what.op === 'write' ? 1e9 : 1);
  world.write(1, 11);
  await world.clock.advance(10);
  return world;
}

function cut(w: VolumeWorld): void {
  for (const session of [...w.gateway(0).sessions]) {
    session.end({ kind: 'reset', detail: 'connection reset' });
  }
}

const fence = (w: VolumeWorld) => w.event('switched').at(-1)?.report.fence;

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('the fence of a slow target', () => {
  it('waits for a SYNCHRONIZE CACHE that takes as long as a flush may', async () => {
    const w = await abandoned();
    w.gateway(0).delayMs = ({ what }) => (what.op === 'sync' ? 20_000 : 1);
    cut(w);
    await w.on('p1', 25_000);
    expect([fence(w), w.event('stuck')]).toEqual(['reset', []]);
  });

  it('waits for a LOGICAL UNIT RESET as long as reset-timeout says', async () => {
    const w = await abandoned();
    w.gateway(0).resetDelayMs = 4_500;
    cut(w);
    await w.on('p1', 6_000);
    expect([fence(w), w.event('stuck')]).toEqual(['reset', []]);
  });

  it('does so for the rung preempt as well', async () => {
    const reservations = new FakeReservations();
    const w = await abandoned({ reservations, singleNode: true });
    w.gateway(0).mode = 'dark';
    w.gateway(1).delayMs = ({ what }) => (what.op === 'sync' ? 20_000 : 1);
    w.gateway(1).profile = { ...w.gateway(1).profile, writeCache: true };
    w.gateway(1).resetDelayMs = 4_500;
    await w.on('p1', 40_000);
    expect([fence(w), w.event('stuck')]).toEqual(['preempt', []]);
  });

  it('leaves a portal that falls silent after the login within two seconds', async () => {
    const w = await abandoned({ policy: { fencing: 'delay=1s' } });
    w.gateway(0).resetDelayMs = 4_500;
    cut(w);
    // The login gets through; then there is nothing any more.
    await w.clock.until(() => w.gateway(0).sessions.size > 0);
    w.gateway(0).mode = 'frozen';
    const since = w.clock.now();
    await w.on('p1', 5_000);
    expect(fence(w)).toBe('delay');
    expect(w.clock.now() - since).toBeLessThan(2_000);
  });

  it('a restart waits for the flush of the path that it arrives at, however slow', async () => {
    const cached = { writeCache: true, dpofua: false };
    world = new VolumeWorld({ profiles: [cached, cached], record: { mayHoldWrites: ['p0'] } });
    for (const gateway of world.gateways) {
      gateway.delayMs = ({ what }) => (what.op === 'sync' ? 3_000 : 1);
    }
    await world.start();
    expect([world.event('stuck'), world.event('note')]).toEqual([[], []]);
  });
});

/**
 * A frozen portal, and a LOGICAL UNIT RESET through the other path that is never answered: the delay is not
 * over at the end of the first climb, and over in the second.
 */
function twoClimbsMs(policy: Policy): number {
  const { fencing, ioDeadlineMs, resetTimeoutMs, flushDeadlineMs } = policy;
  const terms = { ...fencing, floating: false, resetTimeoutMs, flushDeadlineMs };
  const { stepMs, resetMs } = limitsOf(terms);
  // Two looks, a tenth of io-deadline apart, until the path is pinged; then all of it in silence.
  const noticedMs = ioDeadlineMs + 2 * (ioDeadlineMs / 10);
  const pauseMs = 250;
  const answersMs = 50;
  return noticedMs + 2 * (stepMs + resetMs) + pauseMs + answersMs;
}

describe('the fence through another path of a target', () => {
  it('that never answers a LOGICAL UNIT RESET: each step is given up after its time', async () => {
    const reservations = new FakeReservations();
    const policy = { fencing: 'delay=8s' };
    world = new VolumeWorld({ singleNode: true, reservations, policy });
    await world.start();
    await world.clock.advance(1_000);
    world.gateway(0).mode = 'frozen';
    for (const session of world.gateway(1).sessions) {
      session.resetLogicalUnit = (timeoutMs) =>
        new Promise((resolve) => {
          const error = { kind: 'timeout', detail: 'no answer to LOGICAL UNIT RESET' } as const;
          world.clock.after(timeoutMs, () => resolve({ ok: false, error }));
        });
    }
    const from = world.clock.now();
    await world.good(world.write(3, 1));
    expect(world.volume.status().lastSwitch?.fence).toBe('delay');
    expect(world.clock.now() - from).toBeLessThan(twoClimbsMs(world.volume.wanted.policy));
    world.gateway(0).revive();
    await world.clock.advance(10_000);
    await world.close();
  });
});
