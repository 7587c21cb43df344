/** Leave, fence, arrive; planned switches; what the answers to commands mean for a switch. */
import { afterEach, describe, expect, it } from 'vitest';
import { check, FakeMedium, GOOD, status } from '../../../support/model/fake-lu.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld(options);
  await world.start();
  return world;
}

/** On p1, p0 well again, the failback about to come. */
async function beforeFailback(options: WorldOptions = {}): Promise<VolumeWorld> {
  const w = await started({ ...options, policy: { policy: 'fast', ...options.policy } });
  w.gateway(0).kill();
  await w.on('p1');
  w.gateway(0).revive();
  return w;
}

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('forced switch', () => {
  it('unanswered writes on a frozen path: nothing is written elsewhere until the fence', async () => {
    const w = await started();
    w.gateway(0).mode = 'frozen';
    const first = w.write(1, 11);
    await w.clock.advance(10_000);
    expect(w.executed).toEqual([]);
    expect(w.volume.status()).toMatchObject({ state: 'holding' });
    expect(w.event('stuck')[0]).toMatchObject({ what: 'fence' });
    w.gateway(0).revive();
    await w.good(first);
    expect(w.event('switched').at(-1)?.report).toMatchObject({ fence: 'reset', replayed: 1 });
    expect(await w.value(1)).toBe(11);
  });

  it.each([0, 100, 400])(
    'a hung back end behind a front end that answers: left in time (%i ms in)',
    async (ms) => {
      const w = await started();
      await w.clock.advance(ms);
      const p0 = w.gateway(0);
      p0.delayMs = ({ what }) => (what.op === 'read' || what.op === 'write' ? 600_000 : 1);
      const before = w.clock.now();
      await w.good(w.write(1, 11));
      expect(w.clock.now() - before).toBeLessThan(3_200);
      expect(w.event('switched').at(-1)?.report).toMatchObject({ fence: 'reset', replayed: 1 });
    },
  );

  it('a discard in the middle of it waits like a write: the device can do what it could', async () => {
    const w = await started({ policy: { fencing: 'none' } });
    await w.wrote(1, 11);
    w.gateway(0).mode = 'frozen';
    w.write(2, 22);
    await w.clock.until(() => w.current === undefined);
    expect([w.volume.canDiscard, w.volume.canWriteZeroes]).toEqual([true, true]);
    await w.good(w.submit('discard', 1, 1));
    expect([w.current, await w.value(1)]).toEqual(['p1', 0]);
  });

  it('with nothing unanswered there is nothing to fence', async () => {
    const w = await started();
    await w.wrote(1, 1);
    w.gateway(0).mode = 'dark';
    await w.on('p1', 5_000);
    expect(w.event('switched').at(-1)?.report).toMatchObject({ fence: 'not-needed', replayed: 0 });
    expect(w.gateway(0).resets).toBe(0);
  });

  it('the ghost of a write does not outlive the fence', async () => {
    const w = await started({ policy: { fencing: 'gone' } });
    const [p0, p1] = [w.gateway(0), w.gateway(1)];
    p0.mode = 'frozen';
    const first = w.write(1, 11);
    await w.clock.advance(3_000);
    p0.revive();
    await w.good(first);
    await w.wrote(1, 22);
    await w.clock.advance(5_000);
    expect(w.medium.value(1)).toBe(22);
    expect(p1.tasks.size + p0.tasks.size).toBe(0);
  });

  it('a write that sits in the cache of the path that was left does not come back', async () => {
    const cached = { writeCache: true, dpofua: false };
    const w = await started({ profiles: [cached, cached] });
    const p0 = w.gateway(0);
    p0.cache = new Map();
    w.gateway(1).cache = new Map();
    p0.delayMs = () => (p0.cache?.has(1) === true ? 1_000_000 : 1); // answered, never flushed
    const first = w.write(1, 11);
    await w.clock.advance(20);
    for (const session of [...p0.sessions]) session.end({ kind: 'reset', detail: 'by peer' });
    p0.delayMs = () => 1;
    await w.good(first);
    await w.wrote(1, 22);
    p0.destage();
    expect(w.medium.value(1)).toBe(22);
  });

  it('a cache that could not be written is not empty: nothing is written elsewhere until it was', async () => {
    const cached = { writeCache: true, dpofua: false };
    const w = await started({ profiles: [cached, cached] });
    const p0 = w.gateway(0);
    p0.cache = new Map();
    p0.delayMs = () => (p0.cache?.has(1) === true ? 1_000_000 : 1); // answered, never flushed
    const first = w.write(1, 11);
    await w.clock.advance(20);
    for (const session of [...p0.sessions]) session.end({ kind: 'reset', detail: 'by peer' });
    p0.delayMs = () => 1;
    p0.inject('sync', check(3, 0x0c, 0), 1_000);
    await w.clock.advance(5_000);
    expect([first.answers, p0.cache.size, w.current]).toEqual([0, 1, undefined]);
    p0.injections.length = 0;
    await w.good(first);
    await w.wrote(1, 22);
    p0.destage();
    expect(w.medium.value(1)).toBe(22);
  });

  it('a write that failed in part, and sits in that cache, does not come back either', async () => {
    const cached = { writeCache: true, dpofua: false, maxTransferBlocks: 1 };
    const w = await started({ profiles: [cached, cached] });
    const p0 = w.gateway(0);
    for (const gateway of w.gateways) gateway.cache = new Map();
    p0.inject(({ op, lba }) => op === 'write' && lba === 2, check(3, 0x0c, 0));
    const failed = w.write(1, 11, 2);
    await w.clock.until(() => failed.answers > 0);
    expect([failed.error, p0.cache?.size]).toEqual(['EIO', 1]);
    for (const session of [...p0.sessions]) session.end({ kind: 'reset', detail: 'by peer' });
    await w.on('p1');
    await w.wrote(1, 22);
    p0.destage();
    expect(w.medium.value(1)).toBe(22);
    expect(w.event('switched').at(-1)?.report.fence).toBe('reset');
  });

  it('a write that was aborted, and is lost before it was sent again, has left a part there for all we know', async () => {
    const w = await started({ profiles: [{ writeCache: true }, { writeCache: true }] });
    const p0 = w.gateway(0);
    // More of them than are retried at once: it pauses.
    p0.inject('write', check(0x0b, 0, 0), 9);
    const io = w.write(1, 11);
    await w.clock.until(() => p0.injections.every(({ times }) => times === 0));
    await w.clock.advance(2);
    for (const session of [...p0.sessions]) session.end({ kind: 'reset', detail: 'by peer' });
    await w.good(io);
    expect(w.event('switched').at(-1)?.report.fence).toBe('reset');
  });

  it('what failed before a flush needs no fence after it', async () => {
    const w = await started({ profiles: [{ writeCache: true }, { writeCache: true }] });
    const p0 = w.gateway(0);
    p0.inject('write', check(3, 0x0c, 0));
    const failed = w.write(1, 11);
    await w.clock.until(() => failed.answers > 0);
    await w.good(w.submit('flush', 0, 0));
    for (const session of [...p0.sessions]) session.end({ kind: 'reset', detail: 'by peer' });
    await w.good(w.submit('read', 1, 1));
    expect(w.event('switched').at(-1)?.report.fence).toBe('not-needed');
  });

  it('reads go on at once: only writes need a fence, and reads of replays wait', async () => {
    const w = await started({ policy: { fencing: 'gone' } });
    w.gateway(0).kill();
    const read = w.submit('read', 9, 1);
    await w.clock.advance(1_000);
    expect(read.answers).toBe(1);
    expect(w.event('switched').at(-1)?.report.fence).toBe('not-needed');
  });

  it('the record names the new path on disk before the first write, however slow the disk', async () => {
    const w = await started({ policy: { fencing: 'gone' } });
    w.store.delayMs = 700;
    w.gateway(0).kill();
    const io = w.write(1, 1);
    await w.clock.advance(600);
    expect(w.executed).toEqual([]);
    await w.good(io); // the invariant `record` watches
    expect(w.store.disk?.mayHoldWrites).toEqual(['p1']);
  });

  it('a record that cannot be saved holds the I/O until it can', async () => {
    const w = await started({ policy: { fencing: 'gone' } });
    w.store.failure = { kind: 'no-space', detail: 'the disk is full' };
    w.gateway(0).kill();
    const io = w.write(1, 1);
    await w.clock.advance(3_000);
    expect(w.executed).toEqual([]);
    expect(w.volume.status().reason).toBe('the disk is full');
    w.store.failure = undefined;
    await w.good(io);
    expect(w.volume.status().reason).toBe('');
  });

  it('recent writes are read back first: a stale copy gets no write', async () => {
    const stale = new FakeMedium();
    world = new VolumeWorld({ paths: 2 });
    const w = world;
    Object.defineProperty(w.gateway(1), 'medium', { value: stale });
    await w.start();
    await w.wrote(1, 11);
    w.gateway(0).kill();
    w.write(2, 2);
    await w.clock.advance(3_000);
    expect(w.executed.filter((line) => line.startsWith('p1'))).toEqual([]);
    expect(w.volume.status().paths[1]?.identity.kind).toBe('banned');
  });
});

describe('planned switch', () => {
  it('drains, flushes, replays nothing, and answers everything well', async () => {
    const w = await beforeFailback({ profiles: [{ writeCache: true }, { writeCache: true }] });
    w.gateway(1).delayMs = () => 15;
    let lba = 0;
    await w.clock.until(() => {
      w.write(lba++ % 50, lba);
      return w.current === 'p0';
    });
    await w.clock.advance(1_000);
    const report = w.event('switched').at(-1)?.report;
    expect(report).toMatchObject({ how: 'failback', replayed: 0, fence: 'not-needed' });
    expect(w.requests.every(({ answers, error }) => answers === 1 && error === undefined)).toBe(
      true,
    );
    const onP1 = w.accepted.filter(({ session }) => session.gateway.name === 'p1');
    const writes = onP1.map(({ what }) => what.op);
    expect(writes.lastIndexOf('sync')).toBeGreaterThan(writes.lastIndexOf('write'));
    expect(w.store.disk?.mayHoldWrites).toEqual(['p0']);
  });

  it('is given up when the drain takes too long, and the I/O goes on', async () => {
    const w = await beforeFailback({ policy: { 'drain-timeout': '100ms' } });
    w.gateway(1).inject('read', status(0x08), 1_000_000);
    const slow = w.submit('read', 1, 1); // busy for ever: its place is kept, the path is alive
    w.gateway(1).injections.length = 0;
    w.gateway(1).inject((what) => what.op === 'read' && what.blocks === 2, status(0x08), 1e9);
    w.submit('read', 5, 2);
    await w.clock.until(() => w.event('switch-abandoned').length > 0, 120_000);
    expect(w.event('switch-abandoned')[0]?.reason).toContain('not drained within 100 ms');
    await w.good(slow);
    await w.wrote(3, 3);
    expect(w.current).toBe('p1');
  });

  it('becomes a forced one when the old path dies meanwhile', async () => {
    const w = await beforeFailback({ policy: { fencing: 'gone' } });
    w.gateway(1).delayMs = () => 200;
    let io = w.write(1, 1);
    await w.clock.until(() => {
      if (io.answers > 0) io = w.write(1, 1);
      return w.volume.status().state === 'holding';
    });
    w.gateway(1).kill();
    await w.on('p0', 3_000);
    await w.good(io);
    expect(w.event('switched').at(-1)?.report).toMatchObject({ how: 'failover', fence: 'gone' });
  });
});

describe('answers', () => {
  it('BUSY keeps its place: a later overlapping write waits behind it', async () => {
    const w = await started();
    w.gateway(0).inject('write', status(0x28), 3);
    const first = w.write(1, 1);
    const second = w.write(1, 2);
    await w.good(second);
    expect(first.error).toBeUndefined();
    expect(first.answeredAt).toBeLessThanOrEqual(second.answeredAt);
    expect(await w.value(1)).toBe(2);
    expect(w.gateway(0).logins).toBe(1);
  });

  it('a request in several pieces is answered when all have ended, with the first error', async () => {
    const w = await started({ profiles: [{ maxTransferBlocks: 1 }, {}] });
    w.gateway(0).inject((what) => what.op === 'write' && what.lba === 1, check(3, 0x0c, 0));
    w.gateway(0).delayMs = () => (w.gateway(0).tasks.size === 4 ? 100 : 1);
    const io = w.write(0, 5, 4);
    await w.clock.advance(50);
    expect(io.answers).toBe(0);
    await w.clock.advance(100);
    expect(io.error).toBe('EIO');
    expect(w.executed).toHaveLength(3);
  });

  it('GOOD with too little data is no answer to a read', async () => {
    const w = await started();
    w.gateway(0).shortReadBytes = 1;
    const io = w.submit('read', 0, 1);
    await w.clock.advance(50);
    expect(io.error).toBe('EIO');
  });

  it('GOOD with a residual is no answer to a write: the target has not taken all of it', async () => {
    const w = await started();
    w.gateway(0).shortWriteBytes = 512;
    // WRITE SAME moves one block, whatever it writes: none of it was taken.
    const ios = [w.write(0, 1, 2), w.submit('write-zeroes', 4, 8), w.submit('discard', 16, 8)];
    await w.clock.advance(50);
    expect(ios.map(({ error }) => error)).toEqual(['EIO', 'EIO', 'EIO']);
    w.gateway(0).shortWriteBytes = 0;
    await w.wrote(4, 2);
  });

  it('a reservation conflict fails the volume: another node has it', async () => {
    const w = await started();
    w.gateway(0).inject('write', status(0x18));
    const io = w.write(0, 1);
    await w.clock.advance(50);
    expect(io.error).toBe('EIO');
    expect(w.volume.status()).toMatchObject({ state: 'failed' });
    const flush = w.submit('flush', 0, 0);
    await w.clock.advance(10);
    expect(flush.error).toBe('EIO');
  });

  it('a target without SYNCHRONIZE CACHE and without a cache flushes well', async () => {
    const none = { hasSyncCache: false, writeCache: false };
    const w = await started({ profiles: [none, none] });
    await w.good(w.submit('flush', 0, 0));
  });
});

describe('a unit that does not tell of its cache', () => {
  it('is not left by plan while flushing it fails', async () => {
    const silent = { writeCache: undefined };
    const w = await started({ profiles: [silent, silent] });
    await w.wrote(1, 11);
    w.gateway(0).inject('sync', check(3, 0x0c, 0), 1_000);
    w.volume.pin('p1');
    await w.clock.advance(5_000);
    expect(w.current).toBe('p0');
  });
});

describe('fakes', () => {
  it('the world notices a write to a path that the record does not name', async () => {
    const w = await started();
    w.store.disk = { ...(w.store.disk ?? expect.fail()), mayHoldWrites: [] };
    await w.wrote(1, 1);
    expect(w.violations).toHaveLength(1);
    w.violations.length = 0;
    expect(GOOD.status).toBe(0);
  });
});
