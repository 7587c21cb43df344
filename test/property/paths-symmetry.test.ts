/** What must not matter: the order of the paths, the origin of time, a restart. P12, P13, P14. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { VolumeId } from '../../src/base/brand.ts';
import { createController, current, step, view } from '../../src/paths/controller.ts';
import { remember } from '../../src/paths/memory.ts';
import { at, ModelWorld, policyOf } from '../support/model/model-world.ts';
import type { Mode, Phase, ScriptedPath } from '../support/model/model-world.ts';

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
        const policy = policyOf();
        let state = createController(
          {
            volumeId: 'volume' as VolumeId,
            policy: () => policy,
            paths: list.map((path) => ({ ...path, drained: false })),
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

  it('P13: a restart keeps path, weights, levels and tokens, and switches nowhere', () => {
    // Half of them at a time from which the better path has its weight back, and not yet the I/O.
    const moment = fc.oneof(fc.nat(300_000), fc.integer({ min: 207_000, max: 235_000 }));
    const downs = fc.array(
      fc.record({ path: fc.constantFrom('p0', 'p0', 'p1', 'p2'), atMs: moment }),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(downs, fc.nat(20_000), fc.nat(), (faults, awayMs, seed) => {
        const scripted = ['p0', 'p1', 'p2'].map((one, i) => ({
          name: one,
          maxWeight: 100 - 10 * i,
          phases: faults
            .filter(({ path }) => path === one)
            .sort((a, b) => a.atMs - b.atMs)
            .flatMap(({ atMs }): Phase[] => [
              { atMs, mode: 'refused' },
              { atMs: atMs + 4000, mode: 'up' },
            ]),
        }));
        const before = new ModelWorld({ paths: scripted, seed }).run(320_000);
        const memory = remember(before.state, at(320_000));
        const quiet = scripted.map((path) => ({ ...path, phases: [] }));
        const resume = { memory, ageMs: awayMs };
        const after = new ModelWorld({ paths: quiet, seed, resume }).run(90);
        expect(current(after.state)).toBe(current(before.state));
        expect(after.story().length).toBe(1);
        const known = (world: ModelWorld): unknown =>
          world.state.paths.map(({ name: one, weight, downs: level }) => [one, weight, level]);
        expect(known(after)).toEqual(known(before));
        const earned = after.state.tokens.tokens - memory.tokens;
        // One in half an hour, also of the time before the restart.
        const due = Math.floor((memory.tokensAgeMs + awayMs + 90) / 1_800_000);
        expect(earned).toBe(memory.tokens === policyOf().failbackTokens ? 0 : due);
        // And it goes on as it would have: what was held down still is, to the same moment.
        for (const path of after.state.paths) {
          const left = memory.paths.get(path.name)!.holdDownLeftMs - awayMs;
          expect(path.holdDownUntil).toBe(left > 0 ? left : undefined);
        }
      }),
      // Away from home, and with a token spent on the way back, for sure: few random ones are.
      {
        numRuns: 50,
        examples: [
          [[{ path: 'p0', atMs: 220_000 }], 1_000, 1],
          [[{ path: 'p0', atMs: 10_000 }], 1_000, 1],
        ],
      },
    );
  });

  it('P13: what is older than the time after which a path is forgiven counts for nothing', () => {
    const downPath = { weight: 3, maxWeight: 100, downs: 4, downsAgeMs: 0, holdDownLeftMs: 80_000 };
    const memory = {
      current: 'p1',
      paths: new Map([['p0', downPath]]),
      tokens: 0,
      tokensAgeMs: 0,
    };
    const scripted = [100, 90].map((maxWeight, i) => ({ name: `p${i}`, maxWeight }));
    const started = (ageMs: number): ModelWorld =>
      new ModelWorld({ paths: scripted, resume: { memory, ageMs } }).run(90);
    expect(current(started(1_800_000).state)).toBe('p1');
    for (const ageMs of [1_800_001, -1]) {
      const { state } = started(ageMs);
      expect(current(state)).toBe('p0');
      expect(view(state).map(({ weight }) => weight)).toEqual([100, 90]);
      expect(state.tokens.tokens).toBe(2);
    }
  });
});
