/** The example of the README, event by event, in virtual time with the default policy. */
import { describe, expect, it } from 'vitest';
import { view } from '../../../src/paths/controller.ts';
import { ModelWorld } from '../../support/model/model-world.ts';
import type { Phase } from '../../support/model/model-world.ts';

const paths = (p0: readonly Phase[], p1: readonly Phase[] = []) => [
  { name: 'p0', maxWeight: 100, phases: p0 },
  { name: 'p1', maxWeight: 90, phases: p1 },
  { name: 'p2', maxWeight: 80 },
];

const weights = (world: ModelWorld): Record<string, number> =>
  Object.fromEntries(view(world.state).map((path) => [path.name, path.weight]));

describe('three paths of weight 100, 90, 80', () => {
  it('all healthy: the heaviest carries the I/O', () => {
    const world = new ModelWorld({ paths: paths([]) }).run(60_000);
    expect(world.story()).toEqual(['none→p0 failover (first-path)']);
    expect(weights(world)).toEqual({ p0: 100, p1: 90, p2: 80 });
  });

  it('p0 fails: its weight is halved to 50 and p1 takes over at once', () => {
    const world = new ModelWorld({ paths: paths([{ atMs: 10_000, mode: 'refused' }]) });
    world.run(10_000);
    expect(weights(world)).toEqual({ p0: 50, p1: 90, p2: 80 });
    expect(world.story().at(-1)).toBe('p0→p1 failover (connection-reset)');
    world.run(10_005);
    expect(world.switched().at(-1)).toEqual({ atMs: 10_005, path: 'p1' });
  });

  it('while p0 stays down each failed probe halves it again, down to 1 and no further', () => {
    const world = new ModelWorld({ paths: paths([{ atMs: 10_000, mode: 'refused' }]) });
    world.run(60_000);
    const moves = world.moves.filter((move) => move.path === 'p0').map((move) => move.to);
    expect(moves.slice(0, 6)).toEqual([50, 25, 12, 6, 3, 1]);
    expect(weights(world)).toEqual({ p0: 1, p1: 90, p2: 80 });
  });

  it('p0 answers again: its weight creeps up and the volume goes home when it leads by 5', () => {
    const outage: Phase[] = [
      { atMs: 10_000, mode: 'refused' },
      { atMs: 13_000, mode: 'up' },
    ];
    const world = new ModelWorld({ paths: paths(outage) }).run(300_000);
    expect(world.story()).toEqual([
      'none→p0 failover (first-path)',
      'p0→p1 failover (connection-reset)',
      'p1→p0 failback (better-path)',
    ]);
    const home = world.effects('switch').at(-1)!;
    const at95 = world.moves.find((move) => move.path === 'p0' && move.to >= 95)!;
    expect(home.atMs).toBeGreaterThanOrEqual(at95.atMs);
    expect(home.atMs).toBeLessThanOrEqual(at95.atMs + 30_000);
    expect(weights(world)).toEqual({ p0: 100, p1: 90, p2: 80 });
  });

  it('a dead path at 50 does not beat a live one that is at 45', () => {
    const world = new ModelWorld({
      paths: [
        { name: 'p0', maxWeight: 100, phases: [{ atMs: 10_000, mode: 'refused' }] },
        {
          name: 'p1',
          maxWeight: 90,
          phases: [
            { atMs: 8000, mode: 'refused' },
            { atMs: 8500, mode: 'up' },
          ],
        },
      ],
    }).run(10_000);
    expect(weights(world)).toEqual({ p0: 50, p1: 45 });
    world.run(12_000);
    expect(world.story().at(-1)).toBe('p0→p1 failover (connection-reset)');
  });

  it('p0 and p1 gone: p2 serves; p1 back: the volume moves up one step, then home', () => {
    const world = new ModelWorld({
      paths: paths(
        [
          { atMs: 10_000, mode: 'dark' },
          { atMs: 400_000, mode: 'up' },
        ],
        [
          { atMs: 60_000, mode: 'refused' },
          { atMs: 120_000, mode: 'up' },
        ],
      ),
    }).run(700_000);
    expect(world.story()).toEqual([
      'none→p0 failover (first-path)',
      'p0→p1 failover (probe-timeout)',
      'p1→p2 failover (connection-reset)',
      'p2→p1 failback (better-path)',
      'p1→p0 failback (better-path)',
    ]);
  });

  it('notes carry the weights before and after', () => {
    const world = new ModelWorld({ paths: paths([{ atMs: 10_000, mode: 'refused' }]) }).run(10_000);
    const down = world.effects('note').find((note) => note.note === 'path-down');
    expect(down).toMatchObject({ path: 'p0', weightBefore: 100, weightAfter: 50 });
    expect(world.effects('sever').map((effect) => effect.path)).toEqual(['p0']);
  });
});
