/**
 * What stands between a path and its first write, each guard with nothing else in its way: data read
 * back, identity in doubt, the record on disk, the fence; and what the others are told.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { FakeMedium, UA_LUNS_CHANGED } from '../../../support/model/fake-lu.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld(options);
  await world.start();
  return world;
}

const on = (w: VolumeWorld, path: string): string[] =>
  w.executed.filter((line) => line.startsWith(path));
const identityOf = (w: VolumeWorld, index: number): string =>
  w.volume.status().paths[index]?.identity.kind ?? 'none';
const changed = { names: [], serial: 'OTHER' };

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('reading back at arrival', () => {
  /** p1 shows the same identifiers and other data, and no probe has looked since the write. */
  async function staleCopy(options: WorldOptions = {}): Promise<VolumeWorld> {
    world = new VolumeWorld({ policy: { fencing: 'gone' }, ...options });
    Object.defineProperty(world.gateway(1), 'medium', { value: new FakeMedium() });
    await world.start();
    await world.clock.until(() => world.volume.status().paths.every(({ up }) => up));
    await world.wrote(1, 11);
    return world;
  }

  it('a path with the right identifiers and stale data is rejected and never written to', async () => {
    const w = await staleCopy();
    expect(identityOf(w, 1)).toBe('verified');
    w.gateway(0).kill();
    const io = w.write(2, 2);
    await w.clock.advance(60);
    // The switch has asked it, not the probe that comes later.
    expect(w.accepted.some(({ what }) => what.lba === 1 && what.op === 'read')).toBe(true);
    expect(identityOf(w, 1)).toBe('banned');
    await w.clock.advance(5_000);
    expect([on(w, 'p1'), io.answers, w.current]).toEqual([[], 0, undefined]);
    w.gateway(0).revive();
    await w.good(io);
    expect(on(w, 'p1')).toEqual([]);
  });

  it('a third path that shows the writes takes over instead', async () => {
    const w = await staleCopy({ paths: 3 });
    w.gateway(0).kill();
    await w.good(w.write(2, 2));
    expect([w.current, on(w, 'p1')]).toEqual(['p2', []]);
  });
});

describe('the last look before the release', () => {
  // Seen, being read, not seen yet: wherever the identity stands when the record is on disk.
  it.each([50, 150, 250, 350, 450, 550, 650, 750])(
    'a path that says "changed" %i ms into the save of the record gets no write',
    async (ms) => {
      const w = await started({ policy: { fencing: 'gone', 'probe-interval-standby': '100ms' } });
      await w.clock.advance(500);
      w.store.delayMs = 800;
      w.gateway(0).kill();
      const io = w.write(2, 2);
      await w.clock.advance(ms);
      const p1 = w.gateway(1);
      p1.delayMs = () => 250;
      p1.attention(UA_LUNS_CHANGED);
      p1.profile = { ...p1.profile, ...changed };
      await w.clock.advance(5_000);
      expect([on(w, 'p1'), io.answers, identityOf(w, 1)]).toEqual([[], 0, 'banned']);
    },
  );

  it('a change that nobody could explain, for want of an answer, stays in doubt', async () => {
    const w = await started({ policy: { fencing: 'gone' } });
    await w.clock.advance(500);
    const p1 = w.gateway(1);
    p1.attention(UA_LUNS_CHANGED);
    p1.profile = { ...p1.profile, ...changed };
    // The identity times out once; the medium goes on answering.
    let slow = 0;
    p1.delayMs = () => (p1.sessions.size > 0 && slow-- > 0 ? 30_000 : 1);
    await w.clock.until(
      () => {
        if ([...p1.sessions][0]?.attentions.length !== 0) return false;
        slow = 1; // the TEST UNIT READY that the identity begins with
        return true;
      },
      5_000,
      1,
    );
    await w.clock.advance(100);
    w.gateway(0).kill();
    const io = w.write(2, 2);
    await w.clock.advance(8_000);
    expect([on(w, 'p1'), io.answers]).toEqual([[], 0]);
  });
});
