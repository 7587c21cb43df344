/** Slow is not dead: what is left, and what is not, when commands take long on some paths or on all. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Gateway, Task } from '../../../support/model/fake-session.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld({ paths: 3, ...options });
  await world.start();
  await world.clock.advance(3_000);
  return world;
}

const slow =
  (...ops: readonly string[]) =>
  (ms: number, ...gateways: readonly Gateway[]): void => {
    for (const gateway of gateways) {
      gateway.delayMs = ({ what }: Task) => (ops.includes(what.op) ? ms : 1);
    }
  };
const slowWrites = slow('write', 'sync', 'same');
const slowReads = slow('read');

const downs = (w: VolumeWorld) => w.event('note').filter(({ note }) => note === 'path-down');
const failovers = (w: VolumeWorld) => w.volume.status().failovers;

/** Writes, one after the other, for so long; the longest time that one took. */
async function load(w: VolumeWorld, forMs: number): Promise<number> {
  const until = w.clock.now() + forMs;
  let worst = 0;
  for (let n = 0; w.clock.now() < until; n++) {
    const from = w.clock.now();
    const io = w.write(n % 8, n);
    expect(await w.clock.run(io.done, 600_000)).toBeUndefined();
    worst = Math.max(worst, w.clock.now() - from);
  }
  return worst;
}

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('slow on every path', () => {
  it.each([1_500, 2_500, 8_000])('writes of %i ms: nothing is switched or reset', async (ms) => {
    const w = await started();
    slowWrites(ms, ...w.gateways);
    expect(await load(w, 60_000)).toBeLessThan(ms + 50);
    expect([failovers(w), downs(w), w.gateways.map(({ resets }) => resets)]).toEqual([
      0,
      [],
      [0, 0, 0],
    ]);
  });

  it.each([1_500, 4_000, 20_000])('READs of %i ms, probes too: no path is down', async (ms) => {
    const w = await started();
    slowReads(ms, ...w.gateways);
    for (let n = 0; n < 5; n++) await w.good(w.submit('read', n, 1));
    await w.clock.advance(60_000);
    expect([failovers(w), downs(w), w.volume.status().state]).toEqual([0, [], 'serving']);
  });

  it('everything takes 1.5 s: it is found, identified, used, and closed cleanly', async () => {
    world = new VolumeWorld({ paths: 3 });
    for (const gateway of world.gateways) gateway.delayMs = () => 1_500;
    await world.start();
    await load(world, 30_000);
    await world.clock.advance(30_000);
    expect([failovers(world), downs(world)]).toEqual([0, []]);
    expect(world.volume.status().paths.filter(({ up }) => up)).toHaveLength(3);
    await world.close();
    expect(world.store.disk?.mayHoldWrites).toEqual([]);
  });

  it('a flush of 40 s is answered, in its own time', async () => {
    const w = await started({ profiles: [1, 2, 3].map(() => ({ writeCache: true })) });
    slow('sync')(40_000, ...w.gateways);
    const from = w.clock.now();
    await w.good(w.submit('flush', 0, 0));
    expect(w.clock.now() - from).toBeLessThan(41_000);
    expect([failovers(w), downs(w)]).toEqual([0, []]);
  });

  it('front ends that block while they write: a few switches, and no more', async () => {
    const w = await started({ policy: { fencing: 'none' } });
    // Nothing is answered while a write is under way, pings neither.
    for (const gateway of w.gateways) {
      gateway.delayMs = (task) => {
        if (task.what.op !== 'write') return 1;
        gateway.deafUntil = w.clock.now() + 1_500;
        return 1_500;
      };
    }
    await load(w, 120_000);
    expect(failovers(w)).toBeLessThanOrEqual(3);
  });
});

describe('a question that is swallowed', () => {
  it.each(['tur', 'inquiry', 'other', 'read'])(
    '(%s) while a path is identified or asked: it is asked again, and is soon of use',
    async (op) => {
      const w = await started({ paths: 1 });
      let left = 1;
      w.gateway(0).delayMs = ({ what }) => (what.op === op && left-- > 0 ? Infinity : 1);
      for (const session of [...w.gateway(0).sessions]) {
        session.end({ kind: 'reset', detail: 'reset by peer' });
      }
      const from = w.clock.now();
      await w.good(w.write(1, 11));
      expect(w.clock.now() - from).toBeLessThan(5_000);
      await w.clock.advance(10_000);
      expect(w.volume.status().paths[0]?.up).toBe(true);
    },
  );
});

describe('slow on one path', () => {
  it('writes that a shared back end makes slow on the current path only: still it answers', async () => {
    const w = await started();
    slowWrites(5_000, w.gateway(0));
    await load(w, 60_000);
    expect([failovers(w), downs(w)]).toEqual([0, []]);
  });

  it('a standby whose READs are slow is no better than it was, and not down while it is answered', async () => {
    const w = await started();
    slowReads(1_500, w.gateway(1));
    await w.clock.advance(60_000);
    expect(downs(w)).toEqual([]);
  });
});

describe('a back end that hangs', () => {
  const hang = (gateway: Gateway): void => {
    gateway.delayMs = ({ what }) => (what.op === 'inquiry' ? 1 : 1e9);
  };

  it('is left within 1.5 s while I/O is in flight, though its front end answers pings', async () => {
    const w = await started({ policy: { fencing: 'none' } });
    hang(w.gateway(0));
    const from = w.clock.now();
    await w.good(w.write(1, 11));
    expect(w.clock.now() - from).toBeLessThan(1_700);
    expect(w.current).toBe('p1');
  });

  it('is left within 3.2 s without', async () => {
    const w = await started();
    hang(w.gateway(0));
    const from = w.clock.now();
    await w.on('p1');
    expect(w.clock.now() - from).toBeLessThan(3_200);
  });
});

describe('a silent path', () => {
  it.each(['frozen', 'dark'] as const)(
    '(%s) is left a second after the last sign of life',
    async (mode) => {
      const w = await started({ policy: { fencing: 'none' } });
      w.gateway(0).mode = mode;
      const from = w.clock.now();
      await w.good(w.write(1, 11));
      // 150 ms of it are the attempt at a fence.
      expect(w.clock.now() - from).toBeLessThan(1_400);
      expect(w.current).toBe('p1');
    },
  );

  it('is left as soon with nothing but a flush in flight', async () => {
    const profiles = [1, 2, 3].map(() => ({ writeCache: true }));
    const w = await started({ policy: { fencing: 'none' }, profiles });
    w.gateway(0).mode = 'frozen';
    const from = w.clock.now();
    await w.good(w.submit('flush', 0, 0));
    expect(w.clock.now() - from).toBeLessThan(1_500);
  });

  it.each([300, 900])('is no path that hiccups for %i ms', async (ms) => {
    const w = await started();
    const end = w.clock.now() + 120_000;
    for (let n = 0; w.clock.now() < end; n++) {
      const io = w.write(n % 8, n);
      if (n % 20 === 0) {
        for (const gateway of w.gateways) gateway.mode = 'frozen';
        await w.clock.advance(ms);
        for (const gateway of w.gateways) gateway.revive();
      }
      await w.good(io);
      await w.clock.advance(50);
    }
    expect([failovers(w), downs(w)]).toEqual([0, []]);
  });
});

describe('no volume fails while another path answers', () => {
  const hangs = slow('read', 'write');

  it('all storage has hung for 90 s, later one back end does: it is left at the latest then', async () => {
    const w = await started();
    const until = w.clock.now() + 90_000;
    for (const gateway of w.gateways) {
      gateway.delayMs = () => Math.max(1, until - w.clock.now());
    }
    const first = w.write(1, 11);
    await w.clock.advance(190_000);
    expect([first.answers, first.error, failovers(w), w.current]).toEqual([1, undefined, 0, 'p0']);
    hangs(Infinity, w.gateway(0));
    const io = w.write(2, 22);
    await w.clock.advance(130_000);
    expect([io.answers, io.error, w.current]).toEqual([1, undefined, 'p1']);
  });

  it.each(['0', '1s'])(
    'no-path-timeout %s, nothing in flight, a back end hangs',
    async (timeout) => {
      const w = await started({ policy: { 'no-path-timeout': timeout } });
      hangs(Infinity, w.gateway(0));
      await w.clock.advance(20_000);
      expect([w.volume.status().state, w.current]).toEqual(['serving', 'p1']);
    },
  );

  it('nor where READs are slow on all of them, and no-path-timeout is 0', async () => {
    const w = await started({ policy: { 'no-path-timeout': '0' } });
    slowReads(1_500, ...w.gateways);
    await w.clock.advance(20_000);
    expect([w.volume.status().state, failovers(w)]).toEqual(['serving', 0]);
  });
});

describe('a target that takes few commands at once', () => {
  it.each([1_500, 3_000])('writes of %i ms fill its window: no path is to blame', async (ms) => {
    const w = await started();
    for (const gateway of w.gateways) gateway.window = 8;
    slowWrites(ms, ...w.gateways);
    const until = w.clock.now() + 60_000;
    const all = Array.from({ length: 32 }, (_, n) => w.write(n, n));
    for (let n = 32; w.clock.now() < until;) {
      while (all.filter(({ answers }) => answers === 0).length < 32) all.push(w.write(n % 64, n++));
      await w.clock.advance(100);
    }
    expect([failovers(w), downs(w)]).toEqual([0, []]);
    for (const io of all) await w.good(io);
  });

  it('all of them hang for 40 s: those that wait on our side cost no path', async () => {
    const w = await started();
    const until = w.clock.now() + 40_000;
    for (const gateway of w.gateways) {
      gateway.window = 8;
      gateway.delayMs = ({ what }) => (what.op === 'write' ? until - w.clock.now() : 1);
    }
    const all = Array.from({ length: 24 }, (_, n) => w.write(n, n + 1));
    await w.clock.advance(45_000);
    expect(all.map(({ answers, error }) => [answers, error])).toEqual(
      all.map(() => [1, undefined]),
    );
    expect([failovers(w), w.gateways.map(({ resets }) => resets)]).toEqual([0, [0, 0, 0]]);
  });
});
