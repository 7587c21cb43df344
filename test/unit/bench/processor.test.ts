/** Processor time of a program from its threads. */
import { expect, it } from 'vitest';
import { ranNs, threadTimes, usedUs } from '../../bench/processor.ts';

it('schedstat: the first number is time on a processor, the second was spent waiting for one', () => {
  expect(ranNs('123456789 42 7\n')).toBe(123_456_789);
  expect(() => ranNs('')).toThrow('schedstat');
  expect(() => ranNs('x 1 2')).toThrow('x 1 2');
});

it('all threads count, new ones from their start, ended ones no more', () => {
  const before = new Map([
    ['1/1', 5_000],
    ['1/2', 90_000],
  ]);
  const after = new Map([
    ['1/1', 7_000],
    ['1/3', 1_500],
  ]);
  expect(usedUs(before, after)).toBe(3.5);
});

it('a process that is gone has used nothing; this one has', () => {
  expect(threadTimes([0x7fff_ffff]).size).toBe(0);
  expect(usedUs(new Map(), threadTimes([process.pid]))).toBeGreaterThan(0);
});
