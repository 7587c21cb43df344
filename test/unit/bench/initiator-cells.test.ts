/** Cells and goals of `bench:initiator`. */
import { expect, it } from 'vitest';
import { cells, initiatorGoals, type InitiatorRow } from '../../bench/initiator-cells.ts';

it('cells are chosen by words of their names', () => {
  expect(cells('null', [])).toHaveLength(24);
  expect(cells('null', ['file'])).toEqual([]);
  expect(cells('file', ['4', 'read', 'QD1'])).toMatchObject([{ size: 4096, depth: 1 }]);
});

it('goals are of the reads: their mean, the lowest with and without a queue', () => {
  const rows = cells('null', []).map((cell): InitiatorRow => {
    const ratio = cell.write ? 0.1 : cell.depth === 1 ? 0.9 : 1.2;
    return {
      ...{ name: cell.name, ours: 1, peer: 1, unit: 'IOPS', ratio, cell },
      ...{ cpuUs: { ours: 1, peer: 1 }, foreign: 0 },
    };
  });
  expect(initiatorGoals(rows).map(({ found }) => found)).toEqual([1.09, 1.2, 0.9]);
  expect(initiatorGoals([]).map(({ found }) => found)).toEqual([undefined, undefined, undefined]);
});
