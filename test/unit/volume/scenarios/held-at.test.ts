/**
 * A path may lead to another address than it did: a redirect, a name with several addresses. What was
 * written is where it was sent, and only there a reset is a fence.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { profile } from '../../../support/model/fake-lu.ts';
import { Gateway } from '../../../support/model/fake-session.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

const ELSEWHERE = { host: '10.0.0.9', port: 3260 };
const CONFIGURED = '10.0.0.0:3260';

let world: VolumeWorld;

/** p0 is redirected to a gateway that is no path of its own. */
function redirected(options: WorldOptions = {}): { w: VolumeWorld; elsewhere: Gateway } {
  world = new VolumeWorld(options);
  const terms = { clock: world.clock, watch: world.watch() };
  const elsewhere = new Gateway('p0', world.medium, profile(), terms);
  world.initiator.gateways.set('10.0.0.9:3260', elsewhere);
  world.initiator.redirects.set(CONFIGURED, ELSEWHERE);
  return { w: world, elsewhere };
}

afterEach(async () => {
  expect(world.violations).toEqual([]);
  await world.close();
});

describe('unanswered writes of a redirected path', () => {
  it('are fenced where they were sent, not where the path leads by now', async () => {
    const { w, elsewhere } = redirected();
    await w.start();
    await w.wrote(1, 1);
    const [p0, p1] = w.volume.status().paths.map(({ portal }) => portal);
    expect([p0, p1]).toEqual([`${CONFIGURED} -> 10.0.0.9:3260`, '10.0.0.1:3260']);
    expect(w.store.disk?.heldAt).toEqual({ p0: '10.0.0.9:3260' });
    elsewhere.mode = 'frozen';
    const late = w.write(1, 11);
    await w.clock.advance(3_000);
    w.initiator.redirects.clear(); // the configured portal serves by itself now, and resets well
    await w.clock.advance(10_000);
    expect(w.volume.status().state).toBe('holding');
    expect(w.executed).toHaveLength(1);
    expect(w.gateway(0).resets).toBe(0);
    elsewhere.revive();
    await w.good(late);
    expect(elsewhere.resets).toBe(1);
    expect(await w.value(1)).toBe(11);
  });

  it('are not fenced by a portal that sends us on', async () => {
    const { w, elsewhere } = redirected();
    await w.start();
    elsewhere.mode = 'frozen';
    w.write(1, 11);
    await w.clock.advance(3_000);
    w.initiator.redirects.set('10.0.0.9:3260', { host: '10.0.0.1', port: 3260 });
    await w.clock.advance(10_000);
    expect(w.volume.status().state).toBe('holding');
    expect(w.volume.status().reason).toContain('which redirects to 10.0.0.1:3260');
    expect(w.executed).toEqual([]);
    elsewhere.kill();
  });

  it('are gone when that portal refuses, whatever the configured one does', async () => {
    const { w, elsewhere } = redirected({ policy: { fencing: 'gone' } });
    await w.start();
    elsewhere.mode = 'frozen';
    const late = w.write(1, 11);
    await w.clock.advance(3_000);
    elsewhere.kill();
    await w.good(late);
    expect(w.event('switched').at(-1)?.report).toMatchObject({ fence: 'gone' });
  });
});

describe('a path that is led elsewhere while its name goes to disk', () => {
  it('gets its first write when the record says where it leads now', async () => {
    const same = { serial: 'S' };
    const { w, elsewhere } = redirected({
      policy: { fencing: 'gone' },
      profiles: [same, same],
    });
    elsewhere.profile = profile(same);
    const other = new Gateway('p1', w.medium, profile(same), w.gateway(1));
    w.initiator.gateways.set('10.0.0.8:3260', other);
    await w.start();
    await w.clock.advance(2_000);
    w.store.delayMs = 3_000;
    elsewhere.kill();
    const late = w.write(1, 11);
    await w.clock.until(() => w.store.saving > 0);
    // Sessions of standbys are reset by ourselves: no verdict on the path, so the order stands.
    w.initiator.redirects.set('10.0.0.1:3260', { host: '10.0.0.8', port: 3260 });
    const { paths, policy } = w.volume.options;
    const wanted = { paths, policy: { ...policy, expectedSerial: 'S' }, pin: '' };
    await w.clock.run(w.volume.reconfigure(wanted));
    await w.good(late);
    expect(w.executed).toEqual(['p1 write 1+1']);
    expect([other.sessions.size, w.store.disk?.heldAt]).toEqual([1, { p1: '10.0.0.8:3260' }]);
  });
});

describe('a restart', () => {
  const record = { mayHoldWrites: ['p0'], heldAt: { p0: '10.0.0.9:3260' } };

  it('fences where the process before it had written', async () => {
    const { w, elsewhere } = redirected({ record });
    w.initiator.redirects.clear();
    await w.start();
    expect([elsewhere.resets, w.gateway(0).resets]).toEqual([1, 0]);
    expect(elsewhere.sessions.size).toBe(0);
    expect(w.store.disk?.heldAt).toEqual({ p0: CONFIGURED });
  });

  it('does not start while that cannot be reached', async () => {
    const { w, elsewhere } = redirected({ record });
    w.initiator.redirects.clear();
    elsewhere.mode = 'dark';
    const result = await w.clock.run(w.volume.start());
    expect(result).toMatchObject({ ok: false, error: { kind: 'stuck' } });
    expect(w.gateway(0).resets).toBe(0);
    expect(w.store.disk?.heldAt).toEqual(record.heldAt);
  });

  it('knows nothing better than the configured portal from a record of before', async () => {
    const { w } = redirected({ record: { mayHoldWrites: ['p0'] } });
    w.initiator.redirects.clear();
    await w.start();
    expect(w.gateway(0).resets).toBe(1);
  });
});
