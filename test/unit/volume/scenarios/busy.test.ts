/** A target that puts a command off for long: it is told, once, and nothing else is done about it. */
import { expect, it } from 'vitest';
import { busyPauseMs, LONG_BUSY_TRIES } from '../../../../src/volume/io/retries.ts';
import { status } from '../../../support/model/fake-lu.ts';
import { BUSY, CACHED, DispatchBench, good } from '../../../support/model/late-session.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

const TASK_SET_FULL = 0x28;

it('long is half a minute of pauses', () => {
  const pauses = Array.from({ length: LONG_BUSY_TRIES }, (_, tries) => busyPauseMs(tries));
  const total = pauses.reduce((sum, pause) => sum + pause, 0);
  expect(total).toBeGreaterThanOrEqual(30_000);
  expect(total).toBeLessThan(31_000);
});

it.each([
  ['write', 'write 0+512'],
  ['flush', 'flush'],
] as const)(
  'a %s: told when it has waited so long, once, and answered in the end',
  async (kind, name) => {
    const bench = new DispatchBench();
    const { clock, session, heard, answers } = bench;
    bench.release(session, CACHED);
    session.auto = () => BUSY;
    bench.submit(kind);
    await clock.advance(29_000);
    expect(heard).toEqual([]);
    await clock.advance(60_000);
    expect(heard).toEqual([`p0 is busy: ${name}`]);
    session.auto = () => good(512);
    await clock.advance(2_000);
    expect(answers).toEqual([[`${kind} 0`, undefined]]);
  },
);

it('many that are put off together are told of at most once a minute, and the path is kept', async () => {
  const world = new VolumeWorld();
  await world.start();
  world.gateway(0).inject('write', status(TASK_SET_FULL), Infinity);
  const writes = [1, 2, 3, 4].map((lba) => world.write(lba, lba));
  await world.clock.advance(40_000);
  expect(world.event('busy')).toMatchObject([{ path: 'p0', command: 'write 512+512' }]);
  const late = world.write(9, 9);
  await world.clock.advance(60_000);
  expect(world.event('busy')).toHaveLength(1);
  const later = world.write(10, 10);
  await world.clock.advance(31_000);
  expect(world.event('busy').map(({ command }) => command)).toEqual([
    'write 512+512',
    'write 5120+512',
  ]);
  expect(world.event('switched').map(({ report }) => report.to)).toEqual(['p0']);
  expect(await world.value(20)).toBe(0); // reads are answered

  world.gateway(0).injections.length = 0;
  await Promise.all([...writes, late, later].map((io) => world.good(io)));
  expect(await world.value(9)).toBe(9);
  expect(world.violations).toEqual([]);
});
