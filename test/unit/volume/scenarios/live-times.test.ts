/** Live edits of times reach every part: each asks the policy when it needs it. */
import { afterEach, describe, expect, it } from 'vitest';
import { parsePolicy, type Policy } from '../../../../src/paths/policy.ts';
import {
  ageTimes,
  linkTimes,
  logLimits,
  reservationTimes,
  stallDeadlines,
  switchPolicy,
} from '../../../../src/volume/live-policy.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function setPolicy(w: VolumeWorld, values: Readonly<Record<string, string>>): Promise<void> {
  const parsed = parsePolicy(values);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  const { paths } = w.volume.wanted;
  const done = await w.clock.run(w.volume.reconfigure({ paths, policy: parsed.value, pin: '' }));
  expect(done.ok).toBe(true);
}

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('a live edit', () => {
  it('of login-timeout: the next login has it', async () => {
    world = new VolumeWorld({ paths: 2 });
    await world.start();
    world.gateway(1).kill();
    await setPolicy(world, { 'login-timeout': '10s' });
    world.gateway(1).mode = 'up';
    world.gateway(1).loginDelayMs = 8_000;
    await world.clock.advance(30_000);
    expect(world.volume.status().paths[1]?.up).toBe(true);
  });

  it('of probe-timeout: reservations have it, beside the probes', async () => {
    const reservations = new FakeReservations();
    world = new VolumeWorld({ paths: 2, reservations, singleNode: true });
    await world.start();
    await world.clock.advance(2_000);
    await setPolicy(world, { 'probe-timeout': '3s' });
    // Keys are read slowly from now on: looked into all the same.
    for (const gateway of world.gateways)
      gateway.delayMs = ({ cdb }) => (cdb[0] === 0x5e ? 2_000 : 1);
    world.gateway(0).attention({ key: 6, asc: 0x2a, ascq: 3 });
    await world.clock.advance(6_000);
    expect([world.volume.status().state, world.volume.status().reason]).toEqual(['serving', '']);
    await world.close();
    // Given back, and not left behind for want of an answer within one second.
    expect([reservations.holder, world.store.disk?.keysLeft]).toEqual([undefined, undefined]);
  });

  it('of io-deadline: I/O that does not move is suspect sooner', async () => {
    world = new VolumeWorld({ paths: 2, policy: { 'io-deadline': '20s', fencing: 'none' } });
    await world.start();
    await world.clock.advance(1_000);
    await setPolicy(world, { 'io-deadline': '400ms', fencing: 'none' });
    world.gateway(0).mode = 'frozen';
    const from = world.clock.now();
    await world.good(world.write(1, 11));
    expect(world.clock.now() - from).toBeLessThan(800);
  });

  it('of probe-timeout: the next planned switch waits so long for its path to show who it is', async () => {
    world = new VolumeWorld({ paths: 2 });
    await world.start();
    await world.clock.advance(3_000);
    await setPolicy(world, { 'probe-timeout': '3s' });
    // Silent, pings included, for longer than probe-timeout was.
    world.gateway(1).mode = 'frozen';
    expect(world.volume.pin('p1')).toBe(true);
    await world.clock.advance(2_000);
    world.gateway(1).revive();
    await world.on('p1', 1_000);
    expect(world.event('switch-abandoned')).toEqual([]);
  });

  it('of command-timeout: a command that is not answered is given up sooner', async () => {
    world = new VolumeWorld({ paths: 2 });
    await world.start();
    await world.clock.advance(1_000);
    await setPolicy(world, { 'command-timeout': '5s' });
    let left = 1;
    world.gateway(0).delayMs = ({ what }) => (what.op === 'write' && left-- > 0 ? Infinity : 1);
    const io = world.write(1, 11);
    await world.clock.advance(8_000);
    expect([io.answers, io.error, world.medium.value(1)]).toEqual([1, undefined, 11]);
  });
});

describe('a view of a policy', () => {
  const policyOf = (values: Readonly<Record<string, string>>): Policy => {
    const parsed = parsePolicy(values);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
    return parsed.value;
  };
  const values = (views: readonly object[]): unknown[] =>
    views.flatMap((view) => Object.values(view).map((value: unknown) => JSON.stringify(value)));

  it('has the latest values, each of them', () => {
    const before = policyOf({ 'write-policy': 'log' });
    const now = { current: before };
    const policy = (): Policy => now.current;
    const views = [
      ...[switchPolicy(policy), linkTimes(policy), ageTimes(policy), reservationTimes(policy)],
      ...[stallDeadlines(policy), logLimits(before, policy)() ?? {}],
    ];
    const first = values(views);
    now.current = policyOf({
      ...{ 'write-policy': 'log', 'write-log-size': '8Mi', 'write-log-count': '17' },
      ...{ 'login-timeout': '9s', 'probe-timeout': '2s', 'io-deadline': '3s' },
      ...{ 'command-timeout': '40s', 'flush-deadline': '50s', 'reset-timeout': '7s' },
      ...{ 'drain-timeout': '4s', fencing: 'gone', portals: 'floating' },
    });
    const second = values(views);
    expect(first).toHaveLength(12);
    expect(second.filter((value, i) => value === first[i])).toEqual([]);
  });
});
