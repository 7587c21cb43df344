/** Goals beside figures: a table without consequences. */
import { expect, it } from 'vitest';
import { type Goal, goalLines, isMet, lowest } from '../../bench/goals.ts';

const least = (found: number | undefined): Goal => ({
  ...{ what: 'mean', wanted: 'at least', bound: 1.5, found },
});

it('a bound is met by a figure that is on it', () => {
  expect([1.5, 1.49, NaN, undefined].map((found) => isMet(least(found)))).toEqual([
    ...[true, false, false, false],
  ]);
  const most: Goal = { what: 'us', wanted: 'at most', bound: 13, found: 13 };
  expect([most, { ...most, found: 13.2 }].map(isMet)).toEqual([true, false]);
});

it('what was not measured is neither met nor missed', () => {
  const lines = goalLines([least(1.6), { ...least(1.2), where: '4 KiB' }, least(undefined)]);
  expect(lines[0]).toMatch(/>= 1\.5 +1\.6 +met$/);
  expect(lines[1]).toMatch(/MISSED +\(4 KiB\)$/);
  expect(lines[2]).toMatch(/not measured$/);
  expect(lines[3]).toBe('goals met: 1 of 2 measured');
});

it('the lowest has its name; of none there is none', () => {
  const cells = [
    { name: 'a', ratio: 2 },
    { name: 'b', ratio: 1 },
  ];
  expect(lowest(cells, ({ ratio }) => ratio)).toEqual({ found: 1, where: 'b' });
  expect(lowest([], () => 0)).toBeUndefined();
});
