/**
 * `npm test`: the tiers one after the other through vitest, each in a process of its own (what a
 * kernel test breaks ends with its tier), then one line `N passed, N failed, N skipped`.
 *
 *   npm test                               all tiers but `cluster`
 *   npm test -- unit interop               these tiers
 *   npm test -- --filter fence             files whose path has "fence"; none such: tests by that name
 *
 * Exit code 1 when something failed or nothing ran. A tier that cannot run on this machine is a skip
 * with its reason; with CI=true every skip is a failure, or a broken runner would look green.
 */
import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Counts, type JsonReport, NOTHING, add, count } from './test-report.ts';
import { strict, summaryLine } from './test-report.ts';
import { ON_REQUEST, TIERS, type Tier, limitMs, obstacles, prepare } from './tiers.ts';

const root = new URL('../..', import.meta.url).pathname;
const inCi = process.env['CI'] === 'true';

interface Request {
  readonly tiers: readonly Tier[];
  readonly filter: string | undefined;
}

function parseRequest(args: readonly string[]): Request {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { filter: { type: 'string' } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !TIERS.some((tier) => tier === name));
  if (unknown !== undefined) {
    throw new Error(`no tier "${unknown}"; there are ${TIERS.join(', ')} (and --filter TEXT)`);
  }
  const chosen = TIERS.filter((tier) =>
    positionals.length === 0 ? !ON_REQUEST.includes(tier) : positionals.includes(tier),
  );
  return { tiers: chosen, filter: values.filter };
}

function filesOf(tier: Tier): string[] {
  return globSync(`test/${tier}/**/*.test.ts`, { cwd: root });
}

/** Runs vitest on one tier; its own report goes straight to the terminal. */
async function runVitest(tier: Tier, select: readonly string[], byName: boolean): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), 'run-tests-'));
  const json = join(folder, 'report.json');
  const args = ['run', '--config', 'test/tooling/vitest.config.ts', '--project', tier];
  args.push('--passWithNoTests', '--reporter=default', '--reporter=json');
  args.push(`--outputFile.json=${json}`, ...select);
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      const child = spawn('vitest', args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
      const limit = setTimeout(() => {
        console.log(`${tier}: not over after ${String(limitMs(tier) / 60_000)} minutes, stopped`);
        child.kill('SIGTERM');
      }, limitMs(tier));
      child.on('error', reject);
      child.on('exit', (code) => {
        clearTimeout(limit);
        resolve(code);
      });
    });
    return count(readReport(json), exitCode, byName);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function readReport(path: string): JsonReport | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as JsonReport;
  } catch {
    return undefined; // vitest died before it wrote one
  }
}

/** How the filter is meant, for all tiers alike: by file if any chosen tier has such a file. */
type Choice = { readonly by: 'all' } | { readonly by: 'file' | 'name'; readonly text: string };

function choose({ tiers, filter }: Request): Choice {
  if (filter === undefined) return { by: 'all' };
  const byFile = tiers.flatMap(filesOf).some((file) => file.includes(filter));
  return { by: byFile ? 'file' : 'name', text: filter };
}

async function runTier(tier: Tier, choice: Choice): Promise<Counts> {
  const files = filesOf(tier).filter((file) => choice.by !== 'file' || file.includes(choice.text));
  if (files.length === 0) return NOTHING;
  const reasons = obstacles(tier);
  if (reasons.length > 0) return { ...NOTHING, skipped: [`tier ${tier}: ${reasons.join('; ')}`] };
  await prepare(tier);
  switch (choice.by) {
    case 'all':
      return runVitest(tier, [], false);
    case 'file':
      return runVitest(tier, [choice.text], false);
    case 'name':
      return runVitest(tier, ['--testNamePattern', choice.text], true);
  }
}

async function main(): Promise<void> {
  const request = parseRequest(process.argv.slice(2));
  const { tiers, filter } = request;
  const choice = choose(request);
  const what = filter === undefined ? '' : `, only "${filter}"`;
  console.log(`Running ${tiers.join(', ')} tests on Node ${process.versions.node}${what}`);
  let total = NOTHING;
  for (const tier of tiers) {
    const startedAt = performance.now();
    const counts = await runTier(tier, choice);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    console.log(`── ${tier}: ${summaryLine(counts)} in ${seconds} s`);
    total = add(total, counts);
  }
  for (const name of total.skipped) {
    console.log(`${inCi ? 'FAILED, because skipped and CI=true' : 'skipped'}: ${name}`);
  }
  if (inCi) total = strict(total);
  if (total.passed + total.failed === 0) console.log('No test ran: that is a failure.');
  console.log(summaryLine(total));
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
}

try {
  await main();
} catch (error) {
  console.error(`run-tests: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
