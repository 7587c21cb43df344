/** The life of a volume from start to close: the latch, a restart, its size, whether it may be formatted. */
import { afterEach, describe, expect, it } from 'vitest';
import { check, FakeMedium } from '../../../support/model/fake-lu.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld(options);
  await world.start();
  return world;
}

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('the latch', () => {
  it('fails everything for good: a path that comes back gets no write, a flush fails', async () => {
    const w = await started({ policy: { 'no-path-timeout': '2s' } });
    for (const gateway of w.gateways) gateway.kill();
    const io = w.write(1, 1);
    const read = w.submit('read', 8, 1);
    await w.clock.advance(4_000);
    expect([io.error, read.error]).toEqual(['EIO', 'EIO']);
    const discarded = { requests: 2, bytesToChange: w.volume.blockSize };
    expect(w.event('failed')).toMatchObject([{ discarded }]);
    const logins = w.gateways.map((gateway) => gateway.logins);
    for (const gateway of w.gateways) gateway.revive();
    const flush = w.submit('flush', 0, 0);
    w.write(2, 2);
    await w.clock.advance(60_000);
    expect(flush.error).toBe('EIO');
    expect(w.executed).toEqual([]);
    expect(w.gateways.map((gateway) => gateway.logins)).toEqual(logins);
    expect(w.requests.every(({ answers }) => answers === 1)).toBe(true);
    expect(w.event('failed')).toHaveLength(1);
    await w.close();
    expect(w.clock.timers).toBe(0);
    expect(w.store.disk?.mayHoldWrites).toEqual(['p0']);
  });
});

describe('a restart is a failover', () => {
  const record = { mayHoldWrites: ['p0'] };

  it('paths that may hold writes are reset before the device is served', async () => {
    const w = await started({ record });
    expect(w.gateway(0).resets).toBe(1);
    expect(w.volume.status().state).toBe('serving');
  });

  it.each([
    ['auto', false],
    ['gone', true],
    ['none', true],
  ])('a dead target with fencing %s: starts %s', async (fencing, starts) => {
    world = new VolumeWorld({ record, policy: { fencing } });
    world.gateway(0).kill();
    const result = await world.clock.run(world.volume.start());
    expect(result.ok).toBe(starts);
    if (!result.ok) expect(result.error).toMatchObject({ kind: 'stuck' });
    await world.close();
    expect(world.clock.timers).toBe(0);
    if (!starts) expect(world.store.disk?.mayHoldWrites).toEqual(['p0']);
  });

  it('all portals silent: stuck, and what the record says is kept', async () => {
    world = new VolumeWorld({ record });
    for (const gateway of world.gateways) gateway.mode = 'dark';
    const result = await world.clock.run(world.volume.start());
    expect(result.ok ? '' : result.error.detail).toContain('not fenced');
    await world.close();
    expect(world.store.disk?.mayHoldWrites).toEqual(['p0']);
    expect(world.initiator.connecting).toBe(0);
  });

  it('a path that is not configured any more holds the start', async () => {
    world = new VolumeWorld({ record: { mayHoldWrites: ['p9'] } });
    const result = await world.clock.run(world.volume.start());
    expect(result.ok ? '' : result.error.detail).toContain('p9');
    await world.close();
  });

  it('a clean close leaves nothing to fence', async () => {
    const w = await started();
    await w.wrote(1, 1);
    await w.close();
    expect(w.store.disk?.mayHoldWrites).toEqual([]);
    expect([w.clock.timers, w.initiator.openSessions]).toEqual([0, 0]);
  });
});

describe('size', () => {
  it('grows to the smallest of what the paths show, and never shrinks', async () => {
    const w = await started();
    const before = w.volume.sizeBytes;
    w.medium.resize(512);
    w.gateway(1).profile = { ...w.gateway(1).profile, blocks: 300 };
    expect(w.volume.sizeBytes).toBe(before);
    expect(await w.clock.run(w.volume.expand())).toMatchObject({ ok: true, value: 300 * 512 });
    w.gateway(1).profile = { ...w.gateway(1).profile, blocks: undefined };
    expect(await w.clock.run(w.volume.expand())).toMatchObject({ ok: true, value: 512 * 512 });
    w.gateway(1).profile = { ...w.gateway(1).profile, blocks: 300 };
    expect(await w.clock.run(w.volume.expand())).toMatchObject({ ok: true, value: 512 * 512 });
    expect(w.volume.status().paths[1]?.identity.kind).toBe('banned');
  });
});

describe('format', () => {
  const big = () => new FakeMedium(16_384); // 8 MiB
  const verdict = async (w: VolumeWorld) => w.clock.run(w.volume.beginFormat());

  it('blank and never formatted: yes, once', async () => {
    const w = await started({ medium: big() });
    expect(await verdict(w)).toEqual({ mayFormat: true });
    expect(w.store.disk?.format).toBe('started');
    expect(await verdict(w)).toMatchObject({ mayFormat: false });
    await w.volume.endFormat();
    expect(w.store.disk?.format).toBe('done');
    expect(await verdict(w)).toMatchObject({ mayFormat: false });
  });

  it.each([
    ['the first byte', 0],
    ['the end of the head', 4 * 1024 * 1024 - 1],
    ['the tail', 8 * 1024 * 1024 - 1],
  ])('data at %s: no', async (_where, offset) => {
    const w = await started({ medium: big() });
    w.medium.bytes[offset] = 1;
    expect(await verdict(w)).toMatchObject({ mayFormat: false });
    expect(w.store.disk?.format).toBe('never');
  });

  it('a read error, a failing path, a read-only volume, a full disk: no', async () => {
    let w = await started({ medium: big() });
    w.gateway(0).inject((what) => what.op === 'read' && what.blocks > 1, check(3, 0x11, 0));
    expect(await verdict(w)).toMatchObject({ mayFormat: false });
    w = await started({ medium: big() });
    const running = w.volume.beginFormat();
    w.gateway(1).kill();
    expect(await w.clock.run(running)).toMatchObject({ mayFormat: false });
    w = await started({ medium: big(), readOnly: true });
    expect(await verdict(w)).toMatchObject({ mayFormat: false });
    w = await started({ medium: big() });
    w.store.failure = { kind: 'no-space', detail: 'full' };
    expect(await verdict(w)).toEqual({ mayFormat: false, reason: 'full' });
  });
});
