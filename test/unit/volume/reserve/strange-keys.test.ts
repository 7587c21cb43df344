/**
 * Whose are keys that begin like ours? Two nodes whose names have one hash, or one name, must neither take
 * each other's keys away nor go unnoticed; what this node has left itself must not lock it out.
 */
import { describe, expect, it } from 'vitest';
import { formatPortal } from '../../../../src/protocol/iscsi/address.ts';
import {
  formerNodePrefix,
  formerPathPrefix,
  isKeyOf,
  namesPath,
  nodePrefix,
  pathPrefix,
} from '../../../../src/volume/reserve/reservation-key.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import type { FakeSession } from '../../../support/model/fake-session.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

/** Two names of equal 32-bit hash, which was all that keys of the former layout had. */
const A = 'iqn.2026-01.io.prioritypath:297254c2d048';
const B = 'iqn.2026-01.io.prioritypath:1fdca13ad6b8';
const P0 = '800000000000';
/** How the first key of p0 begins in the worlds below. */
const NODE = 'iqn.2026-01.test:n';

function build(options: WorldOptions = {}, tells = false) {
  const reservations = Object.assign(new FakeReservations(), { tellsRegistrants: tells });
  const world = new VolumeWorld({ singleNode: true, reservations, ...options });
  return { world, reservations };
}

/** Somebody holds the unit by this key. */
function taken(reservations: FakeReservations, key: string, initiatorName = 'iqn.other:x'): void {
  const gateway = { tasks: new Set(), mode: 'up' };
  const session = { isid: P0, initiatorName, attentions: [], gateway } as unknown as FakeSession;
  reservations.registrations = [{ session, isid: P0, key }];
  reservations.holder = reservations.registrations[0];
}

async function refusal({ volume, clock }: VolumeWorld): Promise<string> {
  const started = await clock.run(volume.start());
  return started.ok ? '' : started.error.detail;
}

describe('keys of two nodes', () => {
  it('differ where 32 bits of hash do not', () => {
    expect(formerNodePrefix(A)).toBe(formerNodePrefix(B));
    expect(nodePrefix(A)).not.toBe(nodePrefix(B));
    expect(pathPrefix(A, P0)).toHaveLength(14);
    expect(isKeyOf(A, `${pathPrefix(B, P0)}01`)).toBe(false);
    expect(isKeyOf(A, `${formerPathPrefix(A, P0)}01`)).toBe(true);
  });

  it('do not meet among a hundred thousand names', () => {
    const names = Array.from({ length: 100_000 }, (_, i) => `iqn.2026-01.io.prioritypath:n${i}`);
    expect(new Set(names.map(nodePrefix)).size).toBe(names.length);
  });

  it('name the path, in both layouts', () => {
    const isid = '800102030000';
    expect(namesPath(`${pathPrefix(A, isid)}07`, isid)).toBe(true);
    expect(namesPath(`${formerPathPrefix(A, isid)}07`, isid)).toBe(true);
    expect(namesPath(`${pathPrefix(A, isid)}07`, '800102040000')).toBe(false);
  });

  it('of equal former hash are told apart: the second node is refused, the first one serves on', async () => {
    const { world: a, reservations } = build({ initiatorName: A });
    await a.start();
    await a.clock.advance(1_000);
    const { clock, gateways, medium } = a;
    const b = new VolumeWorld({ singleNode: true, clock, gateways, medium, initiatorName: B });
    expect(await refusal(b)).toMatch(/reserved by another node/);
    await a.wrote(1, 1);
    expect(isKeyOf(A, reservations.holder?.key ?? '')).toBe(true);
    expect(a.volume.status().state).toBe('serving');
    await b.close();
    await a.close();
  });
});

describe('a key that begins like ours', () => {
  const KEY = `${pathPrefix(NODE, P0)}01`;

  it.each([
    ['the target names who has registered it', true, /was registered by iqn.other:x.*another Init/],
    ['the record says that this node has left none', false, /which has left none there.*remove/],
  ])('is another node’s where %s', async (_, tells, text) => {
    const { world, reservations } = build({}, tells);
    taken(reservations, KEY);
    expect(await refusal(world)).toMatch(text);
    expect(reservations.keys).toEqual([KEY]);
    await world.close();
    expect(reservations.keys).toEqual([KEY]);
  });

  it('is refused on a volume of several nodes too, for a login would take it away', async () => {
    const { world, reservations } = build({ singleNode: false }, true);
    taken(reservations, KEY);
    expect(await refusal(world)).toMatch(/was registered by iqn.other:x/);
    expect(reservations.keys).toEqual([KEY]);
    await world.close();
  });

  it.each([
    ['the target says so', true, {}],
    ['the record says that some may be left', false, { keysLeft: true, keyLayout: 2 }],
    ['the process before was killed', false, { mayHoldWrites: ['p0'], keyLayout: 2 }],
  ] as const)('is ours where %s', async (_, tells, record) => {
    const heldAt = { p0: formatPortal({ host: '10.0.0.0', port: 3260 }) };
    const { world, reservations } = build({ record: { heldAt, ...record } }, tells);
    taken(reservations, KEY, NODE);
    await world.start();
    await world.wrote(1, 1);
    await world.clock.advance(1_000);
    expect(reservations.keys).not.toContain(KEY);
    await world.close();
    expect([reservations.keys, reservations.holder]).toEqual([[], undefined]);
  });

  it('is ours where another volume of this node has the path that it names', async () => {
    const { world, reservations } = build({ otherIsids: () => ['800000550000'] });
    const other = `${pathPrefix(NODE, '800000550000')}01`;
    taken(reservations, other);
    await world.start();
    await world.close();
  });

  it('that comes later ends the volume, if its node has taken ours away', async () => {
    const { world, reservations } = build({}, true);
    await world.start();
    await world.clock.advance(1_000);
    taken(reservations, `${pathPrefix(NODE, P0)}77`);
    const late = world.write(1, 9);
    expect(await world.clock.run(late.done)).toBe('EIO');
    expect(world.volume.status().reason).toMatch(/was registered by iqn.other:x/);
    expect(world.medium.value(1)).toBe(0);
    await world.close();
  });
});

describe('keys of the former layout', () => {
  const FORMER = `${formerPathPrefix(NODE, P0)}01`;

  it('that a version before an upgrade has left are taken away, and it is the last time they count', async () => {
    const { world, reservations } = build({ record: { keysLeft: true } });
    taken(reservations, FORMER);
    await world.start();
    await world.clock.advance(1_000);
    expect(reservations.keys).not.toContain(FORMER);
    expect(reservations.holder?.key).toMatch(nodePrefix(NODE));
    expect(world.store.disk?.keyLayout).toBeUndefined();
    await world.close();
    const { clock, gateways, medium, store } = world;
    const next = new VolumeWorld({ singleNode: true, clock, gateways, medium, store });
    await next.start();
    expect(store.disk).toMatchObject({ keysLeft: true, keyLayout: 2 });
    await next.close();
  });

  it('of a node of equal hash are another node’s, once this one has left none', async () => {
    const { world, reservations } = build();
    taken(reservations, FORMER);
    expect(await refusal(world)).toMatch(/reserved by another node/);
    expect(reservations.keys).toEqual([FORMER]);
    await world.close();
  });

  it('fence a path that a version before an upgrade has left frozen', async () => {
    const { world, reservations } = build();
    await world.start();
    await world.clock.advance(1_000);
    world.gateway(0).mode = 'frozen';
    world.write(2, 1);
    world.write(3, 1);
    await world.clock.advance(10);
    await world.close();
    // As the version before has registered it.
    const p0 = reservations.registrations.find(({ isid }) => isid === P0);
    if (p0 !== undefined) p0.key = FORMER;
    const { clock, gateways, medium, store } = world;
    if (store.disk !== undefined)
      store.disk = { ...store.disk, keyLayout: undefined, heldKeys: undefined };
    const next = new VolumeWorld({ singleNode: true, clock, gateways, medium, store });
    await next.start();
    await next.wrote(3, 2);
    expect(reservations.keys).not.toContain(FORMER);
    next.gateway(0).revive();
    await clock.advance(20_000);
    expect(medium.value(3)).toBe(2);
    await next.close();
  });
});

it('that there may be keys is on disk before the first one is registered, or none is', async () => {
  const { world, reservations } = build();
  world.store.failure = { kind: 'no-space', detail: 'the disk is full' };
  expect(await refusal(world)).toMatch(/keys must be on record first: the disk is full/);
  expect(reservations.log).toEqual([]);
  await world.close();
});
