/** The brakes of a voluntary switch that no invariant sees: the jitter and the hold-down. */
import { expect, it } from 'vitest';
import { ModelWorld, policyOf } from '../../support/model-world.ts';

/** When a volume goes home whose p0 was gone from 10.0 s to 10.5 s and recovers in one step. */
function homeMs(values: Record<string, string>, volumeId = 'volume'): number {
  const world = new ModelWorld({
    volumeId,
    policy: policyOf({ 'weight-step': '100', 'failback-dwell': '0', ...values }),
    paths: [
      {
        name: 'p0',
        maxWeight: 100,
        phases: [
          { atMs: 10_000, mode: 'refused' },
          { atMs: 10_500, mode: 'up' },
        ],
      },
      { name: 'p1', maxWeight: 90 },
    ],
  }).run(100_000);
  return world.effects('switch').find((effect) => effect.how === 'failback')?.atMs ?? Infinity;
}

it('volumes that lost the same path go home spread over the jitter', () => {
  const times = Array.from({ length: 30 }, (_, i) => homeMs({ 'hold-down': '0' }, `pvc-${i}`));
  expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(20_000);
  expect(Math.max(...times)).toBeLessThan(10_500 + 5000 + 30_000);
});

it('a path in hold-down is not preferred, however heavy', () => {
  const free = homeMs({ 'hold-down': '0', 'failback-jitter': '0' });
  const heldDown = homeMs({ 'hold-down': '60s', 'failback-jitter': '0' });
  expect(free).toBeLessThan(16_000);
  expect(heldDown).toBeGreaterThanOrEqual(70_500);
  expect(heldDown).toBeLessThan(74_000);
});
