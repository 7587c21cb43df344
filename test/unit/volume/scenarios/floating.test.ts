/**
 * Addresses that move: a path freezes with a write, another gateway of the same medium has its address at
 * once, and the old gateway thaws when newer data is there.
 */
import { describe, expect, it } from 'vitest';
import { ReservationKeyScheme } from '../../../../src/volume/reserve/nexus.ts';
import { profile } from '../../../support/model/fake-lu.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import { Gateway } from '../../../support/model/fake-session.ts';
import { type Io, VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

const FLOATING = { portals: 'floating' };
const P0 = '10.0.0.0:3260';

type Servers = 'one' | 'each' | 'none';

/** Device servers: one behind all paths, one for each path, or none with persistent reservations. */
async function serving(servers: Servers, options: WorldOptions = {}, owner?: 'session') {
  const made = [0, 1].map(() => Object.assign(new FakeReservations(), owner && { owner }));
  const [first] = made;
  const reservations = servers === 'none' ? [] : servers === 'one' && first ? first : made;
  const world = new VolumeWorld({ singleNode: true, reservations, policy: FLOATING, ...options });
  await world.start();
  await world.clock.advance(1_000);
  return { world, reservations: made };
}

/** p0 freezes with a write in its socket, and its address is another gateway's from now on. */
function freezeAndMove(world: VolumeWorld): { readonly old: Io; readonly taker: Gateway } {
  world.gateway(0).mode = 'frozen';
  // Of a nexus that hears a unit attention first the first command is not executed anyway.
  world.write(2, 1);
  const old = world.write(3, 1);
  return { old, taker: move(world) };
}

function move(world: VolumeWorld): Gateway {
  const { clock, medium } = world;
  const taker = new Gateway('p0', medium, profile(), { clock, watch: world.watch() });
  taker.reservations = new FakeReservations();
  world.initiator.gateways.set(P0, taker);
  return taker;
}

/** Newer data over the old write, then the old gateway thaws. */
async function overwriteAndThaw(world: VolumeWorld, old: Io): Promise<number> {
  await world.good(old);
  await world.wrote(3, 2);
  world.gateway(0).revive();
  await world.clock.advance(20_000);
  return world.medium.value(3);
}

describe('an address that moves with a write unanswered', () => {
  it('portals: fixed takes whoever has the address for the old one, as it declares: the old write wins', async () => {
    const { world } = await serving('each', { policy: { portals: 'fixed' } });
    const { old } = freezeAndMove(world);
    const from = world.clock.now();
    await world.good(old);
    expect(world.volume.status().lastSwitch?.fence).toBe('reset');
    expect(world.clock.now() - from).toBeLessThan(5_000);
    expect(await overwriteAndThaw(world, old)).toBe(1);
    await world.close();
  });

  it('portals: floating holds I/O where nothing else fences it, and says why', async () => {
    const { world } = await serving('each');
    const { old, taker } = freezeAndMove(world);
    await world.clock.advance(60_000);
    expect([old.answers, world.medium.value(3)]).toEqual([0, 0]);
    const { reason } = world.volume.status();
    expect(reason).toMatch(/reset: portals: floating: the portal does not show the key/);
    expect(world.event('stuck')[0]).toMatchObject({ what: 'fence' });
    // A login for each climb of the ladder would be a storm.
    expect(taker.logins).toBeLessThan(5);
    // The old gateway thaws and has its address again: there the key is.
    world.initiator.gateways.set(P0, world.gateway(0));
    world.gateway(0).revive();
    for (const session of [...taker.sessions]) session.end({ kind: 'reset', detail: 'moved back' });
    await world.good(old);
    expect(world.volume.status().lastSwitch?.fence).toBe('reset');
    await world.wrote(3, 2);
    await world.clock.advance(20_000);
    expect(world.medium.value(3)).toBe(2);
    await world.close();
  });

  it.each([undefined, 'session'] as const)(
    'goes on to preempt where the paths share a device server (%s)',
    async (owner) => {
      const { world } = await serving('one', {}, owner);
      const { old } = freezeAndMove(world);
      expect(await overwriteAndThaw(world, old)).toBe(2);
      expect(world.volume.status().lastSwitch?.fence).toBe('preempt');
      await world.close();
    },
  );

  it('and does so when the path has found the other gateway before the fence is tried', async () => {
    const { world } = await serving('one');
    const p1 = world.gateway(1);
    p1.mode = 'dark';
    const { old } = freezeAndMove(world);
    await world.clock.advance(20_000);
    expect(old.answers).toBe(0);
    p1.revive();
    expect(await overwriteAndThaw(world, old)).toBe(2);
    await world.close();
  });

  it('goes on to a delay that was declared', async () => {
    const { world } = await serving('each', { policy: { ...FLOATING, fencing: 'delay=8s' } });
    const { old } = freezeAndMove(world);
    await world.good(old);
    expect(world.volume.status().lastSwitch?.fence).toBe('delay');
    await world.close();
  });

  it('after a crash of pathd is known by what is on disk', async () => {
    const { world } = await serving('each');
    freezeAndMove(world);
    await world.clock.advance(10);
    await world.close();
    const { clock, gateways, store, medium } = world;
    expect(Object.keys(store.disk?.heldKeys ?? {})).toEqual(['p0']);
    const next = new VolumeWorld({
      singleNode: true,
      policy: FLOATING,
      clock,
      gateways,
      store,
      medium,
    });
    next.initiator.gateways.set(P0, world.initiator.gateways.get(P0)!);
    const started = await clock.run(next.volume.start());
    expect(started.ok ? '' : started.error.detail).toMatch(
      /portals: floating: the portal does not/,
    );
    await next.close();
  });
});

describe('an address that has not moved, portals: floating', () => {
  it.each([
    ['one', undefined],
    ['one', 'session'],
    ['each', undefined],
    ['each', 'session'],
  ] as const)('is fenced by reset, for its key is there (%s, %s)', async (servers, owner) => {
    const { world } = await serving(servers, {}, owner);
    const p0 = world.gateway(0);
    p0.delayMs = ({ what }) => (what.op === 'write' ? 5_000 : 1);
    const old = world.write(3, 1);
    await world.clock.advance(100);
    for (const session of [...p0.sessions]) session.end({ kind: 'reset', detail: 'cable' });
    p0.delayMs = () => 1;
    await world.good(old);
    expect(world.volume.status().lastSwitch?.fence).toBe('reset');
    await world.wrote(3, 2);
    await world.clock.advance(20_000);
    expect(world.medium.value(3)).toBe(2);
    expect(world.violations).toEqual([]);
    await world.close();
  });

  it.each([undefined, 'session'] as const)(
    'is fenced by reset after a crash of pathd, with one path (%s)',
    async (owner) => {
      const { world } = await serving('one', { paths: 1 }, owner);
      world.gateway(0).delayMs = ({ what }) => (what.op === 'write' ? 5_000 : 1);
      world.write(3, 1);
      await world.clock.advance(10);
      await world.close();
      const { clock, gateways, store, medium } = world;
      gateways[0]!.delayMs = () => 1;
      const next = new VolumeWorld({
        ...{ singleNode: true, policy: FLOATING, clock, gateways, store, medium },
      });
      await next.start();
      await next.wrote(3, 2);
      await clock.advance(20_000);
      expect(medium.value(3)).toBe(2);
      await next.close();
    },
  );

  it('cannot be proved where the target has no persistent reservations: that is said', async () => {
    const { world } = await serving('none');
    const { old } = freezeAndMove(world);
    await world.clock.advance(60_000);
    expect(old.answers).toBe(0);
    expect(world.volume.status().reason).toMatch(/had registered no key that could prove/);
    await world.close();
  });
});

it('a path never registers one key at two device servers: a stale one would prove the wrong one', () => {
  const ring = new ReservationKeyScheme('iqn.2026-01.test:n', false, 254);
  const path = { isid: '800000000000' };
  const keys = [1, 2, 3].map(() => ring.next(path, []));
  expect(keys.map((key) => key?.slice(14))).toEqual(['ff', '01', '02']);
  expect(ring.next({ isid: '800000010000' }, [])?.slice(14)).toBe('ff');
});
