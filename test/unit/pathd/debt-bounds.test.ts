/** What csi may write into the annotation of a volume, pathd takes: else no node could ever stage it. */
import { expect, test } from 'vitest';
import { claimEntry, formatDebts, parseDebts } from '../../../src/kubernetes/debt-annotation.ts';
import { checkDebts } from '../../../src/pathd/request-checks.ts';

test('a claim whose paths were moved as often as the annotation can hold', () => {
  const paths = Array.from({ length: 300 }, (_, i) => ({
    ...{ name: 'p0', host: '10.0.0.1', port: 1 + i, targetName: 'iqn.2026-01.x', lun: 1 },
  }));
  const read = parseDebts(formatDebts([claimEntry('node-a', 1, paths, undefined)]), 2);
  expect(read[0]?.debt.paths).toHaveLength(300);
  expect(() => checkDebts(read.map(({ debt }) => debt))).not.toThrow();
});
