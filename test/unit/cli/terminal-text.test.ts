/** Numbers as people read them. */
import { describe, expect, it } from 'vitest';
import {
  bar,
  formatAge,
  formatBytes,
  formatMicros,
  plural,
  wrap,
} from '../../../src/cli/terminal-text.ts';

describe('bar', () => {
  it.each([
    [50, 100, 100, '█████░░░░░'],
    [100, 100, 100, '██████████'],
    [90, 90, 100, '█████████ '],
    [40, 80, 100, '████░░░░  '],
    [0, 100, 100, '░░░░░░░░░░'],
    [0, 0, 0, '          '],
  ])('%i of %i on a scale to %i', (value, max, scale, expected) => {
    expect(bar(value, max, scale, true)).toBe(expected);
  });

  it('shows one cell of the smallest weight', () => {
    expect(bar(1, 1000, 1000, false)).toBe('#---------');
  });

  it('is never longer than ten cells, whatever it is given', () => {
    expect(bar(500, 1000, 100, false)).toBe('##########');
  });
});

it.each([
  [512, '512 B'],
  [1024, '1 KiB'],
  [10 * 2 ** 30, '10 GiB'],
  [1.5 * 2 ** 40, '1.5 TiB'],
  [2 ** 62, '4096 PiB'],
])('%d bytes is %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

it.each([
  [-5000, 'just now'],
  [900, 'just now'],
  [1000, '1 s ago'],
  [119_999, '119 s ago'],
  [120_000, '2 min ago'],
  [7_199_999, '119 min ago'],
  [7_200_000, '2 h ago'],
  [2 * 86_400_000, '2 d ago'],
])('%d ms ago is %s', (age, text) => {
  expect(formatAge(1_000_000_000 - age, 1_000_000_000)).toBe(text);
});

it.each([
  [850, '850 us'],
  [1240, '1.2 ms'],
  [12_600, '13 ms'],
  [2_500_000, '2.5 s'],
])('%d us is %s', (us, text) => {
  expect(formatMicros(us)).toBe(text);
});

it('counts one in the singular', () => {
  expect([0, 1, 2].map((n) => plural(n, 'error'))).toEqual(['0 errors', '1 error', '2 errors']);
});

it('wraps at the width and never loses a word longer than it', () => {
  expect(wrap(['a', 'bb', 'cccccccccc', 'd'], 6, 1, 1)).toEqual([' a bb', '  cccccccccc', '  d']);
});
