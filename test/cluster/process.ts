/**
 * Programs run to their end: output as a value, failure as an error that says what was run, how it
 * ended and what it printed last. Long-lived programs are components (component.ts).
 */
import { spawn, spawnSync } from 'node:child_process';

export interface RunOptions {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Five minutes unless told. */
  readonly limitMs?: number;
  /** Gets what the program prints while it prints it; the result's text stays empty. */
  readonly show?: boolean;
}

/** Superuser's folders are not on every PATH, and runc, iptables, debootstrap live there. */
export function systemEnv(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;
  return { ...process.env, PATH: path, ...extra };
}

/** Standard output; rejects when the program cannot be started, fails or takes too long. */
export function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { input, env, cwd, limitMs = 300_000, show = false } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], {
      env: env ?? systemEnv(),
      cwd,
      timeout: limitMs,
      stdio: ['pipe', show ? 2 : 'pipe', show ? 2 : 'pipe'],
    });
    let out = '';
    let errors = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.stdin?.on('error', () => undefined); // it may not want to read
    child.stdin?.end(input ?? '');
    child.on('error', (error) => reject(new Error(`cannot run ${program}: ${error.message}`)));
    child.on('close', (code, signal) => {
      if (code === 0) {
        resolve(out);
        return;
      }
      const end = signal === null ? `exit code ${String(code)}` : `ended by ${signal}`;
      const last = `${out}\n${errors}`.trim().split('\n').slice(-15).join('\n');
      reject(new Error(`${program} ${args.join(' ')}: ${end}\n${last}`));
    });
  });
}

/**
 * As `run`, blocking, for teardown paths that may not wait; what went wrong instead of throwing.
 */
export function runNow(program: string, args: readonly string[]): string | undefined {
  const done = spawnSync(program, [...args], {
    env: systemEnv(),
    encoding: 'utf8',
    timeout: 30_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (done.status === 0) return undefined;
  return `${program} ${args.join(' ')}: ${done.error?.message ?? done.stderr.trim()}`;
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Runs a step and says how long it took. */
export async function timed<T>(name: string, step: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const seconds = (): string => ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
  try {
    const value = await step();
    say(`${seconds()} s  ${name}`);
    return value;
  } catch (error) {
    say(`${seconds()} s  ${name}: FAILED`);
    throw error;
  }
}
