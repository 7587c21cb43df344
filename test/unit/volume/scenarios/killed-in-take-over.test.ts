/**
 * A node is killed while it takes a volume over: it has taken the former holder's keys away, and not yet
 * fenced the silent path that one of them was registered for. Whoever comes next finds no such key.
 */
import { expect, it } from 'vitest';
import { carriedDebts } from '../../../../src/volume/debt/debt-addresses.ts';
import type { Debt } from '../../../../src/volume/record/debt.ts';
import { nodePrefix } from '../../../../src/volume/reserve/reservation-key.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import { MemoryStore, VolumeWorld } from '../../../support/model/volume-world.ts';

const A = 'iqn.2026-01.test:a';
const B = 'iqn.2026-01.test:b';
const C = 'iqn.2026-01.test:c';

/** A dies with a write in p0, which is frozen; its claim is all that is known. */
async function deadNode(): Promise<{ a: VolumeWorld; claim: Debt }> {
  const reservations = Object.assign(new FakeReservations(), { owner: 'ports', hasAbort: true });
  const a = new VolumeWorld({ singleNode: true, initiatorName: A, reservations, paths: 3 });
  await a.start();
  await a.clock.advance(1_000);
  for (const gateway of a.gateways) gateway.mode = 'frozen';
  a.write(3, 1);
  await a.clock.advance(1_000);
  await a.close();
  a.gateway(1).revive();
  a.gateway(2).revive();
  const paths = a.volume.options.paths.map(({ name, target, isid }) => {
    return { name, ...target, isid, keptOut: false };
  });
  const sinceUnixMs = a.clock.wallTime().getTime();
  return { a, claim: { node: 'a', sinceUnixMs, allPaths: true, initiatorName: A, paths } };
}

function next(
  { clock, gateways, medium }: VolumeWorld,
  initiatorName: string,
  told: readonly Debt[],
  store = new MemoryStore(clock),
): VolumeWorld {
  const debts = carriedDebts({ record: store.disk, told, historyKnown: true, initiatorName });
  const same = { clock, gateways, medium, store, debts, initiatorName };
  return new VolumeWorld({ ...same, singleNode: true, mayTakeOver: true });
}

/** The former keys are gone; no fence has come to its end. */
async function allTaken({ clock, gateways }: VolumeWorld): Promise<void> {
  const reservations = gateways[1]!.reservations as FakeReservations;
  const isLeft = (key: string): boolean => key.startsWith(nodePrefix(A));
  await clock.until(() => !reservations.keys.some(isLeft), 10_000, 1);
}

it.each([
  ['the same node', B],
  ['another one', C],
])('%s serves after it, and what the silent path brings is refused', async (_, name) => {
  const { a, claim } = await deadNode();
  const b = next(a, B, [claim]);
  void b.volume.start();
  await allTaken(a);
  await b.close();
  // What the PV says by then: the claim as it was, and what pathd says of the attach.
  const told = [claim, ...b.volume.debts];
  const again = next(a, name, told, name === B ? b.store : undefined);
  await again.start();
  await again.wrote(3, 2);
  await again.close();
  a.gateway(0).revive();
  await a.clock.advance(5_000);
  expect(a.medium.value(3)).toBe(2);
});

it('a path whose key was not there is not taken for one that is kept out', async () => {
  const { a, claim } = await deadNode();
  const reservations = a.gateway(1).reservations as FakeReservations;
  reservations.registrations = reservations.registrations.filter(
    ({ isid }) => isid !== claim.paths[0]?.isid,
  );
  reservations.holder = reservations.registrations[0];
  const b = next(a, B, [claim]);
  void b.volume.start();
  await allTaken(a);
  await b.close();
  expect(reservations.holder?.key).toMatch(nodePrefix(B));
  const keptOut = b.volume.debts.flatMap(({ paths }) => paths.filter((path) => path.keptOut));
  expect(keptOut.map(({ name }) => name)).not.toContain('p0');
});
