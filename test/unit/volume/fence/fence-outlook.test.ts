/** Whether a silent path could be fenced: found out at the start, told when it becomes known. */
import { describe, expect, it } from 'vitest';
import { fenceOutlook, type OutlookQuestion } from '../../../../src/volume/fence/fence-outlook.ts';
import { FakeReservations } from '../../../support/model/fake-reservations.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

const UNDECLARED = { gone: false, delayMs: undefined, none: false };

describe('the outlook', () => {
  const ask = (question: Partial<OutlookQuestion>): string =>
    fenceOutlook({
      policy: UNDECLARED,
      paths: ['p0', 'p1'],
      members: [],
      apart: [],
      ...question,
    }).kind;

  it.each([
    ['one path has nowhere to go', { paths: ['p0'] }, 'covered'],
    [
      'gone is declared',
      { policy: { ...UNDECLARED, gone: true }, apart: [['p0', 'p1']] },
      'covered',
    ],
    ['delay is declared', { policy: { ...UNDECLARED, delayMs: 1 } }, 'covered'],
    ['none is asked for', { policy: { ...UNDECLARED, none: true } }, 'covered'],
    ['all share a reserved device server', { members: ['p1', 'p0'] }, 'covered'],
    ['one of them does not', { members: ['p0'] }, 'unproved'],
    ['nothing is known', {}, 'unproved'],
    ['they are apart', { apart: [['p0', 'p1']] }, 'apart'],
    ['a path that was removed is apart', { apart: [['p0', 'p7']] }, 'unproved'],
  ] as const)('%s: %s', (_, question, kind) => {
    expect(ask(question)).toBe(kind);
  });
});

describe('a volume', () => {
  async function started(options: WorldOptions, prepare?: (world: VolumeWorld) => void) {
    const world = new VolumeWorld({ singleNode: true, ...options });
    prepare?.(world);
    await world.start();
    await world.clock.advance(500);
    const told = (): string[] => world.event('fence-undeclared').map(({ detail }) => detail);
    return { world, told };
  }
  const apart = () => [new FakeReservations(), new FakeReservations()];

  it('whose paths lead to device servers of their own says which line to add', async () => {
    const { world, told } = await started({ reservations: apart() });
    expect(world.volume.fenceOutlook.kind).toBe('apart');
    expect(told()).toHaveLength(1);
    expect(told()[0]).toMatch(
      /p0 and p1 lead to device servers.*prioritypath\.io\/fencing.*"gone"/,
    );
    await world.close();
  });

  it('says nothing where the operator has declared, or one device server serves all', async () => {
    const declared = await started({ reservations: apart(), policy: { fencing: 'gone' } });
    const shared = await started({ reservations: new FakeReservations() });
    for (const { world, told } of [declared, shared]) {
      expect([world.volume.fenceOutlook.kind, told()]).toEqual(['covered', []]);
      await world.close();
    }
  });

  it('with a path that is down warns, and looks again when it comes up: it shares', async () => {
    const one = { reservations: new FakeReservations() };
    const { world, told } = await started(one, (it) => it.gateway(1).kill());
    expect(told()).toHaveLength(1);
    expect(world.volume.fenceOutlook.kind).toBe('unproved');
    world.gateway(1).revive();
    await world.clock.advance(10_000);
    expect([world.volume.fenceOutlook.kind, told().length]).toEqual(['covered', 1]);
    await world.close();
  });

  it('… or it is apart: that is told, and the volume serves on', async () => {
    const { world, told } = await started({ reservations: apart() }, (it) => it.gateway(1).kill());
    expect(told()).toHaveLength(1);
    world.gateway(1).revive();
    await world.clock.advance(10_000);
    expect(told()).toHaveLength(2);
    expect(world.volume.fenceOutlook.kind).toBe('apart');
    await world.wrote(1, 1);
    await world.close();
  });

  it('hears of a declaration that was taken back', async () => {
    const declared = { reservations: apart(), policy: { fencing: 'gone' } };
    const { world, told } = await started(declared);
    const { paths, policy } = world.volume.wanted;
    const fencing = { gone: false, delayMs: undefined, none: false };
    await world.clock.run(
      world.volume.reconfigure({ paths, policy: { ...policy, fencing }, pin: '' }),
    );
    expect(told()).toHaveLength(1);
    await world.close();
  });
});
