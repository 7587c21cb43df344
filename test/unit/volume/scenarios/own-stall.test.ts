/** Our own process stands still (stopped, a paused virtual machine, a host without memory) and goes on. */
import { afterEach, describe, expect, it } from 'vitest';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld(options);
  await world.start();
  await world.clock.advance(1_000);
  return world;
}

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('ten minutes of it', () => {
  // The volume's timers expire in an order that depends on the moment.
  it.each([1, 30, 77, 333, 950])(
    'while no path serves: it does not fail (%i ms in)',
    async (ms) => {
      const w = await started();
      for (const gateway of w.gateways) gateway.kill();
      const io = w.write(1, 11);
      await w.clock.advance(2_000 + ms);
      w.clock.stall(600_000);
      for (const gateway of w.gateways) gateway.revive();
      await w.good(io);
      expect(w.volume.status().state).toBe('serving');
    },
  );

  it('does not count as time in which a path was missing, and what came before it does', async () => {
    const w = await started();
    for (const gateway of w.gateways) gateway.kill();
    const io = w.write(1, 11);
    await w.clock.advance(60_000);
    w.clock.stall(600_000);
    await w.clock.advance(59_000);
    expect(io.answers).toBe(0);
    await w.clock.advance(1_200);
    expect([io.error, w.volume.status().state]).toEqual(['EIO', 'failed']);
  });

  it.each([1, 30, 77, 333, 950])('with I/O in flight: no path is blamed (%i ms in)', async (ms) => {
    const w = await started();
    await w.clock.advance(ms);
    const io = w.write(1, 11);
    w.clock.stall(600_000);
    await w.good(io);
    await w.clock.advance(5_000);
    expect(w.event('note').filter(({ note }) => note === 'path-down')).toEqual([]);
    expect(w.current).toBe('p0');
  });

  it('is nothing that commands have taken: one that is swallowed later is given up as soon as ever', async () => {
    const w = await started();
    const io = w.write(1, 11);
    w.clock.stall(600_000);
    await w.good(io);
    let left = 1;
    w.gateway(0).delayMs = ({ what }) => (what.op === 'write' && left-- > 0 ? Infinity : 1);
    const lost = w.write(2, 22);
    await w.clock.advance(29_000);
    expect(lost.answers).toBe(0);
    await w.clock.advance(4_000);
    expect([lost.answers, lost.error]).toEqual([1, undefined]);
  });

  it('makes no command older: none that waits is given up', async () => {
    const w = await started();
    w.gateway(0).delayMs = ({ what }) => (what.op === 'write' ? 640_000 : 1);
    const io = w.write(1, 11);
    await w.clock.advance(20_000);
    w.clock.stall(600_000);
    await w.clock.advance(9_000);
    expect([io.answers, w.event('slow-storage')]).toEqual([0, []]);
    await w.clock.advance(3_000);
    expect(w.event('slow-storage')).toHaveLength(1);
  });
});
