import fc from 'fast-check';
import { expect, test } from 'vitest';
import { printable } from '../../../src/base/printable.ts';

test.each([
  ['plain', 'iscsi://10.0.0.1/iqn.2026-01.x:a/0', 'iscsi://10.0.0.1/iqn.2026-01.x:a/0'],
  ['other scripts', 'Straße 東京 🚀', 'Straße 東京 🚀'],
  ['line breaks and tabs', 'a\r\n\tb\u2028c\u0085d', 'a b c d'],
  ['an escape sequence', 'a\x1b[31mb\x9b2J\x07\x7f', 'a\uFFFD[31mb\uFFFD2J\uFFFD\uFFFD'],
  ['directions and invisible ones', 'a\u202eb\u2066c\u200bd\ufeff', 'a\uFFFDb\uFFFDc\uFFFDd\uFFFD'],
  ['half a pair', 'a\ud83db', 'a\uFFFDb'],
])('%s', (_, text, expected) => {
  expect(printable(text, 100)).toBe(expected);
});

test('a long text is cut and says so, also through the middle of a pair', () => {
  expect(printable('x'.repeat(200_000), 8)).toBe('xxxxxxx…');
  expect(printable('abc🚀', 4)).toBe('abc…');
});

test('whatever comes in: bounded, one line, and the same when done again', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 40 }), (text, max) => {
      const once = printable(text, max);
      expect(once.length).toBeLessThanOrEqual(max);
      expect(once).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      expect(printable(once, max)).toBe(once);
    }),
  );
});
