import { describe, expect, it } from 'vitest';
import { parseMemory } from '../../../../src/volume/record/memory-record.ts';
import { parseRecord, type VolumeRecord } from '../../../../src/volume/record/record.ts';
import { VirtualClock } from '../../../support/model/virtual-clock.ts';
import { MemoryStore, VolumeWorld } from '../../../support/model/volume-world.ts';

/** A volume that p0 has failed, so that it runs on p1, and p0 is on its way back. */
async function failedOver(): Promise<VolumeWorld> {
  const world = new VolumeWorld({ paths: 3 });
  await world.start();
  await world.clock.advance(5_000);
  world.gateway(0).kill();
  await world.on('p1');
  await world.clock.advance(10_000);
  world.gateway(0).revive();
  await world.clock.advance(20_000);
  return world;
}

describe('memory of a volume', () => {
  it('a restart goes on with path, weights and hold-down, and switches nowhere', async () => {
    const world = await failedOver();
    const before = world.volume.status();
    const disk = JSON.parse(JSON.stringify(world.store.disk)) as VolumeRecord;
    expect(disk.memory?.current).toContain('p1 ');
    await world.close();
    const store = new MemoryStore(world.clock, disk); // as a crash leaves it: p1 may hold writes
    const next = new VolumeWorld({ clock: world.clock, gateways: world.gateways, store });
    await next.start();
    expect(next.current).toBe('p1');
    const weights = next.volume.status().paths.map(({ weight }) => weight);
    expect(weights.slice(1)).toEqual([90, 80]);
    expect(weights[0]).toBeLessThan(60);
    expect(weights[0]).toBeLessThanOrEqual(before.paths[0]?.weight ?? 0);
    await next.clock.advance(30_000);
    expect(next.current).toBe('p1');
    expect(next.event('switched').map(({ report }) => report.from)).toEqual([undefined]);
    await next.close();
  });

  it('with a current path that is slow to answer, as when it is fenced first: it is waited for', async () => {
    const world = await failedOver();
    const disk = JSON.parse(JSON.stringify(world.store.disk)) as VolumeRecord;
    await world.close();
    world.gateway(1).delayMs = () => 150;
    const store = new MemoryStore(world.clock, disk);
    const next = new VolumeWorld({ clock: world.clock, gateways: world.gateways, store });
    await next.start();
    expect(next.current).toBe('p1');
    await next.close();
  });

  it('a volume at home that was never away writes nothing, however long', async () => {
    const world = new VolumeWorld({ paths: 3 });
    await world.start();
    const saves = world.store.history.length;
    await world.clock.advance(3_600_000);
    expect(world.store.history.length).toBe(saves);
    expect(world.store.disk?.memory).toBeUndefined();
    await world.close();
  });

  it('is written a few times while a weight grows, and no more when the volume is home', async () => {
    const world = await failedOver();
    await world.clock.advance(4_200_000);
    expect(world.current).toBe('p0');
    const saves = world.store.history.length;
    // Down, failover, up, growth of 100 s, home; each with its record; tokens and level for half an hour.
    expect(saves).toBeLessThan(25);
    await world.clock.advance(3_600_000);
    expect(world.store.history.length).toBe(saves);
    await world.close();
  });

  it('while a path stays down its age is kept small: a save every ten minutes', async () => {
    const world = new VolumeWorld({ paths: 2 });
    await world.start();
    world.gateway(0).kill();
    await world.on('p1');
    await world.clock.advance(600_000);
    const saves = world.store.history.length;
    await world.clock.advance(3_600_000);
    expect(world.store.history.length - saves).toBeLessThanOrEqual(7);
    const ageMs = world.clock.wallTime().getTime() - (world.store.disk?.memory?.atUnixMs ?? 0);
    expect(ageMs).toBeLessThanOrEqual(660_000);
    await world.close();
  });

  it('a disk that refuses it disturbs nothing; it is written when the disk takes it again', async () => {
    const world = new VolumeWorld({ paths: 2 });
    await world.start();
    await world.clock.advance(5_000);
    world.gateway(0).kill();
    await world.on('p1');
    world.store.failure = { kind: 'no-space', detail: 'full' };
    await world.clock.advance(120_000);
    await world.wrote(3, 7);
    world.store.failure = undefined;
    await world.clock.advance(61_000);
    expect(world.store.disk?.memory?.current).toContain('p1 ');
    await world.close();
  });

  it('that the volume is home again is written when the disk takes it again, though all is well', async () => {
    const world = await failedOver();
    await world.on('p0', 600_000);
    world.store.failure = { kind: 'no-space', detail: 'full' };
    await world.clock.advance(4_200_000);
    expect(world.store.disk?.memory?.current).toContain('p1 ');
    world.store.failure = undefined;
    await world.clock.advance(61_000);
    expect(world.store.disk?.memory?.current).toContain('p0 ');
    await world.close();
  });

  it('nothing of it is left to be done when the volume is closed', async () => {
    const world = await failedOver();
    await world.close();
    expect(world.clock.timers).toBe(0);
    expect(world.store.disk?.mayHoldWrites).toEqual([]);
  });
});

describe('memory in the record', () => {
  const path = { weight: 3, maxWeight: 100, downs: 1, downsAgeMs: 5, holdDownLeftMs: 0 };
  const memory = { atUnixMs: 5, current: '', tokens: 1, tokensAgeMs: 9, paths: { p0: path } };

  it('is read back as it was written', () => {
    expect(parseMemory(JSON.parse(JSON.stringify(memory)))).toEqual(memory);
  });

  it('what is no memory is none, and the rest of the record stands', async () => {
    const world = new VolumeWorld({ clock: new VirtualClock() });
    await world.start();
    const text = (value: unknown): string => JSON.stringify({ ...world.store.disk, memory: value });
    await world.close();
    const broken = [
      null,
      [],
      'x',
      { ...memory, atUnixMs: -1 },
      { ...memory, tokens: 0.5 },
      { ...memory, paths: { p0: { ...path, weight: 0 } } },
      { ...memory, paths: { p0: { ...path, weight: 101 } } },
      { ...memory, paths: { p0: { ...path, downs: '1' } } },
    ];
    for (const value of broken) {
      const parsed = parseRecord(text(value));
      expect(parsed.ok && parsed.value.memory).toBeUndefined();
      expect(parsed.ok).toBe(true);
    }
  });
});
