/** What `npm test` counts: the cases in which a test runner looks green and is not. */
import { describe, expect, it } from 'vitest';
import {
  type JsonReport,
  NOTHING,
  add,
  count,
  strict,
  summaryLine,
} from '../../tooling/test-report.ts';

function report(...files: readonly (readonly [status: string, ...tests: string[]])[]): JsonReport {
  return {
    testResults: files.map(([status, ...tests], file) => ({
      name: `f${String(file)}.test.ts`,
      status,
      assertionResults: tests.map((test, i) => ({ status: test, fullName: `t${String(i)}` })),
    })),
  };
}

describe('count', () => {
  it('adds up the tests of all files', () => {
    const counts = count(report(['passed', 'passed', 'passed'], ['failed', 'failed']), 1, false);
    expect(summaryLine(counts)).toBe('2 passed, 1 failed, 0 skipped');
  });

  it('a file that failed without a failed test is a failure', () => {
    expect(count(report(['failed'], ['failed', 'passed']), 1, false).failed).toBe(2);
  });

  it('a run that ends badly with every test passed is a failure', () => {
    expect(count(report(['passed', 'passed']), 1, false).failed).toBe(1);
    expect(count(report(['passed', 'passed']), null, false).failed).toBe(1);
  });

  it('a run that left no report is a failure', () => {
    expect(count(undefined, 0, false)).toEqual({ ...NOTHING, failed: 1 });
  });

  it('names what was skipped, whatever vitest calls it', () => {
    const skips = report(['passed', 'skipped', 'pending', 'todo', 'disabled']);
    expect(count(skips, 0, false).skipped).toEqual(['t0', 't1', 't2', 't3']);
  });

  it('tests that a name filter left out are not skips', () => {
    expect(count(report(['passed', 'passed', 'skipped']), 0, true).skipped).toEqual([]);
  });
});

it('the summary is the sum of the tiers', () => {
  const unit = { passed: 3, failed: 0, skipped: [] };
  const kernel = { passed: 0, failed: 0, skipped: ['tier kernel: not root'] };
  expect(summaryLine(add(unit, kernel))).toBe('3 passed, 0 failed, 1 skipped');
});

it('where everything must run, each skip is a failure', () => {
  const counts = { passed: 3, failed: 1, skipped: ['a', 'b'] };
  expect(summaryLine(strict(counts))).toBe('3 passed, 3 failed, 0 skipped');
});
