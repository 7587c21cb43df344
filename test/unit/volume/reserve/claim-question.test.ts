/**
 * Registrations that are gone: a node that has lost the volume must not be the first to register after a
 * target has lost its power, and a claim that is lost ends the volume whatever the target knows.
 */
import { describe, expect, it } from 'vitest';
import { ClaimQuestion } from '../../../../src/volume/reserve/claim-question.ts';
import { isKeyOf } from '../../../../src/volume/reserve/reservation-key.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import { VirtualClock } from '../../../support/model/virtual-clock.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

const A = 'iqn.2026-01.test:a';
const B = 'iqn.2026-01.test:b';

async function serving(options: WorldOptions = {}, owner: 'ports' | 'session' = 'ports') {
  const reservations = Object.assign(new FakeReservations(), { owner });
  const asked = { singleNode: true, claimQuestions: true, initiatorName: A };
  const world = new VolumeWorld({ ...asked, reservations, ...options });
  await world.start();
  await world.clock.advance(1_000);
  return { world, reservations };
}

/** Every portal of the target is dark for a while, and its registrations are gone when it is back. */
async function powerLoss({ clock, gateways }: VolumeWorld, darkMs = 0): Promise<void> {
  for (const gateway of gateways) gateway.kill();
  await clock.advance(darkMs);
  for (const gateway of gateways) gateway.revive();
}

describe.each(['ports', 'session'] as const)('registrations of %s that are gone', (owner) => {
  it('are a question: nothing is registered, reserved or written before the answer', async () => {
    const { world, reservations } = await serving({}, owner);
    await powerLoss(world);
    reservations.log.length = 0;
    const held = world.write(1, 7);
    await world.clock.advance(20_000);
    expect([held.answers, reservations.keys, reservations.log]).toEqual([0, [], []]);
    expect(world.event('claim-questioned')).toHaveLength(1);
    const { state, paths } = world.volume.status();
    expect(state).toBe('holding');
    expect(paths[0]?.lastError?.detail).toMatch(/whether this node is still the owner is asked/);

    const from = world.clock.now();
    world.volume.confirmClaim();
    await world.good(held);
    expect(world.clock.now() - from).toBeLessThan(500);
    await world.clock.advance(5_000);
    expect(new Set(reservations.keys).size).toBe(2);
    expect(isKeyOf(A, reservations.holder?.key ?? '')).toBe(true);
    expect(world.volume.status()).toMatchObject({ state: 'serving', ioErrors: 0 });
    expect(world.violations).toEqual([]);
    await world.close();
  });

  it('are none where nobody answers questions: registered anew at once', async () => {
    const { world, reservations } = await serving({ claimQuestions: false }, owner);
    await powerLoss(world);
    await world.wrote(1, 7);
    expect(world.event('claim-questioned')).toEqual([]);
    expect(isKeyOf(A, reservations.holder?.key ?? '')).toBe(true);
    await world.close();
  });

  it('are a question again after the next loss, and an old answer is none', async () => {
    const { world } = await serving({}, owner);
    world.volume.confirmClaim();
    await powerLoss(world);
    const first = world.write(1, 1);
    await world.clock.advance(3_000);
    expect(first.answers).toBe(0);
    world.volume.confirmClaim();
    await world.good(first);
    await world.clock.advance(11_000);
    await powerLoss(world);
    const second = world.write(1, 2);
    await world.clock.advance(5_000);
    expect([second.answers, world.event('claim-questioned').length]).toEqual([0, 2]);
    await world.clock.run(world.volume.disown('test'));
    await world.close();
  });

  it('are found by the node that has lost the volume first: it does not write its stale page', async () => {
    const { world: a, reservations } = await serving(
      { policy: { 'no-path-timeout': '30m' } },
      owner,
    );
    const { clock, gateways, medium } = a;
    // The network of A is cut, B is given the volume, and A's keys with it.
    const debts = [{ node: 'a', sinceUnixMs: 0, allPaths: false, initiatorName: A, paths: [] }];
    const stale = cut(a, () => a.write(5, 0xa));
    const b = new VolumeWorld({
      ...{ singleNode: true, claimQuestions: true, initiatorName: B, mayTakeOver: true, debts },
      ...{ clock, gateways, medium },
    });
    await b.start();
    await b.clock.advance(1_000);
    await b.wrote(5, 0xb);
    expect(isKeyOf(B, reservations.holder?.key ?? '')).toBe(true);
    for (const gateway of gateways) gateway.kill();
    expect(reservations.keys).toEqual([]);
    // A is back first: B finds no portal for a while.
    mend(a);
    cut(b);
    for (const gateway of gateways) gateway.revive();
    await clock.advance(5_000);
    expect([stale.answers, medium.value(5), reservations.keys]).toEqual([0, 0xb, []]);
    mend(b);
    b.volume.confirmClaim();
    await clock.advance(2_000);
    b.volume.confirmClaim();
    await b.wrote(6, 0xb);
    await clock.advance(2_000);
    // What B has reserved ends A, with or without a word of the cluster.
    expect(a.volume.status().state).toBe('failed');
    expect([stale.error, medium.value(5), medium.value(6)]).toEqual(['EIO', 0xb, 0xb]);
    expect(b.volume.status().state).toBe('serving');
    await a.close();
    await b.close();
  });
});

it('are a question too where the unit alone lost its power, and the sessions have not', async () => {
  const { world, reservations } = await serving();
  // A probe hears of it; a write comes while the keys are looked at.
  let write: ReturnType<VolumeWorld['write']> | undefined;
  reservations.clear();
  for (const gateway of world.gateways) gateway.powerCycle();
  const execute = reservations.execute.bind(reservations);
  reservations.execute = (session, cdb, ...more) => {
    if (cdb[0] === 0x5e) write ??= world.write(1, 7);
    return execute(session, cdb, ...more);
  };
  await world.clock.advance(10_000);
  expect([write?.answers, world.medium.value(1)]).toEqual([0, 0]);
  world.volume.confirmClaim();
  if (write !== undefined) await world.good(write);
  expect(world.medium.value(1)).toBe(7);
  await world.close();
});

describe('what is no question', () => {
  it('a reset of the unit, a path that logs in anew, a fence of our own', async () => {
    const { world } = await serving({ policy: { fencing: 'auto' } });
    const [p0, p1] = [world.gateway(0), world.gateway(1)];
    const current = () => (world.current === 'p0' ? p0 : p1);
    await world.clock.run([...p1.sessions][0]!.resetLogicalUnit(1_000));
    await world.wrote(1, 1);
    for (const session of [...p0.sessions]) session.end({ kind: 'reset', detail: 'cable' });
    await world.wrote(1, 2);
    await world.clock.advance(60_000);
    const frozen = current();
    frozen.mode = 'frozen';
    await world.good(world.write(3, 1));
    expect(world.volume.status().lastSwitch?.fence).toBe('preempt');
    frozen.revive();
    await world.clock.advance(60_000);
    expect(world.event('claim-questioned')).toEqual([]);
    expect(world.volume.status().paths.every(({ up }) => up)).toBe(true);
    await world.close();
  });

  it('a restart of a target that has kept its registrations (APTPL)', async () => {
    const { world, reservations } = await serving();
    reservations.clear = () => undefined;
    await powerLoss(world);
    await world.wrote(1, 7);
    expect(world.event('claim-questioned')).toEqual([]);
    await world.close();
  });

  it('the restart of one of several device servers, where nothing is reserved', async () => {
    const reservations = [new FakeReservations(), new FakeReservations()];
    const { world } = await serving({ reservations, policy: { fencing: 'gone' } });
    world.gateway(0).kill();
    reservations[0]?.clear();
    await world.wrote(1, 1);
    world.gateway(0).revive();
    await world.clock.advance(60_000);
    expect(world.event('claim-questioned')).toEqual([]);
    expect(world.volume.status().paths.every(({ up }) => up)).toBe(true);
    await world.close();
  });

  it('an attach: its caller has just made sure of the claim', async () => {
    const { world } = await serving();
    expect(world.event('claim-questioned')).toEqual([]);
    await world.close();
  });
});

it('without an answer I/O is held for no-path-timeout, and the reason says what it waited for', async () => {
  const { world } = await serving({ policy: { 'no-path-timeout': '20s' } });
  await powerLoss(world);
  const held = world.write(1, 7);
  expect(await world.clock.run(held.done)).toBe('EIO');
  expect(world.volume.status().reason).toMatch(/no-path-timeout.*still the owner is asked/);
  expect(world.medium.value(1)).toBe(0);
  await world.close();
});

describe('a target that says that it can keep registrations over a loss of its power', () => {
  it('is asked to (APTPL), by every REGISTER, and the node goes on without a question', async () => {
    const reservations = Object.assign(new FakeReservations(), { aptpl: 'has' });
    const { world } = await serving({ reservations });
    expect(reservations.persists).toBe(true);
    await powerLoss(world);
    await world.wrote(1, 7);
    expect(world.event('claim-questioned')).toEqual([]);
    await world.close();
    expect([reservations.keys, reservations.holder]).toEqual([[], undefined]);
  });

  it('and then refuses it is registered with all the same', async () => {
    const reservations = Object.assign(new FakeReservations(), { aptpl: 'refuses' });
    const { world } = await serving({ reservations });
    expect([reservations.persists, new Set(reservations.keys).size]).toEqual([false, 2]);
    expect(isKeyOf(A, reservations.holder?.key ?? '')).toBe(true);
    await world.close();
  });
});

describe.each([
  ['with reservations', {}],
  ['without', { reservations: [], policy: { reservation: 'off' } }],
] as const)('a claim that is lost, %s', (_, options) => {
  it('ends the volume at once: nothing more reaches a target', async () => {
    const { world } = await serving(options);
    const under = world.write(1, 1);
    const lost = world.volume.disown('node-b has it');
    const accepted = world.accepted.length;
    const later = world.write(2, 2);
    await world.clock.run(lost);
    expect([await world.clock.run(under.done), await world.clock.run(later.done)]).toEqual([
      'EIO',
      'EIO',
    ]);
    const { state, reason } = world.volume.status();
    expect([state, reason]).toEqual([
      'failed',
      expect.stringMatching(/not the owner of the volume any more: node-b has it/),
    ]);
    world.volume.confirmClaim();
    await world.clock.advance(60_000);
    expect(world.accepted.slice(accepted).map(({ what }) => what.op)).toEqual([]);
    await world.close();
    expect(world.accepted.length).toBe(accepted);
  });
});

it('a lost claim stops a reservation that is being taken', async () => {
  const { world, reservations } = await serving();
  await powerLoss(world);
  await world.clock.advance(3_000);
  reservations.log.length = 0;
  for (const gateway of world.gateways) gateway.logoutDelayMs = 100;
  world.volume.confirmClaim();
  await world.clock.until(() => reservations.log.includes('REGISTER'), 1_000, 1);
  await world.clock.run(world.volume.disown('node-b has it'));
  await world.clock.advance(5_000);
  expect(reservations.log).not.toContain('RESERVE');
  await world.close();
});

describe('the question', () => {
  function build() {
    const clock = new VirtualClock();
    const told: string[] = [];
    const question = new ClaimQuestion({ clock, isAnswered: () => true }, (signal) => {
      if (signal.kind === 'claim-questioned') told.push(`ask ${signal.path}`);
      else told.push(`confirmed ${signal.paths.join()}`);
    });
    return { clock, told, question };
  }

  it('is asked once for all paths, and again every half minute', async () => {
    const { clock, told, question } = build();
    for (const path of ['p0', 'p1', 'p0']) expect(question.mayRegister(path)).toBe(false);
    expect(told).toEqual(['ask p0']);
    await clock.advance(30_000);
    question.mayRegister('p1');
    expect(told).toEqual(['ask p0', 'ask p1']);
  });

  it('is answered for those that wait, for ten seconds and one login each', async () => {
    const { clock, told, question } = build();
    question.mayRegister('p0');
    question.mayRegister('p1');
    question.confirm();
    question.confirm();
    expect(told).toEqual(['ask p0', 'confirmed p0,p1']);
    expect([question.mayRegister('p0'), question.mayRegister('p2')]).toEqual([true, false]);
    question.withdraw('p0');
    expect(question.mayRegister('p0')).toBe(false);
    await clock.advance(10_000);
    expect(question.mayRegister('p1')).toBe(false);
  });
});

/** From here on every portal is silent for this node alone; what it does meanwhile finds nobody. */
function cut<T>(world: VolumeWorld, during?: () => T): T {
  world.initiator.isCut = true;
  for (const gateway of world.gateways) {
    for (const session of [...gateway.sessions]) {
      if (session.initiatorName !== world.volume.options.initiatorName) continue;
      session.end({ kind: 'reset', detail: 'the network is cut' });
    }
  }
  return during?.() as T;
}

function mend(world: VolumeWorld): void {
  world.initiator.isCut = false;
}
