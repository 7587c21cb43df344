/**
 * Invariants of the controller for any failure trace: P1-P6, P10, P11, P18, P19 of the list in
 * README.md. Some the world checks at every step (test/support/model/model-world-checks.ts), the bounds on
 * counts are checked here.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModelWorld, policyOf } from '../support/model/model-world.ts';
import type { Mode, Phase, ScriptedPath } from '../support/model/model-world.ts';

const modes: fc.Arbitrary<Mode> = fc.constantFrom(
  'up',
  'up',
  'up',
  'dark',
  'refused',
  'hung',
  'slow',
  'impostor',
);

/** Phases of 50 ms to two minutes, so that both flaps and outages occur. */
const phases: fc.Arbitrary<Phase[]> = fc
  .array(fc.record({ mode: modes, forMs: fc.oneof(fc.nat(3000), fc.nat(120_000)) }), {
    maxLength: 12,
  })
  .map((list) => {
    let atMs = 0;
    return list.map(({ mode, forMs }) => ({ mode, atMs: (atMs += forMs + 50) }));
  });

const paths: fc.Arbitrary<ScriptedPath[]> = fc
  .array(
    fc.record({
      maxWeight: fc.constantFrom(100, 90, 80),
      phases,
      drained: fc.constantFrom(false, false, true),
    }),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((list) => list.map((path, i) => ({ ...path, name: `p${i}` })));

const worlds = fc.record({
  paths,
  seed: fc.nat(),
  loss: fc.constantFrom(0, 0.01, 0.1, 0.5),
  repeat: fc.constantFrom(0, 0.1),
  abandon: fc.constantFrom(0, 0.3),
  load: fc.boolean(),
  failoverMs: fc.constantFrom(0, 5, 2500),
  plannedMs: fc.constantFrom(0, 20, 1500),
});
const sets: fc.Arbitrary<Record<string, string>> = fc.constantFrom(
  { policy: 'default' },
  { policy: 'fast' },
  { policy: 'bench' },
  // Nothing but the lead holds a failback back.
  { policy: 'fast', 'failback-jitter': '0', 'failback-dwell': '0', 'failback-tokens': '1000' },
);
const fewer = { numRuns: 40 };
/** A failover and a failback for sure, which few random worlds see. */
const outage: Phase[] = [
  { atMs: 5_000, mode: 'refused' },
  { atMs: 9_000, mode: 'up' },
];
const oneOutage = {
  paths: [
    { name: 'p0', maxWeight: 100, drained: false, phases: outage },
    { name: 'p1', maxWeight: 90, drained: false, phases: [] },
  ] as ScriptedPath[],
  ...({ seed: 1, loss: 0, repeat: 0, abandon: 0 } as const),
  ...({ load: true, failoverMs: 5, plannedMs: 20 } as const),
};
/** A path is slow, and judged to be in the moment after a good probe has raised it. */
const slowWhileItGrows = {
  ...oneOutage,
  ...({ seed: 0, loss: 0.01, load: false, failoverMs: 0, plannedMs: 0 } as const),
  paths: [
    { name: 'p0', maxWeight: 100, drained: true, phases: [] },
    {
      ...{ name: 'p1', maxWeight: 100, drained: false },
      phases: [
        { atMs: 7_776, mode: 'slow' },
        { atMs: 82_557, mode: 'up' },
      ],
    },
  ] as ScriptedPath[],
};
const minutes = 60_000;

/** Invariants of every step, by how their violations begin. */
const STEPS = [
  ['P1', 'the I/O is on a usable path, or on its way to one, whenever there is one'],
  ['P2', 'a path that is banned, unverified or down is never chosen; a banned one is never asked'],
  ['P5', 'a failback has the lead that it needs'],
  ['P6', 'a weight grows by one step of a good probe, falls by one half, and stays in its range'],
  ['P18', 'two probes of a path are never closer than the gap'],
  ['P19', 'hold-down, drain and doubt never leave a volume without I/O while a path is up'],
] as const;

const invariants = fc.record({ options: worlds, policy: sets });

describe('at every step of any failure trace', () => {
  it.each(STEPS)('%s: %s', (label) => {
    // A lead that is too small is seen only where nothing else delays the failback.
    const numRuns = label === 'P5' ? 150 : 25;
    const broken = (text: string): boolean => text.startsWith(`${label}:`);
    fc.assert(
      fc.property(invariants, ({ options, policy }) => {
        const world = new ModelWorld({ ...options, policy: policyOf(policy) });
        expect(world.run(4 * minutes).violations.filter(broken)).toEqual([]);
      }),
      { numRuns },
    );
  });

  it('P11: answers that are repeated or late change nothing', () => {
    fc.assert(
      fc.property(invariants, ({ options, policy }) => {
        const world = new ModelWorld({ ...options, repeat: 0.3, policy: policyOf(policy) });
        const broken = world.run(3 * minutes).violations.filter((text) => text.startsWith('P11:'));
        expect(broken).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  it('nothing else is wrong either', () => {
    fc.assert(
      fc.property(invariants, ({ options, policy }) => {
        const world = new ModelWorld({ ...options, policy: policyOf(policy) });
        expect(world.run(6 * minutes).violations).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });
});

describe('for any failure trace', () => {
  it('P3: voluntary switches in any window are bounded by tokens and time', () => {
    const flaps = fc.record({
      upMs: fc.integer({ min: 20_000, max: 200_000 }),
      downMs: fc.integer({ min: 100, max: 8000 }),
    });
    fc.assert(
      fc.property(flaps, fc.nat(), ({ upMs, downMs }, seed) => {
        const policy = policyOf({
          'failback-jitter': '0',
          'failback-token-interval': '10m',
          'hold-down': '0',
          'weight-step': '10',
        });
        const flapping: Phase[] = [];
        for (let atMs = upMs; atMs < 60 * minutes; atMs += upMs + downMs) {
          flapping.push({ atMs, mode: 'refused' }, { atMs: atMs + downMs, mode: 'up' });
        }
        const world = new ModelWorld({
          policy,
          seed,
          paths: [
            { name: 'p0', maxWeight: 100, phases: flapping },
            { name: 'p1', maxWeight: 90 },
          ],
        }).run(60 * minutes);
        const failbacks = world.effects('switch').filter((effect) => effect.how === 'failback');
        for (const [i, first] of failbacks.entries()) {
          for (const [j, last] of failbacks.slice(i).entries()) {
            const bound = 2 + Math.ceil((last.atMs - first.atMs) / (10 * minutes));
            expect(j + 1).toBeLessThanOrEqual(bound);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('P4: there are no more failovers than deaths of the path that was to carry the I/O', () => {
    fc.assert(
      fc.property(worlds, sets, (options, policy) => {
        const world = new ModelWorld({ ...options, policy: policyOf(policy) });
        world.run(5 * minutes);
        const failovers = world
          .effects('switch')
          .filter((effect) => effect.how === 'failover' && effect.cause.kind !== 'first-path');
        const downs = world.effects('note').filter((effect) => effect.note === 'path-down').length;
        // A ban is a death too.
        const banned = options.paths.filter(({ name }) => {
          return world.path(name).identity.kind === 'banned';
        }).length;
        expect(failovers.length).toBeLessThanOrEqual(downs + banned);
        // Counting alone lets a failback pass for the failover of one of many deaths.
        expect(failovers.map(({ cause }) => cause.kind)).not.toContain('better-path');
      }),
      { ...fewer, examples: [[oneOutage, { policy: 'fast' }]] },
    );
  });

  it('a weight moves at most once per probe period, unless the path is declared down', () => {
    fc.assert(
      fc.property(worlds, (options) => {
        const world = new ModelWorld(options).run(5 * minutes);
        const last = new Map<string, number>();
        for (const move of world.moves) {
          const since = move.atMs - (last.get(move.path) ?? -Infinity);
          if (!move.declared) expect(since).toBeGreaterThanOrEqual(900);
          last.set(move.path, move.atMs);
        }
      }),
      { ...fewer, examples: [[slowWhileItGrows]] },
    );
  });

  it('P18: a path is probed once per period, and once more per failure or switch', () => {
    fc.assert(
      fc.property(worlds, (options) => {
        const endMs = 5 * minutes;
        const world = new ModelWorld(options).run(endMs);
        const count = (kind: 'note' | 'switch' | 'hold' | 'sever'): number =>
          world.effects(kind).length;
        const switched = world.switched().length;
        const extra = count('note') + count('switch') + count('hold') + world.doubts + switched;
        for (const path of options.paths) {
          const sent = world.probes.filter((probe) => probe.path === path.name).length;
          expect(sent).toBeLessThanOrEqual(1 + endMs / 900 + extra);
        }
      }),
      fewer,
    );
  });

  it('P10: single lost probes, however many, switch nothing and cost no weight', () => {
    const lostAt = fc.uniqueArray(fc.integer({ min: 2, max: 200 }), {
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(lostAt, fc.constantFrom('p0', 'p1', 'p2'), (numbers, victim) => {
        const single = numbers.filter((n) => !numbers.includes(n - 1));
        const world = new ModelWorld({
          paths: [100, 90, 80].map((maxWeight, i) => ({ name: `p${i}`, maxWeight })),
          lose: (path, nth) => path === victim && single.includes(nth),
        }).run(5 * minutes);
        expect(world.story()).toEqual(['none→p0 failover (first-path)']);
        expect(world.moves).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });

  it('P5: equal weights never cause a voluntary switch', () => {
    const same = paths.map((list) =>
      list.map((path) => ({ ...path, maxWeight: 90, drained: false })),
    );
    fc.assert(
      fc.property(same, fc.nat(), (equal, seed) => {
        const quiet = equal.map((path) => ({ ...path, phases: [] }));
        const world = new ModelWorld({ paths: quiet, seed, loss: 0.02 }).run(10 * minutes);
        expect(world.effects('switch').filter((effect) => effect.how !== 'failover')).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });
});
