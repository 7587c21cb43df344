/** The judgement of `bench:failover`: what keeps a bound and what does not. */
import { expect, test } from 'vitest';
import {
  allKept,
  type Damage,
  makeRow,
  type Outcome,
  percentile,
  render,
  type Sample,
} from '../../bench/failover-report.ts';

const WHOLE: Damage = { ioErrors: 0, lost: 0, stale: 0, torn: 0 };

function samples(count: number, changes: Partial<Sample> = {}): Sample[] {
  return Array.from({ length: count }, () => ({
    ...{ gapMs: 20, starvedMs: 0, replayed: 1, fence: 'gone' },
    ...changes,
  }));
}

test('a percentile is a value that occurred: nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, n) => 100 - n);
  expect([50, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([50, 99, 100]);
  expect(percentile([7], 99)).toBe(7);
});

test('one gap of a hundred beyond the bound is kept, two are not', () => {
  const long = samples(1, { gapMs: 400 });
  expect(makeRow('kill', [...samples(99), ...long], WHOLE).kept).toBe(true);
  expect(makeRow('kill', [...samples(98), ...long, ...long], WHOLE).kept).toBe(false);
});

test('what the machine took is taken off the gap for the bound, not in the figures', () => {
  const row = makeRow('kill', samples(4, { gapMs: 350, starvedMs: 60 }), WHOLE);
  expect(row).toMatchObject({
    kept: true,
    p99OursMs: 290,
    gapMs: { p50: 350, p99: 350, max: 350 },
  });
});

test.each(['ioErrors', 'lost', 'stale', 'torn'] as const)('one of %s breaks every row', (what) => {
  expect(makeRow('brown-out', samples(4), WHOLE).kept).toBe(true);
  expect(makeRow('brown-out', samples(4), { ...WHOLE, [what]: 1 }).kept).toBe(false);
});

test('a row without events, or with a gap that nobody saw, is not kept', () => {
  expect(makeRow('kill', [], WHOLE).kept).toBe(false);
  expect(makeRow('kill', samples(2, { gapMs: NaN }), WHOLE).kept).toBe(false);
});

test('the fence stands beside every figure, with how often it was used', () => {
  const mixed = [...samples(3), ...samples(1, { fence: 'not-needed', replayed: 0 })];
  const row = makeRow('kill', mixed, WHOLE);
  expect(row).toMatchObject({ events: 4, replayed: 3, fence: 'gone 3, not-needed 1' });
  const outcome: Outcome = {
    ...{ machine: '2 cores', policy: 'bench', fencing: 'gone', volumes: 4, rows: [row] },
    ...{ ours: undefined, peerRows: [], peer: undefined },
  };
  expect(render(outcome)).toContain('gone 3, not-needed 1');
  expect(allKept(outcome)).toBe(true);
});
