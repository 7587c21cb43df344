/** The kernel's account of processor starvation, as tests of real time read it. */
import { expect, test } from 'vitest';
import { waitedForCpuMs } from '../../../support/node/starvation.ts';

test('what a process has waited for a processor only grows', async () => {
  const before = waitedForCpuMs([process.pid]);
  expect(before).toBeGreaterThanOrEqual(0);
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(waitedForCpuMs([process.pid])).toBeGreaterThanOrEqual(before);
});

test('a process that is not there is an error, not zero', () => {
  expect(() => waitedForCpuMs([2 ** 30])).toThrow('ENOENT');
});
