/** Paths that recover together: the I/O goes home once, to the best of them. P22. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModelWorld, policyOf } from '../support/model/model-world.ts';

const GONE_MS = 10_000;
const BACK_MS = 60_000;

interface Recovery {
  readonly policy: Readonly<Record<string, string>>;
  /** How much later than p1 p0 is back; it may be earlier. */
  readonly lagMs: number;
  readonly seed: number;
  /** When p0 dies once more, and for good. */
  readonly diesAtMs?: number;
}

/** p0 and p1 are refused from 10 s on and back at 60 s, about together; p2 carries the I/O meanwhile. */
function recovered({ policy, lagMs, seed, diesAtMs }: Recovery): ModelWorld {
  const dies = diesAtMs === undefined ? [] : [{ atMs: diesAtMs, mode: 'refused' as const }];
  return new ModelWorld({
    seed,
    volumeId: `volume-${seed}`,
    policy: policyOf({ 'probe-interval-down-max': '1s', ...policy }),
    paths: [
      {
        name: 'p0',
        maxWeight: 100,
        phases: [
          { atMs: GONE_MS, mode: 'refused' },
          { atMs: BACK_MS + lagMs, mode: 'up' },
          ...dies,
        ],
      },
      {
        name: 'p1',
        maxWeight: 90,
        phases: [
          { atMs: GONE_MS, mode: 'refused' },
          { atMs: BACK_MS, mode: 'up' },
        ],
      },
      { name: 'p2', maxWeight: 80 },
    ],
  }).run(400_000);
}

const goingHome = (world: ModelWorld) =>
  world.effects('switch').filter(({ how }) => how === 'failback');

describe('paths that recover together', () => {
  it('P22: cost one failback and one token, to the best of them', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<Record<string, string>>(
          { 'failback-jitter': '0' },
          { policy: 'bench' },
          {},
        ),
        fc.integer({ min: -500, max: 500 }),
        fc.nat(),
        (policy, lagMs, seed) => {
          const world = recovered({ policy, lagMs, seed });
          expect(world.violations).toEqual([]);
          expect(goingHome(world).map(({ to }) => to)).toEqual(['p0']);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('nobody waits for a path that dies meanwhile, nor where no dwell is wanted', () => {
    const policy = { 'failback-jitter': '0' };
    let waited = 0;
    for (let seed = 0; seed < 20; seed++) {
      const hasty = recovered({ policy: { ...policy, 'failback-dwell': '0' }, lagMs: 400, seed });
      const [first] = goingHome(hasty);
      const [patient] = goingHome(recovered({ policy, lagMs: 400, seed }));
      if (first?.to !== 'p1' || (patient?.atMs ?? 0) < first.atMs + 100) continue;
      waited++;
      const [left] = goingHome(recovered({ policy, lagMs: 400, seed, diesAtMs: first.atMs + 50 }));
      expect(left?.to).toBe('p1');
      expect(left?.atMs).toBeLessThan(first.atMs + 100);
    }
    expect(waited).toBeGreaterThan(0);
  });
});
