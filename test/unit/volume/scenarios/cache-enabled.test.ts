/** A write cache that is enabled at the target while the volume serves (unit attention 2A/01). */
import { afterEach, describe, expect, it } from 'vitest';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

const PARAMETERS_CHANGED = { key: 6, asc: 0x2a, ascq: 1 };

let world: VolumeWorld;

/** p0 gets a volatile cache of its own between the first write and the second. */
async function cached(dpofua: boolean): Promise<VolumeWorld> {
  world = new VolumeWorld({ policy: { fencing: 'gone' }, profiles: [{ dpofua }] });
  await world.start();
  await world.clock.advance(1_000);
  await world.wrote(1, 11);
  const p0 = world.gateway(0);
  p0.profile = { ...p0.profile, writeCache: true };
  p0.cache = new Map();
  return world;
}

afterEach(async () => {
  expect(world.violations).toEqual([]);
  await world.close();
});

describe.each([
  ['with FUA', true],
  ['without FUA', false],
])('a unit %s', (_name, dpofua) => {
  it('nothing that was answered since is in the cache alone', async () => {
    const w = await cached(dpofua);
    w.gateway(0).attention(PARAMETERS_CHANGED);
    for (const [lba, value] of [
      [2, 22],
      [3, 33],
    ] as const) {
      await w.wrote(lba, value);
      expect(w.medium.value(lba)).toBe(value);
    }
    expect(w.current).toBe('p0');
    expect(w.event('note').filter(({ note }) => note === 'path-down')).toEqual([]);
  });

  it('what was answered before the news was heard is flushed when it is', async () => {
    const w = await cached(dpofua);
    await w.wrote(2, 22);
    expect(w.medium.value(2)).toBe(0);
    w.gateway(0).attention(PARAMETERS_CHANGED);
    await w.clock.advance(2_000);
    expect(w.medium.value(2)).toBe(22);
    w.gateway(0).kill();
    expect(await w.value(2)).toBe(22);
  });

  it('a write that is under way when the news comes is answered after a flush', async () => {
    const w = await cached(dpofua);
    w.gateway(0).answerDelayMs = ({ what }) => (what.lba === 4 && what.op === 'write' ? 50 : 0);
    const slow = w.write(4, 44);
    await w.clock.advance(10);
    w.gateway(0).attention(PARAMETERS_CHANGED);
    await w.wrote(5, 55);
    expect(slow.answers).toBe(0);
    // By this the flush is seen.
    w.gateway(0).cache?.set(99, Buffer.alloc(512, 9));
    await w.good(slow);
    expect(w.gateway(0).cache?.size).toBe(0);
  });
});
