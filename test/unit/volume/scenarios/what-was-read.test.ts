/**
 * What was read once stays, though the process is killed and a cache loses its power: nobody could replay
 * then what had not been answered.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { Gateway } from '../../../support/model/fake-session.ts';
import {
  MemoryStore,
  VolumeWorld,
  type WorldOptions,
} from '../../../support/model/volume-world.ts';

let worlds: VolumeWorld[] = [];

afterEach(async () => {
  const all = worlds;
  worlds = [];
  for (const world of all) await world.close();
  for (const world of all) expect(world.violations).toEqual([]);
});

/** Gateways with volatile write caches, of their own or one for all. */
async function started(
  dpofua: boolean,
  caches: 'private' | 'shared',
  options: WorldOptions = {},
): Promise<VolumeWorld> {
  const is = { writeCache: true, dpofua };
  const w = new VolumeWorld({ profiles: [is, is], ...options });
  worlds.push(w);
  const shared = new Map<number, Buffer>();
  if (options.gateways === undefined) {
    for (const gateway of w.gateways) gateway.cache = caches === 'shared' ? shared : new Map();
  }
  await w.start();
  return w;
}

/** kill -9, and another process that knows what is on disk. */
async function restarted(
  w: VolumeWorld,
  policy: WorldOptions['policy'] = {},
): Promise<VolumeWorld> {
  w.initiator.gateways.clear();
  for (const { sessions } of w.gateways) {
    for (const session of [...sessions]) session.end({ kind: 'reset', detail: 'peer is gone' });
  }
  const { clock, gateways, medium } = w;
  const store = new MemoryStore(clock, w.store.disk);
  return started(true, 'private', { clock, gateways, medium, store, policy });
}

/** Executes at once and answers late. */
function slowToAnswer(gateway: Gateway, ms: number): void {
  gateway.answerDelayMs = ({ what }) => (what.op === 'write' ? ms : 0);
}

describe('a read beside a write that is not answered yet', () => {
  it.each([
    ['with FUA', true],
    ['without FUA', false],
  ])('%s: a value that was read never vanishes', async (_, dpofua) => {
    const first = await started(dpofua, 'private', { policy: { fencing: 'gone' } });
    await first.wrote(1, 10);
    const p0 = first.gateway(0);
    slowToAnswer(p0, 100);
    first.write(1, 11);
    const read = first.submit('read', 1, 1);
    // As soon as it is answered the process dies, and its target with what only that has.
    await first.clock.until(() => read.answers > 0, 2_000, 1);
    const shown = read.data?.readUInt32LE(0);
    p0.kill();
    const second = await restarted(first, { fencing: 'gone' });
    expect([shown, await second.value(1)]).toEqual([11, 11]);
  });

  it('waits until the write is stable', async () => {
    const w = await started(false, 'private');
    slowToAnswer(w.gateway(0), 100);
    w.write(1, 11);
    const read = w.submit('read', 1, 1);
    const apart = w.submit('read', 2, 1);
    await w.clock.until(() => apart.answers > 0);
    expect([read.answers, w.gateway(0).cache?.size, w.medium.value(1)]).toEqual([0, 1, 0]);
    await w.good(read);
    expect([read.data?.readUInt32LE(0), w.medium.value(1)]).toEqual([11, 11]);
  });
});

describe('what a process before us had under way', () => {
  it.each([
    ['gone', 'told', { fencing: 'gone' }, true],
    ['none', 'told', { fencing: 'none' }, true],
    ['gone', 'not told', { fencing: 'gone' }, undefined],
  ])(
    'and what sits in a cache that the gateways share is stable before it is read: fence %s, the cache %s',
    async (_, _told, policy, writeCache) => {
      const is = { writeCache, dpofua: false };
      const first = await started(false, 'shared', { policy, profiles: [is, is] });
      const [p0, p1] = [first.gateway(0), first.gateway(1)];
      slowToAnswer(p0, 1_000);
      first.write(1, 11);
      await first.clock.advance(50);
      const shared = p0.cache;
      expect([shared?.size, first.medium.value(1)]).toEqual([1, 0]);
      // The front end dies; the cache is not its own.
      p0.cache = undefined;
      p0.kill();
      const second = await restarted(first, policy);
      const shown = await second.value(1);
      p1.powerCycle();
      expect([second.current, shown, await second.value(1)]).toEqual(['p1', 11, 11]);
    },
  );
});
