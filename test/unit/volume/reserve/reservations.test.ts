/** Registrations, the reserved unit and the rung `preempt`, in the world of fakes. */
import { describe, expect, it } from 'vitest';
import { nodePrefix } from '../../../../src/volume/reserve/reservation-key.ts';
import { check, profile } from '../../../support/model/fake-lu.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import type { FakeSession } from '../../../support/model/fake-session.ts';
import { Gateway } from '../../../support/model/fake-session.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

const NODE = nodePrefix('iqn.2026-01.test:n');
const FOREIGN = 'ffffffff00000101';
const stranger = {
  isid: 'another node',
  attentions: [],
  gateway: { tasks: new Set(), mode: 'up' },
} as unknown as FakeSession;

type Build = Partial<Pick<FakeReservations, 'owner' | 'hasAbort' | 'removesWrongly' | 'enforces'>>;

/** One device server behind all paths; a single-node volume unless told. */
function build(options: WorldOptions = {}, is: Build = {}) {
  const reservations = Object.assign(new FakeReservations(), is);
  const world = new VolumeWorld({ singleNode: true, reservations, ...options });
  return { world, reservations };
}

/** The path freezes with a write in its socket, the volume goes on elsewhere, it thaws at last. */
async function ghost(world: VolumeWorld): Promise<number> {
  world.gateway(0).mode = 'frozen';
  // Of a nexus that hears a unit attention first the first command is not executed anyway.
  const first = world.write(2, 1);
  const old = world.write(3, 1);
  await world.on('p1', 60_000);
  await world.good(first);
  await world.good(old);
  await world.wrote(3, 2);
  world.gateway(0).revive();
  await world.clock.advance(20_000);
  return world.medium.value(3);
}

describe.each([
  ['registrations of ports, with PREEMPT AND ABORT', { owner: 'ports', hasAbort: true }],
  ['registrations of sessions, without (tgt)', { owner: 'session', hasAbort: false }],
] as const)('one device server: %s', (_, is) => {
  it('is reserved before the first write, by a key of this node, each path with a key of its own', async () => {
    const { world, reservations } = build({}, is);
    await world.start();
    await world.clock.advance(100);
    expect(new Set(reservations.keys).size).toBe(2);
    expect(reservations.keys.every((key) => key.startsWith(NODE))).toBe(true);
    expect(reservations.holder?.key).toMatch(NODE);
    expect(world.volume.status().preemptible).toEqual([['p0', 'p1']]);
    await world.close();
  });

  it('a frozen front end is fenced by preempt, and what it brings later is refused', async () => {
    const { world, reservations } = build({}, is);
    await world.start();
    await world.clock.advance(1_000);
    expect(await ghost(world)).toBe(2);
    expect(world.volume.status().lastSwitch?.fence).toBe('preempt');
    expect(world.violations).toEqual([]);
    // Thawed, the path has logged in and registered anew.
    expect(new Set(reservations.keys).size).toBe(2);
    await world.close();
  });

  it('leaves neither keys nor a reservation at the end', async () => {
    const { world, reservations } = build({}, is);
    await world.start();
    await world.clock.advance(1_000);
    await world.close();
    expect([reservations.keys, reservations.holder]).toEqual([[], undefined]);
    expect(world.store.disk?.keysLeft).toBeUndefined();
    // A kill in the middle would have left some: that there may be any was written first.
    const last = world.store.history.at(-2);
    expect([last?.keysLeft, last?.mayHoldWrites]).toEqual([true, []]);
  });

  it.each([
    ['nobody answers any more', 'frozen'],
    ['the target refuses to take them away', 'refuses'],
  ])('keys that stay because %s are on record', async (_why, how) => {
    const { world, reservations } = build({}, is);
    await world.start();
    await world.clock.advance(1_000);
    const execute = reservations.execute.bind(reservations);
    if (how === 'frozen') for (const gateway of world.gateways) gateway.mode = 'frozen';
    else {
      reservations.execute = (session, cdb, ...more) =>
        cdb[0] === 0x5f ? check(5, 0x26, 0) : execute(session, cdb, ...more);
    }
    await world.close();
    expect(reservations.keys.length).toBeGreaterThan(0);
    expect(world.store.disk).toMatchObject({ keysLeft: true, mayHoldWrites: [] });
  });

  it('a target that was restarted is registered with and reserved again', async () => {
    const { world, reservations } = build({}, is);
    await world.start();
    await world.clock.advance(1_000);
    for (const gateway of world.gateways) gateway.kill();
    expect(reservations.keys).toEqual([]);
    for (const gateway of world.gateways) gateway.revive();
    await world.wrote(1, 7);
    await world.clock.advance(5_000);
    expect(new Set(reservations.keys).size).toBe(2);
    expect(reservations.holder?.key).toMatch(NODE);
    await world.close();
  });

  it('the write of a second node is refused by the target', async () => {
    const { world, reservations } = build({}, is);
    await world.start();
    await world.clock.advance(1_000);
    const refused = reservations.execute(stranger, new Uint8Array(16), undefined, true);
    expect(refused?.status).toBe(0x18);
    await world.close();
  });

  it('another node that preempts our keys ends the volume: not one write more', async () => {
    const { world, reservations } = build({}, is);
    await world.start();
    await world.clock.advance(1_000);
    reservations.takenBy(FOREIGN, stranger);
    const late = world.write(1, 9);
    expect(await world.clock.run(late.done)).toBe('EIO');
    expect(world.volume.status()).toMatchObject({ state: 'failed' });
    expect(world.medium.value(1)).toBe(0);
    expect(reservations.keys).toEqual([FOREIGN]);
    await world.close();
  });

  it('a key that the target has lost by itself is registered anew, and the write goes through', async () => {
    const { world, reservations } = build({}, is);
    await world.start();
    await world.clock.advance(1_000);
    const p0 = [...world.gateway(0).sessions][0]!;
    const mine = reservations.of(p0);
    reservations.registrations = reservations.registrations.filter((one) => one !== mine);
    reservations.holder = reservations.registrations[0];
    await world.wrote(1, 9);
    expect(world.medium.value(1)).toBe(9);
    expect(world.volume.status()).toMatchObject({ state: 'serving', ioErrors: 0 });
    await world.close();
  });

  it('after a crash of pathd the old nexus is fenced by preempt from what is on disk', async () => {
    const { world } = build({}, is);
    await world.start();
    await world.clock.advance(1_000);
    world.gateway(0).mode = 'frozen';
    world.write(2, 1);
    world.write(3, 1);
    await world.clock.advance(10);
    const { clock, gateways, store, medium } = world;
    // Nothing is flushed, fenced or given back: with requests open this is as good as a crash.
    await world.close();
    const next = new VolumeWorld({ clock, gateways, store, medium, singleNode: true });
    await next.start();
    await next.wrote(3, 2);
    next.gateway(0).revive();
    await clock.advance(20_000);
    expect(medium.value(3)).toBe(2);
    await next.close();
  });
});

describe('the rung is not counted', () => {
  async function held(options: WorldOptions, is: Build = {}): Promise<string> {
    const { world } = build(options, is);
    await world.start();
    await world.clock.advance(1_000);
    world.gateway(0).mode = 'frozen';
    const old = world.write(3, 1);
    await world.clock.advance(20_000);
    expect(old.answers).toBe(0);
    const { reason } = world.volume.status();
    world.gateway(0).revive();
    await world.good(old);
    await world.close();
    return reason;
  }

  it('where every path has a device server of its own', async () => {
    const reservations = [new FakeReservations(), new FakeReservations()];
    expect(await held({ reservations })).toMatch(/preempt: no other path is proved/);
    expect(reservations.map(({ holder }) => holder)).toEqual([undefined, undefined]);
  });

  it('on volumes of several nodes, and where the operator has switched reservations off', async () => {
    expect(await held({ singleNode: false })).toMatch(/preempt: no reservation is wanted/);
    expect(await held({ policy: { reservation: 'off' } })).toMatch(/preempt: no reservation/);
  });

  it('where the target has no persistent reservations', async () => {
    expect(await held({ reservations: [] })).toMatch(/preempt: no other path is proved/);
  });

  it('where the target takes the wrong key away: found at the start, and nothing is left there', async () => {
    const { world, reservations } = build({}, { removesWrongly: true });
    await world.start();
    await world.clock.advance(1_000);
    expect(reservations.holder).toBeUndefined();
    expect(world.volume.status().preemptible).toEqual([]);
    await world.wrote(1, 1);
    await world.close();
  });

  it('when somebody has released the reservation', async () => {
    const { world, reservations } = build();
    await world.start();
    await world.clock.advance(1_000);
    world.gateway(0).mode = 'frozen';
    const old = world.write(3, 1);
    reservations.holder = undefined;
    await world.clock.advance(10_000);
    expect(old.answers).toBe(0);
    expect(world.volume.status().reason).toMatch(/preempt: the unit is not reserved/);
    world.gateway(0).revive();
    await world.good(old);
    await world.close();
  });
});

describe('without the reservation', () => {
  it('the late write is executed: what the rung relies on is the reservation and nothing else', async () => {
    const { world, reservations } = build();
    await world.start();
    await world.clock.advance(1_000);
    // The target says that it holds it and refuses nobody.
    reservations.enforces = false;
    expect(await ghost(world)).toBe(1);
    await world.close();
  });
});

describe('a unit that another node has reserved', () => {
  function taken(options: WorldOptions) {
    const { world, reservations } = build(options);
    reservations.takenBy(FOREIGN, stranger);
    return { world, reservations };
  }

  /** The claim was taken from a node whose InitiatorName nobody knows: one of a version before. */
  const debts = [{ node: 'a', sinceUnixMs: 0, allPaths: true, initiatorName: '', paths: [] }];

  it('is taken over where this node has just been given the volume', async () => {
    const { world, reservations } = taken({ mayTakeOver: true, debts });
    await world.start();
    expect(reservations.keys).not.toContain(FOREIGN);
    expect(reservations.holder?.key).toMatch(NODE);
    expect(world.gateways.some(({ resets }) => resets > 0)).toBe(true);
    await world.wrote(1, 1);
    await world.close();
  });

  it('is refused where nobody has given it', async () => {
    const { world, reservations } = taken({ mayTakeOver: false });
    const started = await world.clock.run(world.volume.start());
    expect(started).toMatchObject({ ok: false, error: { kind: 'no-path' } });
    expect(started.ok ? '' : started.error.detail).toMatch(/reserved by another node/);
    expect(reservations.keys).toEqual([FOREIGN]);
    await world.close();
  });

  it('is not taken over later, from whoever was given it after us', async () => {
    const { world, reservations } = build({ mayTakeOver: true, debts });
    await world.start();
    await world.clock.advance(1_000);
    for (const gateway of world.gateways) gateway.kill();
    reservations.takenBy(FOREIGN, stranger);
    for (const gateway of world.gateways) gateway.revive();
    await world.clock.advance(10_000);
    expect(reservations.keys).toEqual([FOREIGN]);
    expect(world.volume.status().state).toBe('failed');
    await world.close();
  });
});

it('a fenced path that was not logged into since keeps the reservation beyond the end', async () => {
  const { world, reservations } = build();
  await world.start();
  await world.clock.advance(1_000);
  world.gateway(0).mode = 'frozen';
  await world.good(world.write(3, 1));
  await world.wrote(3, 2);
  await world.close();
  expect(reservations.holder?.key).toMatch(NODE);
  expect(world.store.disk).toMatchObject({ keptOut: ['p0'], keysLeft: true, mayHoldWrites: [] });
  world.gateway(0).revive();
  await world.clock.advance(5_000);
  expect(world.medium.value(3)).toBe(2);
});

it.each(['detached and staged again', 'killed'])(
  'and so it does when the volume was %s meanwhile: what is kept out is on disk',
  async (how) => {
    const { world, reservations } = build();
    await world.start();
    await world.clock.advance(1_000);
    world.gateway(0).mode = 'frozen';
    await world.good(world.write(3, 1));
    await world.wrote(3, 2);
    if (how === 'killed') world.write(4, 1); // with requests open a close is as good as a crash
    await world.close();
    const { clock, gateways, store, medium } = world;
    const again = { singleNode: true, clock, gateways, store, medium };
    const next = new VolumeWorld(again);
    await next.start();
    await next.wrote(5, 5);
    await next.close();
    expect(reservations.holder?.key).toMatch(NODE);
    expect(store.disk).toMatchObject({ keptOut: ['p0'], keysLeft: true });
    world.gateway(0).revive();
    await clock.advance(5_000);
    expect(medium.value(3)).toBe(2);

    // Logged in again it has nothing any more, and everything is given back.
    const last = new VolumeWorld(again);
    await last.start();
    await clock.advance(5_000);
    await last.close();
    expect([reservations.keys, reservations.holder]).toEqual([[], undefined]);
    expect([store.disk?.keptOut, store.disk?.keysLeft]).toEqual([undefined, undefined]);
  },
);

it('that a path was kept out is no fence for what it leads to now', async () => {
  const { world } = build();
  await world.start();
  await world.clock.advance(1_000);
  world.gateway(0).mode = 'frozen';
  await world.good(world.write(3, 1));
  await world.close();
  const { clock, store, medium } = world;
  // Edited while it was detached: p0 leads to a gateway of its own now, which has no reservations.
  const moved = new Gateway('p0', medium, profile(), { clock, watch: {} });
  const gateways = [moved, world.gateway(1)];
  const next = new VolumeWorld({ singleNode: true, clock, gateways, store, medium });
  await next.start();
  await clock.advance(60_000);
  await next.wrote(1, 1);
  expect(next.current).toBe('p0');
  moved.mode = 'frozen';
  const held = next.write(2, 1);
  await clock.advance(60_000);
  expect([held.answers, next.current]).toEqual([0, undefined]);
  expect(next.event('stuck')[0]).toMatchObject({ what: 'fence' });
  moved.revive();
  await next.good(held);
  await next.close();
});

it('a path that is removed while it is kept out stays out, whoever gets its name', async () => {
  const { world, reservations } = build();
  await world.start();
  await world.clock.advance(1_000);
  world.gateway(0).mode = 'frozen';
  await world.good(world.write(3, 1));
  await world.wrote(3, 2);
  const { paths, policy } = world.volume.wanted;
  const left = paths.filter(({ name }) => name !== 'p0');
  const done = world.volume.reconfigure({ paths: left, policy, pin: '' });
  expect(await world.clock.run(done)).toMatchObject({ ok: true });
  await world.close();
  expect(reservations.holder?.key).toMatch(NODE);
  expect(world.store.disk).toMatchObject({ keptOut: ['p0, removed'], keysLeft: true });
  world.gateway(0).revive();
  await world.clock.advance(5_000);
  expect(world.medium.value(3)).toBe(2);
});

it('a fence that cannot be recorded is none yet: the next detach would let its writes in', async () => {
  const { world } = build();
  await world.start();
  await world.clock.advance(1_000);
  world.gateway(0).mode = 'frozen';
  world.store.failure = { kind: 'no-space', detail: 'the disk is full' };
  const first = world.write(3, 1);
  await world.clock.advance(10_000);
  expect([first.answers, world.current]).toEqual([0, undefined]);
  world.store.failure = undefined;
  await world.good(first);
  expect(world.store.disk?.keptOut).toEqual(['p0']);
  await world.close();
});

it('another node that holds the unit ends the volume, even if it has left us our keys', async () => {
  const { world, reservations } = build();
  await world.start();
  await world.clock.advance(1_000);
  const theirs = { session: stranger, isid: 'another node', key: FOREIGN };
  reservations.registrations.push(theirs);
  reservations.holder = theirs;
  [...world.gateway(0).sessions][0]!.attentions.push({ key: 6, asc: 0x2a, ascq: 5 });
  await world.clock.advance(5_000);
  expect(world.volume.status().state).toBe('failed');
  await world.close();
});

it('after a conflict not one write more goes out until it is known whose the unit is', async () => {
  const { world, reservations } = build();
  await world.start();
  await world.clock.advance(1_000);
  const p0 = world.gateway(0);
  p0.delayMs = ({ cdb }) => (cdb[0] === 0x5e ? 500 : 1);
  reservations.takenBy(FOREIGN, stranger);
  world.write(1, 1);
  await world.clock.advance(20);
  const accept = p0.accept.bind(p0);
  const ops: string[] = [];
  p0.accept = (task) => {
    ops.push(task.what.op);
    accept(task);
  };
  world.write(2, 2);
  await world.clock.advance(100);
  expect(ops).not.toContain('write');
  await world.clock.advance(5_000);
  expect(world.volume.status().state).toBe('failed');
  await world.close();
});

it('an idle path whose key the target has lost registers anew when it hears of it', async () => {
  const { world, reservations } = build();
  await world.start();
  await world.clock.advance(1_000);
  const p1 = [...world.gateway(1).sessions][0]!;
  const lost = reservations.of(p1);
  reservations.registrations = reservations.registrations.filter((one) => one !== lost);
  p1.attentions.push({ key: 6, asc: 0x2a, ascq: 5 });
  await world.clock.advance(10_000);
  expect(reservations.keys).toHaveLength(2);
  expect(world.volume.status()).toMatchObject({ state: 'serving', current: 'p0' });
  await world.close();
});
