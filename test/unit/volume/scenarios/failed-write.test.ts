/** A write that was answered with an error, on a gateway with a volatile cache of its own. */
import { afterEach, describe, expect, it } from 'vitest';
import { check } from '../../../support/model/fake-lu.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

const MEDIUM_ERROR = check(3, 0x0c, 0);

let world: VolumeWorld;

/** What p0 has taken of a write stays in its cache, for the flush behind it has failed. */
async function failed(): Promise<VolumeWorld> {
  world = new VolumeWorld({ profiles: [{ writeCache: true, dpofua: false }, {}] });
  await world.start();
  await world.clock.advance(1_000);
  world.gateway(0).cache = new Map();
  world.gateway(0).inject('sync', MEDIUM_ERROR);
  const io = world.write(1, 11);
  await world.clock.advance(100);
  expect([io.error, world.gateway(0).cache?.size]).toEqual(['EIO', 1]);
  return world;
}

const unfenced = (w: VolumeWorld) => w.volume.status().reason.includes('on p0 are not fenced');

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('its path is lost afterwards', () => {
  it('nothing is written elsewhere before the cache was emptied: it would be destaged over newer data', async () => {
    const w = await failed();
    w.gateway(0).mode = 'dark';
    await w.clock.advance(10_000);
    const io = w.write(1, 22);
    await w.clock.advance(10_000);
    expect([io.answers, unfenced(w)]).toEqual([0, true]);
    w.gateway(0).revive();
    await w.good(io);
    w.gateway(0).destage();
    expect(w.medium.value(1)).toBe(22);
  });

  it('nothing is to be fenced once a flush has succeeded', async () => {
    const w = await failed();
    await w.good(w.submit('flush', 0, 0));
    w.gateway(0).mode = 'dark';
    await w.on('p1');
    expect(w.event('switched').at(-1)?.report.fence).toBe('not-needed');
  });

  it('the next path owes nothing for it: the fence has settled that', async () => {
    const w = await failed();
    for (const session of [...w.gateway(0).sessions])
      session.end({ kind: 'reset', detail: 'gone' });
    await w.on('p1');
    expect(w.event('switched').at(-1)?.report.fence).toBe('reset');
    await w.clock.advance(5_000);
    for (const session of [...w.gateway(1).sessions])
      session.end({ kind: 'reset', detail: 'gone' });
    await w.on('p0');
    expect(w.event('switched').at(-1)?.report.fence).toBe('not-needed');
  });

  it('a flush that was under way when it failed has not covered it', async () => {
    const w = await failed();
    await w.good(w.submit('flush', 0, 0));
    w.gateway(0).delayMs = ({ what }) => (what.op === 'sync' ? 200 : 1);
    const flush = w.submit('flush', 0, 0);
    await w.clock.advance(50);
    w.gateway(0).inject('write', MEDIUM_ERROR);
    const io = w.write(2, 22);
    await w.good(flush);
    expect(io.error).toBe('EIO');
    w.gateway(0).mode = 'dark';
    await w.clock.until(() => unfenced(w));
  });
});
