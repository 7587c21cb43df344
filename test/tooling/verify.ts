/**
 * `npm run verify`: everything that must hold before a change is merged and that needs neither root nor
 * real targets. Each step is timed; a step that succeeds is one line, one that fails shows its output.
 * Two steps run at a time (the slow ones use one core each), all run whatever the others say.
 */
import { spawn } from 'node:child_process';

const root = new URL('../..', import.meta.url).pathname;
const AT_A_TIME = 2;
const STEP_LIMIT_MS = 10 * 60_000;

/** Names of package.json scripts, the slowest first: they decide when it is over. */
const STEPS = ['lint', 'test:unit', 'typecheck', 'dead:check', 'format:check', 'deps:check'];

interface Outcome {
  readonly step: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly output: string;
}

function run(step: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    let output = '';
    const child = spawn('npm', ['run', '--silent', step], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: STEP_LIMIT_MS,
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    }
    const end = (ok: boolean, note: string): void => {
      resolve({ step, ok, seconds: (performance.now() - startedAt) / 1000, output: output + note });
    };
    child.on('error', (error) => end(false, `cannot run npm: ${error.message}\n`));
    child.on('close', (code, signal) => {
      end(code === 0, signal === null ? '' : `stopped by ${signal} (limit 10 minutes)\n`);
    });
  });
}

function report({ step, ok, seconds, output }: Outcome): void {
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${step.padEnd(14)} ${seconds.toFixed(1).padStart(6)} s`);
  if (!ok) console.log(output.replace(/^/gm, '     | '));
}

const startedAt = performance.now();
console.log(`verify: ${STEPS.join(', ')}`);
const waiting = [...STEPS];
const outcomes: Outcome[] = [];
await Promise.all(
  Array.from({ length: AT_A_TIME }, async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const outcome = await run(step);
      report(outcome);
      outcomes.push(outcome);
    }
  }),
);
const failed = outcomes.filter(({ ok }) => !ok).map(({ step }) => step);
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
console.log(
  failed.length === 0
    ? `verify: all ${String(outcomes.length)} steps ok in ${seconds} s`
    : `verify: FAILED ${failed.join(', ')} (${seconds} s); one alone: npm run ${failed[0] ?? ''}`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
