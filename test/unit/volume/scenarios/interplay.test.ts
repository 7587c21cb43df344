/**
 * Where switcher, controller, sessions and unit attentions meet: each test is a schedule that once
 * lost, reordered or blocked I/O, or that might.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { check, GOOD, UA_LUNS_CHANGED, UA_POWER_ON } from '../../../support/model/fake-lu.ts';
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

describe('coming back to the path that was left', () => {
  it('a single path that died and returned serves on, long after the no-path timeout', async () => {
    const w = await started({ paths: 1 });
    w.gateway(0).kill();
    const held = w.write(1, 11);
    await w.clock.advance(5_000);
    w.gateway(0).revive();
    await w.good(held);
    await w.clock.advance(200_000);
    expect(w.volume.status().state).toBe('serving');
    expect(await w.value(1)).toBe(11);
  });

  it('all paths die, the one last used answers first: it serves on', async () => {
    const w = await started({ paths: 2 });
    for (const gateway of w.gateways) gateway.kill();
    await w.clock.advance(3_000);
    w.gateway(0).revive();
    await w.clock.advance(200_000);
    expect(w.volume.status().state).toBe('serving');
  });

  it('a planned switch whose target dies while draining is tried again when it is back', async () => {
    const w = await started({ paths: 2, policy: { policy: 'fast', 'drain-timeout': '5s' } });
    w.gateway(0).kill();
    await w.on('p1');
    w.gateway(0).revive();
    w.gateway(1).delayMs = () => 200; // in-flight I/O keeps the drain busy
    await w.clock.until(() => {
      w.submit('read', 3, 1);
      return w.volume.status().state === 'holding';
    });
    expect(w.current).toBe('p1');
    w.gateway(0).kill();
    await w.clock.advance(5_000);
    w.gateway(1).delayMs = () => 1;
    w.gateway(0).revive();
    await w.on('p0', 120_000);
  });
});

describe('a unit attention that ends commands', () => {
  it('makes no verdict on the path, whoever sees it', async () => {
    const w = await started({ paths: 2 });
    w.gateway(0).delayMs = () => 30;
    const stop = w.clock.now() + 4_000;
    let lba = 0;
    while (w.clock.now() < stop) {
      w.write(lba++ % 100, 5);
      await w.clock.advance(20);
      if (lba === 20) w.gateway(0).attention(UA_POWER_ON);
    }
    expect(w.event('note').filter(({ note }) => note === 'path-down')).toEqual([]);
    expect(w.current).toBe('p0');
  });

  it('seen by a probe while a write is under way makes no verdict either', async () => {
    const w = await started({ paths: 2 });
    const { sessions } = w.gateway(0);
    await w.clock.advance(700);
    // Only reads of probes are on the wire, plus one slow write.
    w.gateway(0).delayMs = () => 400;
    const io = w.write(1, 1);
    for (const session of sessions) session.attentions.push(UA_POWER_ON);
    // The attention must not be the write's: it was accepted before, so it reports first.
    await w.good(io);
    await w.clock.advance(3_000);
    expect(w.event('note').filter(({ note }) => note === 'path-down')).toEqual([]);
  });

  it('during a planned switch neither loses the switch nor holds the I/O', async () => {
    const w = await started({ paths: 2, policy: { policy: 'fast' } });
    w.gateway(0).kill();
    await w.on('p1');
    w.gateway(0).revive();
    w.gateway(1).delayMs = () => 300;
    await w.clock.until(() => {
      w.write(3, 1);
      return w.volume.status().state === 'holding';
    });
    w.gateway(1).attention(UA_POWER_ON);
    await w.clock.advance(2_000);
    w.gateway(1).delayMs = () => 1;
    await w.on('p0', 120_000);
    await w.wrote(4, 4);
  });

  it('racing with a failover does not replace it', async () => {
    const w = await started({ paths: 2, policy: { fencing: 'none' } });
    const p0 = w.gateway(0);
    // A recheck keeps the switcher busy; meanwhile the path is declared down, then a late attention.
    p0.attention(UA_LUNS_CHANGED);
    const first = w.write(1, 1);
    await w.clock.advance(2);
    p0.mode = 'frozen';
    const second = w.write(2, 2);
    await w.clock.advance(1_200);
    p0.attention(UA_POWER_ON);
    p0.revive();
    await w.good(first);
    await w.good(second);
    await w.clock.advance(150_000);
    expect(w.volume.status().state).toBe('serving');
    expect(await w.value(2)).toBe(2);
  });
});

describe('the logical unit behind the path changes', () => {
  it('the write that learns it is not sent again before the identity was read', async () => {
    const w = await started({ paths: 1 });
    await w.wrote(1, 1);
    const p0 = w.gateway(0);
    p0.attention(UA_LUNS_CHANGED);
    p0.profile = { ...p0.profile, serial: 'OTHER', names: [] };
    const before = w.executed.length;
    w.write(2, 2);
    await w.clock.advance(3_000);
    expect(w.executed.slice(before)).toEqual([]);
    expect(w.volume.status().paths[0]?.identity.kind).toBe('banned');
  });

  it('a write that pauses for a busy target waits for the identity too', async () => {
    const w = await started({ paths: 1 });
    const p0 = w.gateway(0);
    p0.inject('write', { ...GOOD, status: 0x08 }, 3);
    w.write(2, 2);
    await w.clock.advance(20); // in its second or third pause
    p0.attention(UA_LUNS_CHANGED);
    p0.profile = { ...p0.profile, serial: 'OTHER', names: [] };
    w.submit('read', 5, 1); // sees the attention
    await w.clock.advance(3_000);
    expect(w.executed).toEqual([]);
  });

  it('no write between the attention and the verdict, though a planned switch is given up', async () => {
    const w = await started({ paths: 2, policy: { policy: 'fast' } });
    w.gateway(0).kill();
    await w.on('p1');
    w.gateway(0).revive();
    const p1 = w.gateway(1);
    p1.delayMs = () => 300;
    await w.clock.until(() => {
      w.submit('read', 3, 1);
      return w.volume.status().state === 'holding';
    });
    const before = w.executed.length;
    w.write(7, 7); // held
    p1.attention(UA_LUNS_CHANGED); // for a read that is under way
    p1.profile = { ...p1.profile, names: [], serial: 'OTHER' };
    await w.clock.advance(3_000);
    expect(w.executed.slice(before).filter((line) => line.startsWith('p1'))).toEqual([]);
  });

  it('a standby that reports a change is identified again before it is written to', async () => {
    const weak = { names: [], serial: 'S' };
    const w = await started({ profiles: [weak, weak], policy: { 'expected-serial': 'S' } });
    await w.clock.advance(500);
    const p1 = w.gateway(1);
    p1.profile = { ...p1.profile, serial: 'OTHER' };
    p1.attention(UA_LUNS_CHANGED);
    await w.clock.advance(2_500); // a probe sees it
    w.gateway(0).kill();
    w.write(1, 1);
    await w.clock.advance(5_000);
    expect(w.executed).toEqual([]);
    expect(w.volume.status().paths[1]?.identity.kind).toBe('banned');
  });

  it('a path banned while the fence is held gets no write when the fence succeeds', async () => {
    const w = await started({ paths: 2, policy: { 'probe-interval-standby': '100ms' } });
    for (let i = 0; i < 8; i++) {
      await w.wrote(i, 100 + i);
      await w.clock.advance(30);
    }
    const [p0, p1] = [w.gateway(0), w.gateway(1)];
    p0.mode = 'frozen';
    const pending = w.write(50, 1);
    await w.clock.until(() => w.volume.status().reason.includes('not fenced'));
    // p1 turns out to be stale in a block that is among the older samples.
    p1.inject(
      (what) => what.op === 'read' && what.lba === 0,
      {
        ...GOOD,
        data: Buffer.alloc(512, 1),
      },
      100,
    );
    await w.clock.until(() => w.volume.status().paths[1]?.identity.kind === 'banned');
    p0.mode = 'dark';
    p0.tasks.clear();
    p0.revive();
    await w.good(pending);
    expect(w.executed.filter((line) => line.startsWith('p1'))).toEqual([]);
  });

  it('expand that finds another unit on the current path leaves it at once', async () => {
    const w = await started({ paths: 1 });
    const p0 = w.gateway(0);
    const is = p0.profile;
    p0.profile = { ...is, names: [], serial: 'OTHER' };
    await w.clock.run(w.volume.expand());
    p0.profile = is;
    const io = w.submit('read', 1, 1);
    await w.clock.advance(100);
    expect(w.volume.status().paths[0]?.identity.kind).toBe('banned');
    expect(await w.clock.run(w.volume.readmit('p0'))).toMatchObject({ ok: true });
    await w.good(io);
  });
});

describe('leaving a path while the switcher is busy', () => {
  it('its connection is reset at once, not when the flush of a planned switch times out', async () => {
    const w = await started({
      paths: 2,
      policy: { policy: 'fast', 'drain-timeout': '20s', fencing: 'none' },
      profiles: [{ writeCache: true }, { writeCache: true }],
    });
    w.gateway(0).kill();
    await w.on('p1');
    w.gateway(0).revive();
    const p1 = w.gateway(1);
    p1.inject('sync', GOOD, 0);
    p1.delayMs = () => (w.volume.status().state === 'holding' ? 100_000 : 1);
    await w.clock.until(() => w.volume.status().state === 'holding', 60_000, 1);
    p1.mode = 'dark'; // nothing tells us: the connection stays until we reset it
    const io = w.write(1, 1);
    await w.clock.advance(8_000);
    expect(io.answers).toBe(1);
    expect(w.current).toBe('p0');
  });
});

describe('closing', () => {
  it('answers every request that nothing can carry out any more', async () => {
    const w = await started({ paths: 1 });
    w.gateway(0).kill();
    const io = w.write(1, 1);
    await w.clock.advance(1_000);
    await w.close();
    expect(io.answers).toBe(1);
    expect(io.error).toBe('EIO');
    const late = w.write(1, 2);
    await w.clock.advance(10);
    expect(late.error).toBe('EIO');
    expect(w.clock.timers).toBe(0);
  });
});

describe('the record on disk', () => {
  it('does not name the target of a planned switch that was given up', async () => {
    const w = await started({ paths: 2, policy: { policy: 'fast' } });
    w.gateway(0).kill();
    await w.on('p1');
    w.gateway(0).revive();
    w.store.delayMs = 300;
    await w.clock.until(() => w.store.saving > 0, 60_000, 1);
    await w.clock.advance(100);
    expect(w.current).toBe('p1');
    w.gateway(0).kill(); // after the save has begun: the switch cannot go on
    await w.clock.advance(3_000);
    expect(w.current).toBe('p1');
    expect(w.store.disk?.mayHoldWrites).toEqual(['p1']);
  });

  it('is written again after a save that failed, even to what it was before', async () => {
    const w = await started({ paths: 2 });
    await w.wrote(1, 1);
    w.store.failure = { kind: 'io', detail: 'disk died' };
    w.store.failsAfterWriting = true;
    w.gateway(0).kill();
    await w.clock.advance(1_000); // p1 is on disk now, but we were told that it failed
    expect(w.volume.status().reason).toContain('disk died');
    w.gateway(1).kill();
    await w.clock.advance(1_000);
    w.store.failure = undefined;
    w.gateway(0).revive();
    await w.on('p0');
    await w.wrote(2, 2); // the invariant `record` looks at what is on disk
    expect(w.store.disk?.mayHoldWrites).toEqual(['p0']);
  });
});

describe('identities at the start', () => {
  it('a dispute bans nobody: setting the expected serial settles it for either side', async () => {
    const profiles = [{ serial: 'WRONG' }, { serial: 'RIGHT', names: [] }];
    const first = new VolumeWorld({ profiles });
    world = first;
    const refused = await first.clock.run(first.volume.start());
    expect(refused).toMatchObject({ ok: false, error: { kind: 'dispute' } });
    await first.close();
    const { clock, gateways, store } = first;
    const policy = { 'expected-serial': 'RIGHT' };
    world = new VolumeWorld({ clock, gateways, store, policy });
    await world.start();
    expect(world.current).toBe('p1');
  });

  it('with an expected serial the path without it is banned, whichever is read first', async () => {
    for (const slow of [0, 1]) {
      world = new VolumeWorld({
        profiles: [{ serial: 'GOOD' }, { serial: 'BAD' }],
        policy: { 'expected-serial': 'GOOD' },
      });
      world.gateway(slow).loginDelayMs = 50;
      await world.start();
      expect(world.current).toBe('p0');
      expect(world.volume.status().paths[1]?.identity.kind).toBe('banned');
    }
  });

  it('a serial that no path has is named in the error of the start', async () => {
    world = new VolumeWorld({ policy: { 'expected-serial': 'NONE' } });
    const result = await world.clock.run(world.volume.start());
    expect(result.ok ? '' : result.error.detail).toMatch(
      /p0: serial number is "SERIAL-1", expected "NONE"; p1: serial/,
    );
    await world.close();
    expect(world.clock.timers).toBe(0);
  });
});

describe('format', () => {
  it('is refused when a path was banned while the volume was read: its zeros prove nothing', async () => {
    const w = await started({ paths: 2 });
    w.medium.bytes[0] = 1; // there is data
    const p0 = w.gateway(0);
    const blank = { ...GOOD, data: Buffer.alloc(128 * 1024) };
    p0.inject((what) => what.op === 'read' && what.blocks > 1, blank, 1);
    p0.delayMs = () => 300;
    const verdict = w.volume.beginFormat();
    await w.clock.advance(10);
    p0.profile = { ...p0.profile, names: [], serial: 'OTHER' };
    p0.attention(UA_LUNS_CHANGED);
    expect(await w.clock.run(verdict)).toMatchObject({ mayFormat: false });
  });
});

describe('medium errors', () => {
  it('are returned and never tried on another path', async () => {
    const w = await started();
    w.gateway(0).inject('write', check(3, 0x0c, 0));
    const io = w.write(1, 1);
    await w.clock.advance(100);
    expect(io.error).toBe('EIO');
    expect(w.current).toBe('p0');
    expect(w.accepted.filter(({ what }) => what.op === 'write')).toHaveLength(1);
  });
});
