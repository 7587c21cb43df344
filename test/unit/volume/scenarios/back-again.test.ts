/**
 * A node gets a volume back that it has left with a write unanswered, and another one has kept that path
 * out meanwhile: its key is gone, so that this node can prove nothing by what its own record says.
 */
import { describe, expect, it } from 'vitest';
import { carriedDebts, withoutKeptOut } from '../../../../src/volume/debt/debt-addresses.ts';
import type { Debt } from '../../../../src/volume/record/debt.ts';
import { emptyRecord } from '../../../../src/volume/record/record.ts';
import { profile } from '../../../support/model/fake-lu.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import { Gateway } from '../../../support/model/fake-session.ts';
import {
  MemoryStore,
  VolumeWorld,
  type WorldOptions,
} from '../../../support/model/volume-world.ts';

const A = 'iqn.2026-01.test:a';
const B = 'iqn.2026-01.test:b';
const C = 'iqn.2026-01.test:c';
const at = { host: '10.0.0.0', port: 3260, targetName: 'iqn.t', lun: 1, isid: '800000000000' };
const said = (change: Partial<Debt> = {}, keptOut = true): Debt => ({
  ...{ node: 'a', sinceUnixMs: 0, allPaths: false, initiatorName: A },
  paths: [{ name: 'p0', ...at, keptOut }],
  ...change,
});

/** A process of a node, as pathd makes it of its record and of what the claim says. */
function next(
  before: VolumeWorld,
  initiatorName: string,
  told: readonly Debt[],
  own?: MemoryStore,
  options: WorldOptions = {},
) {
  const { clock, gateways, medium } = before;
  const disk = own?.disk;
  const debts = carriedDebts({ record: disk, told, historyKnown: true, initiatorName });
  const record = disk && withoutKeptOut(disk, { told, initiatorName });
  const store = new MemoryStore(clock, record);
  const same: WorldOptions = { clock, gateways, medium, store, singleNode: true };
  return new VolumeWorld({ ...same, initiatorName, debts, ...options });
}

/** A gives up with a write in p0; B has it kept out, writes over it and detaches. */
async function throughB(is: Pick<FakeReservations, 'owner' | 'hasAbort'>) {
  const reservations = Object.assign(new FakeReservations(), is);
  const policy = { 'no-path-timeout': '10s' };
  const wanted = { singleNode: true, initiatorName: A, reservations, paths: 3, policy };
  const a = new VolumeWorld(wanted);
  await a.start();
  await a.clock.advance(1_000);
  for (const gateway of a.gateways) gateway.mode = 'frozen';
  a.write(3, 1);
  await a.clock.advance(30_000);
  expect(a.volume.status().state).toBe('failed');
  await a.close();
  a.gateway(1).revive();
  a.gateway(2).revive();
  const b = next(a, B, a.volume.debts);
  await b.start();
  await b.wrote(3, 2);
  await b.close();
  return { a, told: b.volume.debts };
}

describe.each([
  ['of ports', { owner: 'ports', hasAbort: true }],
  ['of sessions', { owner: 'session', hasAbort: false }],
] as const)('registrations %s', (_, is) => {
  it('serves though that path is still silent, and what it brings is refused', async () => {
    const { a, told } = await throughB(is);
    const again = next(a, A, told, a.store);
    await again.start();
    await again.wrote(3, 3);
    await again.close();
    expect(again.volume.debts).toContainEqual(expect.objectContaining({ paths: said().paths }));
    const c = next(a, C, again.volume.debts);
    await c.start();
    await c.wrote(4, 4);
    await c.close();
    a.gateway(0).revive();
    await a.clock.advance(5_000);
    expect([a.medium.value(3), a.medium.value(4)]).toEqual([3, 4]);
    expect([...again.violations, ...c.violations]).toEqual([]);
  });

  it('pays it when its portal answers', async () => {
    const { a, told } = await throughB(is);
    const again = next(a, A, told, a.store);
    await again.start();
    await again.wrote(3, 3);
    a.gateway(0).revive();
    await again.clock.advance(60_000);
    expect(again.volume.unpaid).toEqual([]);
    await again.wrote(4, 4);
    await again.close();
    expect(again.volume.debts).toEqual([]);
    expect([a.medium.value(3), a.medium.value(4)]).toEqual([3, 4]);
  });

  it('is held where the reservation that kept it out is gone', async () => {
    const { a, told } = await throughB(is);
    (a.gateway(0).reservations as FakeReservations).clear();
    const again = next(a, A, told, a.store);
    const refused = await again.clock.run(again.volume.start());
    expect(refused).toMatchObject({ ok: false, error: { kind: 'stuck' } });
    await again.close();
  });
});

it('does not leave the path of that name for it, which leads elsewhere by now', async () => {
  const { a, told } = await throughB({ owner: 'session', hasAbort: false });
  const { clock, medium } = a;
  const [old, p1] = [a.gateway(0), a.gateway(1)];
  const p0 = new Gateway('p0', medium, profile(), { clock, watch: { ...old.watch } });
  const gateways = [Object.assign(old, { name: 'x' }), p1, p0];
  const isids = ['', '800000010000', at.isid];
  const reservations = old.reservations as FakeReservations;
  const moved = { gateways, isids, reservations, skip: ['x'], weights: [1, 50, 100] };
  const again = next(a, A, told, a.store, moved);
  await again.start();
  await clock.advance(60_000);
  expect(again.current).toBe('p0');
  await again.wrote(3, 3);
  const { session } = again.accepted.at(-1)!;
  await clock.advance(90_000);
  await again.wrote(3, 4);
  expect(again.accepted.at(-1)!.session).toBe(session);
  await again.close();
  old.revive();
  await clock.advance(5_000);
  expect(medium.value(3)).toBe(4);
});

describe('what the record says of a path counts', () => {
  const { isid, ...target } = at;
  const record = {
    ...emptyRecord('v'),
    mayHoldWrites: ['p0'],
    heldAt: { p0: '10.0.0.0:3260' },
    nexuses: { p0: { ...target, isid } },
  };
  const carried = (...told: Debt[]) => {
    const asked = { told, initiatorName: A };
    const { mayHoldWrites } = withoutKeptOut(record, asked);
    return [mayHoldWrites, carriedDebts({ record, historyKnown: true, ...asked })] as const;
  };

  it('not where all that is told of it is that it is kept out', () => {
    expect(carried(said())).toEqual([[], [said()]]);
  });

  it.each<[string, readonly Debt[]]>([
    ['nothing is told', []],
    ['it is told as held', [said({}, false)]],
    ['it is told as held by an entry beside', [said(), said({ sinceUnixMs: 9 }, false)]],
    ['a claim of this node stands', [said(), said({ allPaths: true, paths: [] })]],
    ['another address is kept out', [said({ paths: [{ ...said().paths[0]!, port: 3261 }] })]],
    ['another session is', [said({ paths: [{ ...said().paths[0]!, isid: '800000090000' }] })]],
  ])('where %s', (_, told) => {
    expect(carried(...told)).toEqual([['p0'], []]);
  });

  it('of another node it says nothing', () => {
    const other = said({ initiatorName: B });
    expect(carried(other)).toEqual([['p0'], [other]]);
  });
});
