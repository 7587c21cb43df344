/** What must not matter: the order of the paths, the origin of time, a restart. P12, P13, P14. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { VolumeId } from '../../src/base/brand.ts';
import { createController, current, step, view } from '../../src/paths/controller.ts';
import { at, ModelWorld, name, policyOf } from '../support/model-world.ts';
import type { Mode, ScriptedPath } from '../support/model-world.ts';

const modes: fc.Arbitrary<Mode> = fc.constantFrom('up', 'dark', 'refused', 'hung', 'slow');
const paths: fc.Arbitrary<ScriptedPath[]> = fc
  .array(fc.array(fc.record({ mode: modes, atMs: fc.nat(300_000) }), { maxLength: 8 }), {
    minLength: 2,
    maxLength: 4,
  })
  .map((list) =>
    list.map((phases, i) => ({
      name: `p${i}`,
      maxWeight: [100, 90, 80, 90][i]!,
      phases: phases.sort((a, b) => a.atMs - b.atMs),
    })),
  );

describe('symmetry', () => {
  it('P12: the order in which paths are configured does not matter', () => {
    fc.assert(
      fc.property(paths, fc.nat(), fc.boolean(), (list, seed, load) => {
        const loss = 0.05;
        const one = new ModelWorld({ paths: list, seed, loss, load }).run(300_000);
        const two = new ModelWorld({ paths: [...list].reverse(), seed, loss, load }).run(300_000);
        expect(two.effects('switch')).toEqual(one.effects('switch'));
        expect([...view(two.state)].reverse()).toEqual(view(one.state));
      }),
      { numRuns: 60 },
    );
  });

  it('P14: only differences of time matter; and a run can be repeated from its events', () => {
    fc.assert(
      fc.property(paths, fc.nat(), fc.integer({ min: 1, max: 1e12 }), (list, seed, shiftMs) => {
        const world = new ModelWorld({ paths: list, seed, loss: 0.05 }).run(100_000);
        let state = createController(
          {
            volumeId: 'volume' as VolumeId,
            policy: policyOf(),
            paths: list.map((path) => ({ ...path, name: name(path.name), drained: false })),
          },
          at(shiftMs),
        );
        const effects = world.script.flatMap(({ atMs, event }) => {
          const next = step(state, event, at(atMs + shiftMs));
          state = next.state;
          return next.effects;
        });
        expect(effects).toEqual(
          world.log.flatMap((entry) => ('effect' in entry ? [entry.effect] : [])),
        );
      }),
      { numRuns: 40 },
    );
  });

  it('P13: a restart keeps path and weights, and switches nowhere', () => {
    const weight = fc.integer({ min: 1, max: 80 });
    const inUse = fc.constantFrom('p0', 'p1', 'p2');
    fc.assert(
      fc.property(fc.array(weight, { minLength: 3, maxLength: 3 }), inUse, (weights, used) => {
        const names = ['p0', 'p1', 'p2'];
        const world = new ModelWorld({
          paths: names.map((one, i) => ({ name: one, maxWeight: 100 - 10 * i })),
          resume: {
            current: name(used),
            weights: new Map(names.map((one, i) => [name(one), weights[i]!])),
          },
        });
        world.run(90);
        expect(current(world.state)).toBe(used);
        expect(view(world.state).map((path) => path.weight)).toEqual(weights);
        expect(world.story().length).toBe(1);
      }),
      { numRuns: 50 },
    );
  });
});
