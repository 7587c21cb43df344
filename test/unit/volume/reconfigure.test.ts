/** Live changes: what follows from a wish, what is refused, and that the I/O never notices. */
import { afterEach, describe, expect, it } from 'vitest';
import { parsePolicy, type Policy } from '../../../src/paths/policy.ts';
import type { VolumePath } from '../../../src/volume/link/path-board.ts';
import { checkChange, planChange } from '../../../src/volume/reconfigure.ts';
import { type Io, VolumeWorld, type WorldOptions } from '../../support/model/volume-world.ts';

const path = (name: string, change: Partial<VolumePath> = {}): VolumePath => ({
  name,
  target: { host: `h${name}`, port: 3260, targetName: 'iqn.t', lun: 1 },
  maxWeight: 100,
  drained: false,
  isid: '800000000000',
  ...change,
});
const at = (name: string, change: Partial<VolumePath['target']>): VolumePath =>
  path(name, { target: { ...path(name).target, ...change } });
const [A, B, C] = [path('a'), path('b'), path('c')];

describe('planning a change', () => {
  const names = (paths: readonly VolumePath[]) => paths.map(({ name }) => name);
  it.each([
    ['nothing', [A, B], [A, B], [], [], [], [], ''],
    ['another order', [A, B], [B, A], [], [], [], [], ''],
    ['added', [A], [A, B], [], ['b'], [], [], 'b added at hb:3260'],
    ['removed', [A, B], [A], ['b'], [], [], [], 'b removed'],
    ['host', [A], [at('a', { host: 'x' })], ['a'], ['a'], [], [], 'a moved to x:3260'],
    ['port', [A], [at('a', { port: 1 })], ['a'], ['a'], [], [], 'a moved to ha:1'],
    ['target', [A], [at('a', { targetName: 'q' })], ['a'], ['a'], [], [], 'a moved to ha:3260'],
    ['LUN', [A], [at('a', { lun: 2 })], ['a'], ['a'], [], [], 'a moved to ha:3260'],
    ['weight', [A], [path('a', { maxWeight: 7 })], [], [], ['a'], [], 'a max weight 100 -> 7'],
    ['drained', [A], [path('a', { drained: true })], [], [], [], ['a'], 'a drained'],
    ['undrained', [path('a', { drained: true })], [A], [], [], [], ['a'], 'a in use again'],
    ['swapped', [A, B], [C, B], ['a'], ['c'], [], [], 'a removed, c added at hc:3260'],
    [
      'both',
      [A, B],
      [path('a', { maxWeight: 7, drained: true })],
      ['b'],
      [],
      ['a'],
      ['a'],
      'b removed, a max weight 100 -> 7, a drained',
    ],
  ])('%s', (...row) => {
    const [, before, after, leaving, arriving, reweighted, redrained, text] = row;
    const change = planChange(before, after);
    expect(change.leaving).toEqual(leaving);
    expect(names(change.arriving)).toEqual(arriving);
    expect(names(change.reweighted)).toEqual(reweighted);
    expect(names(change.redrained)).toEqual(redrained);
    expect(change.text).toBe(text);
  });

  it.each([
    ['the last usable path', [A, B], [B], ['a'], [], 'every usable path (a)'],
    ['all of several', [A, B], [C], ['a', 'b'], [], 'every usable path (a, b)'],
    ['the last usable path by moving it', [A], [at('a', { lun: 2 })], ['a'], [], 'every usable'],
    ['one of two', [A, B], [A], ['a', 'b'], [], undefined],
    ['an unusable one', [A, B], [A], ['a'], [], undefined],
    ['anything where none is usable', [A, B], [C], [], [], undefined],
    ['one that may hold writes', [A, B], [A], ['a'], ['b'], 'b may still hold'],
    ['another than the one that may', [A, B, C], [A, B], ['a'], ['b'], undefined],
  ])('taking away %s', (...row) => {
    const [, before, after, usable, unfenced, refusal] = row;
    const allowed = checkChange(planChange(before, after), usable, unfenced);
    expect(allowed.ok ? undefined : allowed.error).toEqual(
      refusal === undefined ? undefined : expect.stringContaining(refusal),
    );
  });
});

let world: VolumeWorld | undefined;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  const w = new VolumeWorld({ ...options, policy: { policy: 'fast', ...options.policy } });
  world = w;
  await w.start();
  await w.clock.until(() => w.volume.status().paths.every(({ answered }) => answered));
  return w;
}

function policyOf(values: Readonly<Record<string, string>>): Policy {
  const parsed = parsePolicy({ policy: 'fast', ...values });
  return parsed.ok ? parsed.value : expect.fail(JSON.stringify(parsed.error));
}

interface Change {
  readonly paths?: readonly VolumePath[];
  readonly policy?: Policy;
  readonly pin?: string;
}

const reconfigure = (w: VolumeWorld, { paths, policy, pin = '' }: Change) =>
  w.volume.reconfigure({
    paths: paths ?? w.volume.wanted.paths,
    policy: policy ?? w.volume.wanted.policy,
    pin,
  });
const without = (w: VolumeWorld, name: string) =>
  w.volume.wanted.paths.filter((one) => one.name !== name);
const pathIn = (w: VolumeWorld, name: string) =>
  w.volume.status().paths.find((one) => one.name === name);

/** A write every 5 ms while something goes on. */
async function underLoad<T>(w: VolumeWorld, work: Promise<T>): Promise<T> {
  const state = { over: false };
  const watched = work.finally(() => (state.over = true));
  const ios: Io[] = [];
  for (let n = 1; !state.over && n < 10_000; n++) {
    ios.push(w.write(n % 64, n));
    await w.clock.advance(5);
  }
  for (const io of ios) await w.good(io);
  return await watched;
}

afterEach(() => {
  expect(world?.violations ?? []).toEqual([]);
});

describe('a change that is refused changes nothing', () => {
  it('every usable path', async () => {
    const w = await started();
    const before = w.volume.wanted;
    const policy = policyOf({ fencing: 'none' });
    const done = await w.clock.run(reconfigure(w, { paths: [path('p7')], policy }));
    expect(done).toMatchObject({ ok: false, error: { kind: 'refused' } });
    expect(w.volume.wanted).toEqual(before);
    await w.wrote(1, 1);
  });

  it('a path that may still hold unanswered writes; once fenced it may go', async () => {
    const w = await started();
    w.gateway(0).mode = 'frozen';
    const io = w.write(1, 1);
    await w.clock.until(() => w.volume.status().reason.includes('not fenced'));
    const paths = without(w, 'p0');
    const refused = await w.clock.run(reconfigure(w, { paths }));
    expect(refused.ok ? '' : refused.error.detail).toContain('p0 may still hold');
    expect(pathIn(w, 'p0')).toBeDefined();
    w.gateway(0).revive();
    await w.good(io);
    expect(await w.clock.run(reconfigure(w, { paths }))).toEqual({ ok: true, value: 'p0 removed' });
    expect([w.gateway(0).sessions.size, pathIn(w, 'p0')]).toEqual([0, undefined]);
  });
});

describe('paths that come, go and move', () => {
  it('the current path given another target: left in order, closed, and used again there', async () => {
    const w = await started({ paths: 3 });
    await underLoad(w, reconfigure(w, { paths: without(w, 'p2') }));
    expect(w.gateway(2).sessions.size).toBe(0);
    expect(w.volume.wanted.paths.map(({ name }) => name)).toEqual(['p0', 'p1']);
    Object.defineProperty(w.gateway(2), 'name', { value: 'p0' });
    const paths = w.volume.wanted.paths.map((one) =>
      one.name === 'p0' ? { ...one, target: { ...one.target, host: '10.0.0.2' } } : one,
    );
    const done = await underLoad(w, reconfigure(w, { paths }));
    expect(done).toEqual({ ok: true, value: 'p0 moved to 10.0.0.2:3260' });
    expect(w.gateway(0).sessions.size).toBe(0);
    expect(w.event('switched').at(-1)?.report).toMatchObject({ how: 'planned', replayed: 0 });
    await w.on('p0', 120_000);
    await w.wrote(1, 1);
    expect(w.gateway(2).sessions.size).toBe(1);
    expect(w.event('note').filter(({ note }) => note === 'path-down')).toEqual([]);
  });

  it('the target of a planned switch is dropped in the middle of it: the I/O stays', async () => {
    const w = await started();
    w.gateway(0).kill();
    await w.on('p1');
    w.gateway(0).revive();
    w.gateway(1).delayMs = () => 200;
    await w.clock.until(() => {
      if (w.requests.length < 500) w.submit('read', 3, 1);
      return w.volume.status().state === 'holding';
    });
    const done = await underLoad(w, reconfigure(w, { paths: without(w, 'p0') }));
    expect(done.ok).toBe(true);
    await w.clock.advance(2_000);
    expect(w.volume.status()).toMatchObject({ current: 'p1', state: 'serving' });
    expect([w.gateway(0).sessions.size, w.volume.status().paths.length]).toEqual([0, 1]);
  });

  it('the source of a planned switch is dropped in the middle of it: the switch is made', async () => {
    const w = await started();
    w.gateway(0).kill();
    await w.on('p1');
    w.gateway(0).revive();
    w.gateway(1).delayMs = () => 100;
    await w.clock.until(() => {
      if (w.requests.length < 500) w.submit('read', 3, 1);
      return w.volume.status().state === 'holding';
    });
    const done = await underLoad(w, reconfigure(w, { paths: without(w, 'p1') }));
    expect(done).toEqual({ ok: true, value: 'p1 removed' });
    expect([w.current, w.gateway(1).sessions.size]).toEqual(['p0', 0]);
    await w.wrote(1, 1);
    expect(w.store.disk?.mayHoldWrites).toEqual(['p0']);
  });

  it('the target of a forced switch is dropped while its fence is held: another one takes over', async () => {
    const w = await started({ paths: 3 });
    w.gateway(0).mode = 'frozen';
    const io = w.write(1, 1);
    await w.clock.until(() => w.volume.status().reason.includes('not fenced'));
    expect((await w.clock.run(reconfigure(w, { paths: without(w, 'p1') }))).ok).toBe(true);
    w.gateway(0).revive();
    await w.good(io);
    expect(w.executed.filter((line) => line.startsWith('p1'))).toEqual([]);
    expect(w.gateway(1).sessions.size).toBe(0);
  });
});

describe('a change of several parts is one change', () => {
  const weighed = (w: VolumeWorld, weights: readonly number[]) =>
    w.volume.wanted.paths.map((one, i) => ({ ...one, maxWeight: weights[i] ?? 0 }));
  const moves = (w: VolumeWorld) => w.event('switched').map(({ report }) => report.to);

  it('the labels of the node are removed: all weights end equal, and nothing moves', async () => {
    const w = await started({ paths: 3 });
    await w.clock.run(reconfigure(w, { paths: weighed(w, [100, 90, 80]) }));
    await w.clock.advance(5_000);
    const before = moves(w);
    expect(w.current).toBe('p0');
    const done = await underLoad(w, reconfigure(w, { paths: weighed(w, [80, 80, 80]) }));
    expect(done.ok).toBe(true);
    await w.clock.advance(120_000);
    expect(moves(w)).toEqual(before);
  });

  it('two drained at once: the I/O goes to the third at once, not by way of the second', async () => {
    const w = await started({ paths: 3 });
    const paths = w.volume.wanted.paths.map((one, i) => ({ ...one, drained: i < 2 }));
    await underLoad(w, reconfigure(w, { paths }));
    await w.on('p2');
    expect(moves(w)).toEqual(['p0', 'p2']);
  });

  it('two removed at once: likewise, and both are closed', async () => {
    const w = await started({ paths: 3 });
    const done = await underLoad(w, reconfigure(w, { paths: w.volume.wanted.paths.slice(2) }));
    expect(done).toEqual({ ok: true, value: 'p0 removed, p1 removed' });
    expect(moves(w)).toEqual(['p0', 'p2']);
    expect([w.gateway(0).sessions.size, w.gateway(1).sessions.size]).toEqual([0, 0]);
  });

  it('a pin and a weight that speaks for another path: one move', async () => {
    const w = await started({ paths: 3 });
    await underLoad(w, reconfigure(w, { paths: weighed(w, [100, 200, 80]), pin: 'p2' }));
    await w.on('p2');
    await w.clock.advance(5_000);
    expect(moves(w)).toEqual(['p0', 'p2']);
  });
});

describe('a policy set while the volume serves', () => {
  it('fencing none while the I/O is held for a fence: it goes on, and says so', async () => {
    const w = await started();
    w.gateway(0).mode = 'frozen';
    const io = w.write(1, 1);
    await w.clock.until(() => w.volume.status().reason.includes('not fenced'));
    const policy = policyOf({ fencing: 'none' });
    expect((await w.clock.run(reconfigure(w, { policy }))).ok).toBe(true);
    await w.good(io);
    expect(w.event('switched').at(-1)?.report).toMatchObject({ to: 'p1', fence: 'none' });
    expect(w.volume.status().reason).toBe('');
  });

  it('a shorter no-path-timeout holds for an outage under way', async () => {
    const w = await started({ policy: { 'no-path-timeout': 'forever' } });
    for (const gateway of w.gateways) gateway.kill();
    const io = w.write(1, 1);
    await w.clock.advance(5_000);
    expect(io.answers).toBe(0);
    const policy = policyOf({ 'no-path-timeout': '1s' });
    await w.clock.run(reconfigure(w, { policy }));
    await w.clock.advance(1_000);
    expect([io.error, w.volume.status().state]).toEqual(['EIO', 'failed']);
  });

  it('digests are asked for from the next login on, sessions that are up stay', async () => {
    const w = await started({ policy: { 'header-digest': 'prefer' } });
    expect(w.gateway(0).digests).toEqual([{ headerDigest: 'prefer', dataDigest: 'none' }]);
    const policy = policyOf({ 'data-digest': 'crc32c' });
    expect((await underLoad(w, reconfigure(w, { policy }))).ok).toBe(true);
    expect(w.gateway(0).digests).toHaveLength(1);
    w.gateway(0).kill();
    await w.on('p1');
    w.gateway(0).revive();
    await w.clock.until(() => w.gateway(0).digests.length > 1, 20_000);
    expect(w.gateway(0).digests[1]).toEqual({ headerDigest: 'none', dataDigest: 'crc32c' });
  });

  it('an expected serial turns unproved standbys into usable ones and bans the wrong', async () => {
    const weak = { names: [], serial: 'S' };
    const w = await started({ paths: 3, profiles: [weak, weak, weak] });
    await w.clock.advance(1_000);
    expect(w.volume.status().paths.map(({ identity }) => identity.kind)).toEqual([
      'verified',
      'unverified',
      'unverified',
    ]);
    w.gateway(2).profile = { ...w.gateway(2).profile, serial: 'T' };
    const policy = policyOf({ 'expected-serial': 'S' });
    expect((await underLoad(w, reconfigure(w, { policy }))).ok).toBe(true);
    await w.clock.advance(20_000);
    expect(w.volume.status().paths.map(({ identity }) => identity.kind)).toEqual([
      'verified',
      'verified',
      'banned',
    ]);
    w.gateway(0).kill();
    await w.on('p1');
    await w.wrote(1, 1);
  });

  it('an expected serial that a standby in good standing has not: it is banned', async () => {
    const w = await started({ profiles: [{ serial: 'S' }, { serial: 'T' }] });
    await w.clock.until(() => pathIn(w, 'p1')?.identity.kind === 'verified');
    await w.clock.run(reconfigure(w, { policy: policyOf({ 'expected-serial': 'S' }) }));
    await w.clock.until(() => pathIn(w, 'p1')?.identity.kind === 'banned', 10_000);
    expect(w.current).toBe('p0');
  });

  it('an expected serial that the current path has not: it is left before the next write', async () => {
    const w = await started({ profiles: [{ serial: 'S' }, { serial: 'T' }], record: {} });
    expect(w.current).toBe('p0');
    const policy = policyOf({ 'expected-serial': 'T', fencing: 'gone' });
    await w.clock.run(reconfigure(w, { policy }));
    const before = w.executed.length;
    await w.good(w.write(1, 1));
    expect(w.executed.slice(before)).toEqual(['p1 write 1+1']);
    expect(pathIn(w, 'p0')?.identity.kind).toBe('banned');
  });
});

describe('orders by hand', () => {
  it('pin moves the I/O and holds it there; unpinned, it goes where it was', async () => {
    const w = await started();
    expect(w.volume.pin('p9')).toBe(false);
    expect(w.volume.pin('p1')).toBe(true);
    await w.on('p1');
    await w.clock.advance(60_000);
    expect(w.volume.status()).toMatchObject({ current: 'p1', pinned: 'p1' });
    expect((await w.clock.run(reconfigure(w, { pin: '' }))).ok).toBe(true);
    await w.on('p0');
    expect((await w.clock.run(reconfigure(w, { pin: 'p1' }))).ok).toBe(true);
    await w.on('p1');
  });

  it('drain empties a path and keeps it as the last resort', async () => {
    const w = await started();
    expect(w.volume.drain('p9', true)).toBe(false);
    expect(w.volume.drain('p0', true)).toBe(true);
    await w.on('p1');
    expect(w.event('switched').at(-1)?.report).toMatchObject({ how: 'planned', replayed: 0 });
    w.gateway(1).kill();
    await w.on('p0');
    w.gateway(1).revive();
    await w.on('p1');
    expect(w.volume.wanted.paths.map(({ drained }) => drained)).toEqual([true, false]);
    expect((await w.clock.run(reconfigure(w, { paths: w.volume.options.paths }))).ok).toBe(true);
    await w.on('p0');
  });

  it('a max weight set by hand moves the I/O at once', async () => {
    const w = await started();
    const paths = w.volume.wanted.paths.map((one) => ({
      ...one,
      maxWeight: one.name === 'p1' ? 200 : one.maxWeight,
    }));
    expect((await w.clock.run(reconfigure(w, { paths }))).ok).toBe(true);
    await w.on('p1', 10_000);
  });
});
