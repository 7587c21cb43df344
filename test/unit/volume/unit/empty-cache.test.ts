/** What it means that a target has no SYNCHRONIZE CACHE: one rule for the request flow, flushes and fences. */
import { expect, it } from 'vitest';
import { isNeedless } from '../../../../src/volume/unit/empty-cache.ts';

it.each([
  [true, 'none', true],
  [true, 'unknown', true],
  [true, 'volatile', false],
  [false, 'none', false],
  [false, 'unknown', false],
  [false, 'volatile', false],
] as const)('unsupported: %s, cache: %s; nothing to flush: %s', (unsupported, cache, needless) => {
  expect(isNeedless(unsupported, cache)).toBe(needless);
});
