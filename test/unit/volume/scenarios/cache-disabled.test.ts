/**
 * A write cache that is switched off at the target while there are writes in the log (unit attention 2A/01):
 * what is written since is stable, and what is older must not be replayed over it.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { check } from '../../../support/model/fake-lu.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

const PARAMETERS_CHANGED = { key: 6, asc: 0x2a, ascq: 1 };

let world: VolumeWorld;

/** Both gateways share one cache, and block 1 has 111, which is in the log. */
async function logged(policy: Readonly<Record<string, string>> = {}): Promise<VolumeWorld> {
  const cached = { writeCache: true };
  world = new VolumeWorld({
    policy: { 'write-policy': 'log', fencing: 'gone', ...policy },
    profiles: [cached, cached],
  });
  const cache = new Map<number, Buffer>();
  for (const gateway of world.gateways) gateway.cache = cache;
  await world.start();
  await world.clock.advance(2_000);
  await world.wrote(1, 111);
  expect(world.volume.status().unflushed.count).toBe(1);
  return world;
}

function switchOff(w: VolumeWorld, flushAnswered = true): void {
  for (const gateway of w.gateways) {
    gateway.profile = { ...gateway.profile, writeCache: false };
    gateway.attention(PARAMETERS_CHANGED);
    if (!flushAnswered) gateway.delayMs = ({ what }) => (what.op === 'sync' ? 60_000 : 1);
  }
}

afterEach(async () => {
  expect(world.violations).toEqual([]);
  await world.close();
});

describe('with the cache off', () => {
  it('what was written before is flushed, and nothing is kept any more', async () => {
    const w = await logged();
    switchOff(w);
    await w.wrote(2, 222);
    await w.clock.advance(1_000);
    expect(w.volume.status().unflushed.count).toBe(0);
    expect(w.medium.value(1)).toBe(111);
    await w.wrote(3, 333);
    expect(w.volume.status().unflushed.count).toBe(0);
  });

  it('an older write is not replayed over a newer one, though no flush is answered', async () => {
    const w = await logged();
    switchOff(w, false);
    await w.wrote(2, 5); // hears the news
    await w.wrote(1, 222);
    w.gateway(0).kill();
    await w.on('p1');
    await w.clock.advance(1_000);
    expect(await w.value(1)).toBe(222);
    expect(w.medium.value(1)).toBe(222);
  });

  it('nor over a newer one that came before a change of the policy to `through`', async () => {
    const w = await logged();
    switchOff(w, false);
    await w.wrote(2, 5);
    const { paths, policy } = w.volume.wanted;
    await w.clock.run(
      w.volume.reconfigure({ paths, policy: { ...policy, writePolicy: 'through' }, pin: '' }),
    );
    await w.wrote(1, 222);
    w.gateway(0).kill();
    await w.on('p1');
    await w.clock.advance(1_000);
    expect(await w.value(1)).toBe(222);
  });

  it('nor over one with FUA, or over zeros', async () => {
    const w = await logged();
    await w.wrote(4, 111);
    switchOff(w, false);
    await w.wrote(2, 5);
    await w.good(w.submit('write', 1, 1, 222, true));
    await w.good(w.submit('write-zeroes', 4, 1));
    w.gateway(0).kill();
    await w.on('p1');
    await w.clock.advance(1_000);
    expect([await w.value(1), await w.value(4)]).toEqual([222, 0]);
  });

  it('a close flushes what was written before it was', async () => {
    const w = await logged();
    for (const gateway of w.gateways) {
      gateway.delayMs = ({ what }) => (what.op === 'sync' ? 500 : 1);
    }
    switchOff(w);
    await w.wrote(2, 5);
    await w.close();
    expect(w.medium.value(1)).toBe(111);
    expect(w.store.disk?.mayHoldWrites).toEqual([]);
  });
});

describe('a write that failed while the cache was on', () => {
  it('is flushed before a planned switch all the same: a part of it may be in there', async () => {
    const cached = { writeCache: true };
    world = new VolumeWorld({ profiles: [cached, cached] });
    await world.start();
    await world.clock.advance(2_000);
    world.gateway(0).inject('write', check(3, 0x0c, 0));
    const failed = world.write(1, 1);
    await world.clock.run(failed.done);
    expect(failed.error).toBe('EIO');
    switchOff(world);
    await world.wrote(2, 2);
    const before = world.accepted.length;
    world.volume.pin('p1');
    await world.on('p1');
    const flushed = world.accepted.slice(before).filter(({ what }) => what.op === 'sync');
    expect(flushed.map(({ session }) => session.gateway.name)).toEqual(['p0']);
  });
});
