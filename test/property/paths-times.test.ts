/** How long things take with the default policy, whatever the moment: P7, P8, P9, P20. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModelWorld, policyOf } from '../support/model/model-world.ts';
import type { Mode, Phase } from '../support/model/model-world.ts';

const SWITCH_MS = 5; // what the world's failover takes
const ANSWER_MS = 11; // slowest answer of a healthy path in the world
const faultMs = fc.integer({ min: 20_000, max: 30_000 });
const runs = { numRuns: 100 };

interface Fault {
  readonly atMs: number;
  readonly mode: Mode;
  readonly load?: boolean;
  readonly untilMs?: number;
  readonly p1?: readonly Phase[];
  readonly seed?: number;
}

function worldWith({ atMs, mode, load, untilMs, p1, seed }: Fault): ModelWorld {
  const back: Phase[] = untilMs === undefined ? [] : [{ atMs: untilMs, mode: 'up' }];
  return new ModelWorld({
    seed: seed ?? 1,
    volumeId: `volume-${seed ?? 1}`,
    load: load ?? false,
    failoverMs: SWITCH_MS,
    paths: [
      { name: 'p0', maxWeight: 100, phases: [{ atMs, mode }, ...back] },
      { name: 'p1', maxWeight: 90, phases: p1 ?? [] },
      { name: 'p2', maxWeight: 80 },
    ],
  });
}

/** From the fault until the I/O runs elsewhere. */
function gapMs(world: ModelWorld, atMs: number, to: string): number {
  const done = world.switched().find((entry) => entry.atMs >= atMs && entry.path === to);
  return (done?.atMs ?? Infinity) - atMs;
}

describe('time to failover with the defaults', () => {
  it('P8: is at most 3.1 s for a silent death without I/O', () => {
    fc.assert(
      fc.property(faultMs, fc.constantFrom<Mode>('dark', 'hung'), fc.nat(), (atMs, mode, seed) => {
        const world = worldWith({ atMs, mode, seed }).run(atMs + 10_000);
        expect(gapMs(world, atMs, 'p1')).toBeLessThanOrEqual(3100 + SWITCH_MS);
      }),
      runs,
    );
  });

  it('P8: is at most 1.5 s while I/O is in flight', () => {
    fc.assert(
      fc.property(faultMs, fc.constantFrom<Mode>('dark', 'hung'), fc.nat(), (atMs, mode, seed) => {
        const world = worldWith({ atMs, mode, seed, load: true }).run(atMs + 10_000);
        expect(gapMs(world, atMs, 'p1')).toBeLessThanOrEqual(1500);
      }),
      // p1 was asked a moment before the suspicion: it is not put behind p2 for that.
      {
        ...runs,
        examples: [
          [20_000, 'hung', 1_807_259_531],
          [20_951, 'hung', 2_147_221_491],
        ],
      },
    );
  });

  it('P8: is no longer than the switch itself after a reset', () => {
    fc.assert(
      fc.property(faultMs, (atMs) => {
        const world = worldWith({ atMs, mode: 'refused' }).run(atMs + 10_000);
        expect(gapMs(world, atMs, 'p1')).toBeLessThanOrEqual(SWITCH_MS);
      }),
      runs,
    );
  });

  it('P8: does not grow when the next best path has died at the same moment (pre-verification)', () => {
    fc.assert(
      fc.property(faultMs, fc.nat(), (atMs, seed) => {
        const world = worldWith({ atMs, mode: 'dark', p1: [{ atMs, mode: 'dark' }], seed });
        world.run(atMs + 10_000);
        expect(gapMs(world, atMs, 'p2')).toBeLessThanOrEqual(3100 + SWITCH_MS);
        expect(world.story().slice(1)).toEqual(['p0→p2 failover (probe-timeout)']);
      }),
      runs,
    );
  });

  it('P8: grows by k deadlines when the path just chosen dies at that moment (re-arming)', () => {
    fc.assert(
      fc.property(faultMs, fc.integer({ min: 0, max: 400 }), (atMs, laterMs) => {
        const p1: Phase[] = [{ atMs: atMs + SWITCH_MS + laterMs, mode: 'dark' }];
        const world = worldWith({ atMs, mode: 'refused', p1 }).run(atMs + 10_000);
        const diedMs = atMs + SWITCH_MS + laterMs;
        expect(gapMs(world, diedMs, 'p2')).toBeLessThanOrEqual(3100 + SWITCH_MS);
      }),
      runs,
    );
  });

  it('P8: a path that becomes current is asked at once', () => {
    fc.assert(
      fc.property(faultMs, fc.nat(), (atMs, seed) => {
        const world = worldWith({ atMs, mode: 'refused', seed }).run(atMs + 500);
        const asked = world.probes.filter((probe) => probe.path === 'p1' && probe.atMs >= atMs);
        expect(asked[0]?.atMs).toBeLessThanOrEqual(atMs + 100);
      }),
      runs,
    );
  });
});

describe('time to failback with the defaults', () => {
  const jitterMs = policyOf().failbackJitterMs;

  it('P9: after a long outage lies between the ramp at its fastest and the bound', () => {
    const outageMs = fc.integer({ min: 60_000, max: 90_000 });
    fc.assert(
      fc.property(outageMs, fc.nat(), (lastsMs, seed) => {
        const untilMs = 20_000 + lastsMs;
        const world = worldWith({ atMs: 20_000, mode: 'dark', untilMs, seed });
        world.run(untilMs + 200_000);
        const back = gapMs(world, untilMs, 'p0');
        // From the floor of 1 to 95 at +2 a probe: 47 probes of 2 s ± 10 %.
        expect(back).toBeGreaterThanOrEqual(46 * 1800);
        // Two good probes (the first may wait for a whole backed-off period), the ramp, the jitter.
        expect(back).toBeLessThanOrEqual(5500 + 1000 + 1100 + 48 * 2200 + jitterMs + 1000);
      }),
      { numRuns: 40 },
    );
  });

  it('P7: an outage of more than seven failed probes leaves the same weight, however long', () => {
    fc.assert(
      fc.property(fc.integer({ min: 40_000, max: 600_000 }), (lastsMs) => {
        const world = worldWith({ atMs: 20_000, mode: 'dark', untilMs: 20_000 + lastsMs });
        world.run(20_000 + lastsMs);
        expect(world.path('p0').weight).toBe(1);
      }),
      { numRuns: 30 },
    );
  });

  it('a planned switch starts no sooner than the dwell after the last one', () => {
    const policy = policyOf({ policy: 'fast', 'failback-dwell': '20s', 'failback-jitter': '0' });
    const world = new ModelWorld({
      policy,
      paths: [
        {
          name: 'p0',
          maxWeight: 100,
          phases: [
            { atMs: 5000, mode: 'refused' },
            { atMs: 5500, mode: 'up' },
          ],
        },
        { name: 'p1', maxWeight: 90 },
      ],
    }).run(60_000);
    expect(gapMs(world, 5000, 'p0')).toBeGreaterThanOrEqual(20_000);
    expect(gapMs(world, 5000, 'p0')).toBeLessThanOrEqual(21_000);
  });
});

describe('all paths down', () => {
  it('P20: the first path to answer is used within a probe period and a retransmission', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 10_000, max: 100_000 }),
        fc.constantFrom('p0', 'p1', 'p2'),
        fc.constantFrom<Mode>('dark', 'refused', 'hung'),
        fc.nat(),
        (lastsMs, first, mode, seed) => {
          const down: Phase = { atMs: 20_000, mode };
          const upMs = 20_000 + lastsMs;
          const world = new ModelWorld({
            seed,
            paths: ['p0', 'p1', 'p2'].map((name, i) => ({
              name,
              maxWeight: 100 - 10 * i,
              phases: name === first ? [down, { atMs: upMs, mode: 'up' }] : [down],
            })),
          }).run(upMs + 5000);
          // READs that hang on every path are slow storage: no path is to blame, nothing is held.
          expect(world.effects('hold').length).toBe(mode === 'hung' ? 0 : 1);
          if (mode === 'hung' && first === 'p0') {
            expect(world.switched()).toHaveLength(1); // never left
            return;
          }
          expect(gapMs(world, upMs, first)).toBeLessThanOrEqual(
            1100 + 1000 + ANSWER_MS + SWITCH_MS,
          );
        },
      ),
      runs,
    );
  });
});
