/** The brakes of a voluntary switch that no invariant sees: the jitter and the hold-down. */
import { expect, it } from 'vitest';
import { ModelWorld, policyOf } from '../../support/model/model-world.ts';
import { Hand, moves } from './hand.ts';

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

it('a better path that is well and does not grow is waited for twice the dwell at most', () => {
  const hand = Hand.running([100, 90, 80], { policy: 'fast', 'failback-jitter': '0' });
  hand.at(1_000);
  for (const path of ['p0', 'p1']) hand.fail(path);
  hand.feed({ kind: 'switched', path: hand.state.move!.to });
  hand.live(2_500, ['p1', 'p2']);
  // Both are up, p0 with a little less, and from then on nobody hears of p0.
  hand.live(3_000, ['p0', 'p1', 'p2']);
  while (hand.path('p1').weight < 82) hand.live(hand.now + 50, ['p0', 'p1', 'p2']);
  expect(hand.path('p0').weight).toBeLessThan(80);
  let seen: string[] = [];
  const startedAt = hand.now;
  while (seen.length === 0 && hand.now < startedAt + 4_000) {
    seen = moves(hand.live(hand.now + 50, ['p1', 'p2']));
  }
  expect(seen).toEqual(['p2→p1 failback better-path']);
  expect(hand.now - startedAt).toBeGreaterThan(2_000);
  expect(hand.now - startedAt).toBeLessThan(2_600);
});
