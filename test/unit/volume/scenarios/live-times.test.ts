/** Live edits of times reach every part: each asks the policy when it needs it. */
import { afterEach, describe, expect, it } from 'vitest';
import { parsePolicy, type Policy } from '../../../../src/paths/policy.ts';
import { fenceTerms } from '../../../../src/volume/fence/fence.ts';
import { logLimits } from '../../../../src/volume/io/write-log.ts';
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

  it('of drain-timeout: the next planned switch waits so long for what is under way', async () => {
    const slow = { 'io-deadline': '10s' };
    world = new VolumeWorld({ paths: 2, policy: slow });
    await world.start();
    await world.clock.advance(3_000);
    await setPolicy(world, { ...slow, 'drain-timeout': '5s' });
    // Longer than drain-timeout was.
    world.gateway(0).delayMs = ({ what }) => (what.op === 'write' ? 3_000 : 1);
    const io = world.write(1, 11);
    await world.clock.advance(10);
    expect(world.volume.pin('p1')).toBe(true);
    await world.on('p1', 4_000);
    await world.good(io);
    expect(world.event('switch-abandoned')).toEqual([]);
  });
});

describe('what is made of a policy', () => {
  const policyOf = (values: Readonly<Record<string, string>>): Policy => {
    const parsed = parsePolicy(values);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
    return parsed.value;
  };
  const values = (policy: Policy): unknown[] =>
    [fenceTerms(policy), logLimits(policy) ?? {}].flatMap((made) => Object.values(made));

  it('has its values, each of them', () => {
    const first = values(policyOf({ 'write-policy': 'log' }));
    const second = values(
      policyOf({
        ...{ 'write-policy': 'log', 'write-log-size': '8Mi', 'write-log-count': '17' },
        ...{ 'flush-deadline': '50s', 'reset-timeout': '7s' },
        ...{ fencing: 'gone,delay=5s,none', portals: 'floating' },
      }),
    );
    expect(first).toHaveLength(8);
    expect(second.filter((value, i) => value === first[i])).toEqual([]);
  });
});
