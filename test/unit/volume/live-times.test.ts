/** Live edits of times reach every part: each asks the policy when it needs it. */
import { afterEach, describe, expect, it } from 'vitest';
import { parsePolicy } from '../../../src/paths/policy.ts';
import { VolumeWorld } from '../../support/volume-world.ts';
import { FakeReservations } from '../../support/fake-reservations.ts';

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
});
