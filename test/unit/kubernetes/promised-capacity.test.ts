import { expect, test } from 'vitest';
import { capacityProblem, parseQuantity } from '../../../src/kubernetes/promised-capacity.ts';

test.each([
  ['10Gi', 10 * 2 ** 30],
  ['1.5Ti', 1.5 * 2 ** 40],
  ['500M', 500e6],
  ['12k', 12_000],
  ['1E', 1e18],
  ['1e9', 1e9],
  ['1E3', 1_000],
  ['123', 123],
  ['1500m', 2],
  ['', undefined],
  ['10GB', undefined],
  ['-1Gi', undefined],
  ['ten', undefined],
])('%j is %s bytes', (text, bytes) => {
  expect(parseQuantity(text)).toBe(bytes);
});

test('a unit that is smaller than promised is told with both sizes, an equal or larger one not', () => {
  expect(capacityProblem('1Ki', 1023)).toMatch(/says 1Ki \(1024 bytes\).* has 1023 bytes: correct/);
  expect(capacityProblem('1Ki', 1024)).toBeUndefined();
  expect(capacityProblem('1Ki', 4096)).toBeUndefined();
  expect(capacityProblem('', 0)).toBeUndefined();
  expect(capacityProblem('what', 0)).toBeUndefined();
});
