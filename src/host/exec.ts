/**
 * Runs a program of the host (mount, mkfs, losetup …): argument arrays only, never a shell, always with
 * a time limit, output bounded, environment reduced to what makes messages predictable.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

export interface ExecResult {
  /** Exit code; -1 when the program could not be started or was killed. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Set when the program did not run to its end: not found, killed at the time limit. */
  readonly failure: string | undefined;
}

export interface ExecOptions {
  /** Default 30 000 ms; the program is killed then. */
  readonly timeoutMs?: number;
  /** Open descriptors handed over as fd 3, 4 … */
  readonly extraFds?: readonly number[];
  /** Its standard input; none by default. */
  readonly input?: string;
  /**
   * The program has ended, or was never started. After a time limit that may be later than the result: a
   * program that waits in the kernel (state D) cannot be killed.
   */
  readonly onGone?: () => void;
}

const OUTPUT_LIMIT = 64 * 1024;

/** Runs `program` to its end. Never rejects: how it ended is in the result. */
export function exec(
  program: string,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<ExecResult> {
  const { timeoutMs = 30_000, input, onGone = () => undefined } = options;
  return new Promise((resolve) => {
    const child = start(program, args, options);
    if (child instanceof Error) {
      onGone();
      const failure = `cannot run ${program}: ${child.message}`;
      resolve({ code: -1, stdout: '', stderr: '', failure });
      return;
    }
    let stdout = '';
    let stderr = '';
    let failure: string | undefined;
    const timer = setTimeout(() => {
      failure = `${program} did not finish within ${String(timeoutMs)} ms and was killed`;
      child.kill('SIGKILL');
      // A program stuck in the kernel (state D) cannot be reaped: do not wait for it.
      child.stdin?.destroy();
      child.stdout?.destroy();
      child.stderr?.destroy();
      child.unref();
      resolve({ code: -1, stdout, stderr, failure });
    }, timeoutMs);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(0, OUTPUT_LIMIT);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(0, OUTPUT_LIMIT);
    });
    // The program may end without having read all of its input.
    child.stdin?.on('error', () => undefined).end(input);
    child.on('exit', onGone);
    child.on('error', (error) => {
      onGone();
      clearTimeout(timer);
      resolve({ code: -1, stdout, stderr, failure: `cannot run ${program}: ${error.message}` });
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === null) failure ??= `${program} was killed by ${String(signal)}`;
      resolve({ code: code ?? -1, stdout, stderr, failure });
    });
  });
}

/**
 * Descriptors that one start may take for its pipes. Where fewer are free Node gives up in the middle and keeps
 * what it had made for ever: a shortage that had passed would come back with each attempt.
 */
const START_DESCRIPTORS = 8;

/** Throws where too few are free. */
function checkDescriptors(): void {
  const free: number[] = [];
  try {
    while (free.length < START_DESCRIPTORS) free.push(openSync('/dev/null', 'r'));
  } finally {
    for (const fd of free) closeSync(fd);
  }
}

/** Where memory is short, or the program is being written, `spawn` throws; other errors are an event. */
function start(
  program: string,
  args: readonly string[],
  { input, extraFds = [] }: ExecOptions,
): ChildProcess | Error {
  try {
    checkDescriptors();
    return spawn(program, [...args], {
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...extraFds],
      env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    });
  } catch (cause) {
    return cause as Error;
  }
}
