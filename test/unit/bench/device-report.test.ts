/** What `bench:device` concludes from its rows: two means, and the goals. */
import { describe, expect, it } from 'vitest';
import { cellsWith, DEVICE_CELLS, jobOf, stableName, writes } from '../../bench/device-cells.ts';
import type { DeviceRow } from '../../bench/device-measure.ts';
import {
  asItComes,
  deviceGoals,
  deviceSummary,
  deviceText,
  likeWithLike,
} from '../../bench/device-report.ts';
import { geomean } from '../../bench/rows.ts';

/** Reads 1.2, writes 0.8 against the peer as it comes and 3 on stable storage. */
function rowsOf(change: (row: DeviceRow) => Partial<DeviceRow> = () => ({})): DeviceRow[] {
  return DEVICE_CELLS.flatMap((cell) => {
    const one = (ratio: number, isStable: boolean): DeviceRow => {
      const row: DeviceRow = {
        ...{ name: isStable ? stableName(cell) : cell.name, ours: ratio * 1000, peer: 1000, ratio },
        ...{ unit: 'IOPS', cell, isStable, foreign: 0.01 },
        cost: { ours: { server: 12, target: 20 }, peer: { server: 13, target: 21 } },
        ...(cell.isPlain && cell.mode === 'randread' && cell.depth === 32 ? { ceiling: 1500 } : {}),
      };
      return { ...row, ...change(row) };
    };
    return writes(cell) ? [one(0.8, false), one(3, true)] : [one(1.2, false)];
  });
}

describe('the cells', () => {
  it('are the eight plain ones, then queue depth 4, a mixture, and eight volumes', () => {
    const { isPlain, others } = Object.groupBy(DEVICE_CELLS, (cell) =>
      cell.isPlain ? 'isPlain' : 'others',
    );
    expect(isPlain).toHaveLength(8);
    expect(others?.map(({ name }) => name)).toEqual([
      '4 KiB read QD4',
      '4 KiB write QD4',
      '4 KiB mixed 70/30 QD32',
      '4 KiB read QD4, 8 volumes',
      '4 KiB write QD4, 8 volumes',
    ]);
  });

  it('are chosen by words of their names', () => {
    expect(cellsWith(['4', 'QD32']).map(({ name }) => name)).toEqual([
      '4 KiB read QD32',
      '4 KiB write QD32',
      '4 KiB mixed 70/30 QD32',
    ]);
    expect(cellsWith(['QD2'])).toEqual([]);
  });

  it('of several volumes are one job on all their devices', () => {
    const [cell] = cellsWith(['read', '8']);
    const job = jobOf(cell!, ['/a', '/b'], { seconds: 1, sync: true });
    expect(job).toMatchObject({ file: '/a', moreFiles: ['/b'], depth: 4, sync: true });
  });
});

describe('the means', () => {
  it('compare like with like first: reads, and writes of both sides on stable storage', () => {
    const fair = likeWithLike(rowsOf());
    expect(fair.map(({ ratio }) => ratio).sort()).toEqual([1.2, 1.2, 1.2, 1.2, 3, 3, 3, 3]);
    expect(geomean(fair)).toBe(1.9);
  });

  it('then the eight plain cells against the peer as it comes', () => {
    expect(asItComes(rowsOf())).toHaveLength(8);
    expect(geomean(asItComes(rowsOf()))).toBe(0.98);
  });

  it('of no rows is no number', () => {
    expect(geomean([])).toBeNaN();
  });
});

describe('the goals', () => {
  const found = (rows: DeviceRow[], polls = false): (number | undefined)[] =>
    deviceGoals(rows, [], { polls }).map((goal) => goal.found);

  it('have one figure each', () => {
    expect(found(rowsOf())).toEqual([1.9, 0.98, 0.8, 0.8, 0.8, 12, 0.8, 0.8, undefined]);
  });

  it('name the costliest and the lowest cell', () => {
    const rows = rowsOf(({ name }) =>
      name === '4 KiB write QD32'
        ? { cost: { ours: { server: 17, target: 1 }, peer: { server: 1, target: 1 } } }
        : name === '4 KiB read QD4, 8 volumes'
          ? { ratio: 0.5 }
          : {},
    );
    const goals = deviceGoals(rows, [], { polls: false });
    expect(goals[2]).toMatchObject({ found: 0.5, where: '4 KiB read QD4, 8 volumes' });
    expect(goals[5]).toMatchObject({ found: 17, where: '4 KiB write QD32' });
  });

  it('want more of a device that polls', () => {
    expect(deviceGoals(rowsOf(), [], { polls: true })[1]).toMatchObject({ bound: 1.3 });
  });

  it('that need all cells are not judged by some', () => {
    const some = rowsOf().filter(({ cell }) => cell.mode === 'randread');
    expect(found(some).slice(0, 2)).toEqual([undefined, undefined]);
  });

  it('of memory are those of the lower of the two', () => {
    const ram = [100_000, 90_000].map((iops) => ({
      ...{ name: String(iops), iops, serverUs: 6, foreign: 0 },
    }));
    expect(deviceGoals([], ram, { polls: false }).at(-1)).toMatchObject({ found: 90_000 });
  });
});

it('a line has the costs of both sides, what others had, and the part of the target', () => {
  const [row] = rowsOf().filter(({ ceiling }) => ceiling !== undefined);
  expect(deviceText(row!)).toMatch(
    /^4 KiB read QD32 +1,200 +1,000 +x 1\.20 +12\.0 +13\.0 +20\.0 +21\.0 +1\.0 % +0\.80 of the target's 1,500$/,
  );
});

it('the summary begins with the headline and says whether the machine was idle', () => {
  const rows = rowsOf(({ name }) => (name === '4 KiB read QD4' ? { foreign: 0.3 } : {}));
  const text = deviceSummary(rows, [], []);
  expect(text[1]).toMatch(/^GEOMETRIC MEAN, reads \+ writes on stable storage +x 1\.90$/);
  expect(text[2]).toMatch(/as it comes +x 0\.98$/);
  expect(text[3]).toContain('BUSY in 1 of 20 cells');
});
