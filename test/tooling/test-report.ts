/** Counts of a vitest run, from its JSON report. Pure: run-tests.ts reads the file. */

/** The part of vitest's JSON report that is used here. */
export interface JsonReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message?: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** Names of tests (or of whole tiers, with the reason) that were not run. */
  readonly skipped: readonly string[];
}

export const NOTHING: Counts = { passed: 0, failed: 0, skipped: [] };

export function add(a: Counts, b: Counts): Counts {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: [...a.skipped, ...b.skipped],
  };
}

/**
 * Counts what a run reported. A file that failed without a failed test (it could not be imported, a
 * hook threw) is one failure; so is a run that exits non-zero with nothing failed (an unhandled
 * rejection, a crash), and one that left no report at all.
 * `filtered`: tests were chosen by name, those not chosen are reported as skipped and do not count.
 */
export function count(
  report: JsonReport | undefined,
  exitCode: number | null,
  filtered: boolean,
): Counts {
  if (report === undefined) return { ...NOTHING, failed: 1 };
  let passed = 0;
  let failed = 0;
  const skipped: string[] = [];
  for (const file of report.testResults) {
    let failedHere = 0;
    for (const { status, fullName } of file.assertionResults) {
      if (status === 'passed') passed++;
      else if (status === 'failed') failedHere++;
      else if (!filtered) skipped.push(fullName);
    }
    failed += file.status === 'failed' ? Math.max(1, failedHere) : failedHere;
  }
  if (exitCode !== 0 && failed === 0) failed = 1;
  return { passed, failed, skipped };
}

/** The last line of `npm test`; other programs read it. */
export function summaryLine({ passed, failed, skipped }: Counts): string {
  return `${String(passed)} passed, ${String(failed)} failed, ${String(skipped.length)} skipped`;
}

/** In CI everything must run: each skip becomes a failure. */
export function strict(counts: Counts): Counts {
  return { ...counts, failed: counts.failed + counts.skipped.length, skipped: [] };
}
