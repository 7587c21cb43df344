/**
 * Live changes that meet what happens by itself: a path that dies while it is being removed, a change
 * that stops half way and is taken back, a probe that outlives its path.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { VolumePath } from '../../../../src/volume/link/path-board.ts';
import { status } from '../../../support/model/fake-lu.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld({ ...options, policy: { policy: 'fast', ...options.policy } });
  await world.start();
  await world.clock.advance(2_000);
  return world;
}

const change = (w: VolumeWorld, paths: readonly VolumePath[]) =>
  w.volume.reconfigure({ paths, policy: w.volume.wanted.policy, pin: '' });
const without = (w: VolumeWorld, name: string) =>
  w.volume.wanted.paths.filter((path) => path.name !== name);
const names = (w: VolumeWorld) => w.volume.status().paths.map(({ name }) => name);
const pathIn = (w: VolumeWorld, name: string) =>
  w.volume.status().paths.find((path) => path.name === name);

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('the current path falls silent while it is being removed, with a write unanswered', () => {
  it('nothing is written elsewhere before it was fenced, and no ghost comes after', async () => {
    const w = await started();
    w.gateway(0).mode = 'frozen';
    const first = w.write(1, 11);
    const removal = change(w, without(w, 'p0'));
    await w.clock.advance(8_000);
    const second = w.write(1, 22);
    await w.clock.advance(2_000);
    expect([first.answers, second.answers]).toEqual([0, 0]);
    expect(w.volume.status().reason).toContain('writes on p0 are not fenced');
    w.gateway(0).revive();
    await w.good(first);
    await w.good(second);
    expect(w.event('switched').at(-1)?.report).toMatchObject({ to: 'p1', fence: 'reset' });
    expect(await w.clock.run(removal)).toMatchObject({ ok: true });
    await w.clock.advance(60_000);
    expect([w.medium.value(1), names(w), w.gateway(0).sessions.size]).toEqual([22, ['p1'], 0]);
  });

  it('a fence that does not come in time ends the removal, not the path', async () => {
    const w = await started();
    w.gateway(0).mode = 'frozen';
    const io = w.write(1, 11);
    const removal = await w.clock.run(change(w, without(w, 'p0')));
    expect(removal.ok ? '' : removal.error.detail).toContain('p0 could not be left in time');
    expect([names(w).toSorted(), w.volume.wanted.paths.length]).toEqual([['p0', 'p1'], 2]);
    w.gateway(0).revive();
    await w.good(io);
    await w.clock.until(() => pathIn(w, 'p0')?.identity.kind === 'verified', 20_000);
    expect(await w.clock.run(change(w, without(w, 'p0')))).toMatchObject({ ok: true });
    expect(names(w)).toEqual(['p1']);
  });
});

describe('a change that stops half way', () => {
  const policy = { 'drain-timeout': '300ms' };

  /** p0 is not drained in time, again and again: one read is answered late, what else is asked at once. */
  async function stopped(w: VolumeWorld, paths: readonly VolumePath[]): Promise<string> {
    w.gateway(0).delayMs = ({ what }) => (what.op === 'read' && what.lba === 7 ? 40_000 : 1);
    w.submit('read', 7, 1);
    const result: { text?: string } = {};
    void change(w, paths).then((done) => (result.text = done.ok ? '' : done.error.detail));
    while (result.text === undefined) {
      await w.wrote(w.requests.length % 5, 1);
      await w.clock.advance(50);
    }
    w.gateway(0).delayMs = () => 1;
    return result.text;
  }

  it('taken back, it leaves every path what it was', async () => {
    const w = await started({ policy });
    const before = w.volume.wanted.paths;
    expect(await stopped(w, without(w, 'p0'))).toContain('p0 could not be left');
    expect(await w.clock.run(change(w, before))).toMatchObject({ ok: true, value: '' });
    await w.clock.advance(30_000);
    w.gateway(1).kill();
    await w.on('p0');
    w.gateway(1).revive();
    await w.clock.advance(30_000);
    w.gateway(0).kill();
    await w.on('p1');
    expect(names(w)).toEqual(['p0', 'p1']);
  });

  it('made again, it adds no path twice', async () => {
    const w = await started({ paths: 3, policy });
    expect(await w.clock.run(change(w, without(w, 'p2')))).toMatchObject({ ok: true });
    const paths = w.volume.options.paths.slice(1);
    expect(await stopped(w, paths)).toContain('p0 could not be left');
    expect(w.volume.wanted.paths.map(({ name }) => name)).toEqual(['p0', 'p1', 'p2']);
    await w.clock.run(change(w, paths));
    await w.clock.advance(5_000);
    expect(w.gateway(2).logins).toBe(2);
    const downs = w.event('note').filter(({ note, path }) => note === 'path-down' && path === 'p2');
    expect(downs).toEqual([]);
  });

  it('a weight that it has set is set back when it is taken back', async () => {
    const w = await started({ policy });
    const before = w.volume.wanted.paths;
    const paths = without(w, 'p0').map((path) => ({ ...path, maxWeight: 70 }));
    expect(await stopped(w, paths)).toContain('p0 could not be left');
    expect(pathIn(w, 'p1')?.maxWeight).toBe(70);
    expect(await w.clock.run(change(w, before))).toMatchObject({ ok: true });
    expect(pathIn(w, 'p1')?.maxWeight).toBe(90);
  });
});

describe('an expected serial that is set while no path serves', () => {
  it('keeps back no retry on the path that comes', async () => {
    const w = await started({ paths: 1, policy: { 'no-path-timeout': 'forever' } });
    w.gateway(0).kill();
    await w.clock.until(() => w.current === undefined);
    const { policy } = w.volume.wanted;
    const expected = { ...policy, expectedSerial: 'SERIAL-1' };
    const { paths } = w.volume.wanted;
    const done = await w.clock.run(w.volume.reconfigure({ paths, policy: expected, pin: '' }));
    expect(done).toMatchObject({ ok: true });
    w.gateway(0).revive();
    await w.on('p0');
    w.gateway(0).inject('write', status(0x08));
    await w.wrote(1, 1);
  });
});

describe('a probe that outlives its path', () => {
  it('says nothing about the next path of that name', async () => {
    const w = await started({ paths: 3 });
    expect(await w.clock.run(change(w, without(w, 'p2')))).toMatchObject({ ok: true });
    Object.defineProperty(w.gateway(2), 'name', { value: 'p1' });
    const [old] = w.gateway(1).sessions;
    w.gateway(1).delayMs = () => 300;
    w.gateway(1).logoutDelayMs = 500;
    await w.clock.until(() => (old?.outstanding ?? 0) > 0);
    const moved = w.volume.wanted.paths.map((path) =>
      path.name === 'p1' ? { ...path, target: { ...path.target, host: '10.0.0.2' } } : path,
    );
    expect(await w.clock.run(change(w, moved))).toMatchObject({ ok: true });
    await w.clock.advance(5_000);
    expect(pathIn(w, 'p1')).toMatchObject({ up: true, identity: { kind: 'verified' } });
    w.gateway(0).kill();
    await w.on('p1');
  });
});
