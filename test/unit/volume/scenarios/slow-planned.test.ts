/** Planned switches and ends on slow storage: given up cleanly, tried seldom, nothing is called unclean. */
import { afterEach, describe, expect, it } from 'vitest';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld({ paths: 3, ...options });
  await world.start();
  await world.clock.advance(3_000);
  return world;
}

const slow = (ms: number, ...ops: readonly string[]): void => {
  for (const gateway of world.gateways) {
    gateway.delayMs = ({ what }) => (ops.includes(what.op) ? ms : 1);
  }
};

/** Writes for so long, four at a time; the longest time that one took. */
async function load(w: VolumeWorld, forMs: number): Promise<number> {
  const until = w.clock.now() + forMs;
  let worst = 0;
  for (let n = 0; w.clock.now() < until; n += 4) {
    const from = w.clock.now();
    const four = [0, 1, 2, 3].map((k) => w.write(4 * k + (n % 4), n + k));
    for (const io of four) await w.good(io);
    worst = Math.max(worst, w.clock.now() - from);
  }
  return worst;
}

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('a planned switch on slow storage', () => {
  it('that cannot be drained in time is given up, and tried at growing pauses until it fits', async () => {
    const w = await started();
    slow(5_000, 'write');
    w.volume.drain('p0', true);
    // Held for drain-timeout at most, now and then.
    expect(await load(w, 300_000)).toBeLessThan(5_000 + 2_000 + 100);
    const givenUp = w.event('switch-abandoned').length;
    expect(givenUp).toBeGreaterThan(0);
    expect(givenUp).toBeLessThan(7);
    expect(w.volume.status().failovers).toBe(0);
    slow(1);
    await w.clock.advance(700_000);
    expect(w.current).toBe('p1');
  });

  it('goes where the new path takes 1.5 s to show who it is', async () => {
    const w = await started();
    slow(1_500, 'inquiry', 'tur', 'other');
    expect(w.volume.pin('p2')).toBe(true);
    await w.on('p2', 60_000);
    expect(w.volume.status().failovers).toBe(0);
  });
});

describe('the end of a volume on slow storage', () => {
  it.each([5_000, 25_000])('a flush of %i ms is waited for: it is clean', async (ms) => {
    const w = await started({ profiles: [1, 2, 3].map(() => ({ writeCache: true })) });
    await w.wrote(1, 11);
    slow(ms, 'sync');
    await w.close();
    expect(w.store.disk?.mayHoldWrites).toEqual([]);
  });

  it('a path that has fallen silent is not waited for so long', async () => {
    const w = await started({ profiles: [1, 2, 3].map(() => ({ writeCache: true })) });
    await w.wrote(1, 11);
    for (const gateway of w.gateways) gateway.mode = 'frozen';
    const from = w.clock.now();
    await w.close();
    expect(w.clock.now() - from).toBeLessThan(6_000);
    expect(w.store.disk?.mayHoldWrites).toEqual(['p0']);
  });
});
