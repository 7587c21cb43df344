/**
 * The parent's side of the stamped-block workload: starts stamp-writer.ts as a child, collects what it
 * reports and answers the one question that matters during a failover: what was the longest time
 * without an acknowledged write around this moment? All times are CLOCK_MONOTONIC milliseconds
 * (`monotonicMs`), the same clock in every process of the machine.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Gap, WriterReport } from './stamp-writer.ts';
import { type Ledger, loadLedger } from './stamps.ts';

/** Now, in milliseconds of CLOCK_MONOTONIC. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export interface StampLoadOptions {
  /** File to write, created and laid out when it is not there; or a block device. */
  readonly file: string;
  /** Name of the volume, part of every stamp. */
  readonly volume: string;
  /** Blocks of 4 KiB; default 4096 (16 MiB): small, so that each is rewritten many times. */
  readonly blocks?: number;
  readonly firstBlock?: number;
  /** Writes in flight at any time, default 32. */
  readonly inFlight?: number;
  readonly seed?: number;
  /** Time that each of the writes in flight waits before it is followed by the next, ms; default 0. */
  readonly pauseMs?: number;
  /** Called for every line of the writer. */
  readonly onReport?: (report: WriterReport) => void;
}

export interface LoadTotals {
  readonly acked: number;
  readonly errors: number;
  /** Blocks read and judged during the load, and how many were not what they had to be. */
  readonly checked: number;
  readonly faults: number;
  /** The first errors and faults, for a human. */
  readonly details: readonly string[];
}

export interface Throughput {
  readonly atMs: number;
  /** Writes acknowledged in the tick (about 100 ms) that ended at `atMs`. */
  readonly acked: number;
}

/** Period of the writer's ticks (stamp-writer.ts). */
const TICK_MS = 100;

const WRITER = fileURLToPath(new URL('stamp-writer.ts', import.meta.url));

export class StampLoad {
  readonly #child: ChildProcess;
  readonly #folder = mkdtempSync(join(tmpdir(), 'stamps-'));
  readonly #options: StampLoadOptions;
  readonly #gaps: Gap[] = [];
  readonly #details: string[] = [];
  readonly #throughput: Throughput[] = [];
  #last: Extract<WriterReport, { kind: 'tick' }> | undefined;
  #complaint = '';
  #exited = false;
  readonly #ready = Promise.withResolvers<undefined>();

  private constructor(options: StampLoadOptions) {
    this.#options = options;
    const { file, volume, blocks = 4096, firstBlock = 0, inFlight = 32, seed = 1 } = options;
    const { pauseMs: pause = 0 } = options;
    const flags = {
      ...{ file, volume, blocks, 'first-block': firstBlock, 'in-flight': inFlight },
      ...{ seed, pause },
    };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    this.#child = spawn(process.execPath, [WRITER, ...args, '--ledger', this.#ledgerFile], {
      stdio: ['pipe', 'pipe', 'pipe'],
      // Not in our group: Ctrl-C is for whoever started the load, who then stops it in order.
      detached: true,
      env: { ...process.env, UV_THREADPOOL_SIZE: String(inFlight + 8) },
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-2000);
    });
    this.#child.stdin?.on('error', () => undefined);
    this.#child.on('exit', () => {
      this.#exited = true;
      this.#ready.reject(new Error(`the stamp writer ended: ${this.#complaint}`));
    });
    this.#ready.promise.catch(() => undefined);
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.#take(JSON.parse(line) as WriterReport);
    });
  }

  /** Starts the writer; resolves when the file is laid out and the first writes are in flight. */
  static async start(options: StampLoadOptions): Promise<StampLoad> {
    const load = new StampLoad(options);
    await load.#ready.promise;
    return load;
  }

  get #ledgerFile(): string {
    return join(this.#folder, 'ledger.json');
  }

  #take(report: WriterReport): void {
    switch (report.kind) {
      case 'ready':
        this.#ready.resolve(undefined);
        break;
      case 'tick':
        this.#last = report;
        this.#gaps.push(...report.gaps);
        this.#throughput.push({ atMs: report.atMs, acked: report.acked });
        break;
      case 'error':
        this.#details.push(`I/O error: ${report.detail}`);
        break;
      case 'fault':
        this.#details.push(`${report.fault}: ${report.detail}`);
        break;
      case 'stopped':
        break;
    }
    this.#options.onReport?.(report);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get totals(): LoadTotals {
    const { total = 0, errors = 0, checked = 0, faults = 0 } = this.#last ?? {};
    return { acked: total, errors, checked, faults, details: this.#details };
  }

  get throughput(): readonly Throughput[] {
    return this.#throughput;
  }

  /**
   * Longest time without any acknowledged write that touches [fromMs, toMs], in ms; NaN when nothing
   * is known of that time. What happened less than a tick ago is not known yet: ask 300 ms later.
   */
  worstGapMs(fromMs: number, toMs: number): number {
    return longest(this.#allGaps().filter(([a, b]) => a <= toMs && b >= fromMs));
  }

  /** The same for the time from `sinceMs` on that touches none of the given intervals. */
  worstGapOutsideMs(sinceMs: number, intervals: readonly Gap[]): number {
    const touches = ([a, b]: Gap): boolean => intervals.some(([from, to]) => a <= to && b >= from);
    return longest(this.#allGaps().filter((gap) => gap[0] >= sinceMs && !touches(gap)));
  }

  /**
   * How late the writer's own event loop was at most within [fromMs, toMs], ms: a gap of that length
   * may be the writer's (it was not given a processor), not the volume's.
   */
  writerLateMs(fromMs: number, toMs: number): number {
    const ticks = this.#throughput.map(({ atMs }) => atMs);
    const late = ticks.map((at, n) => {
      const before = ticks[n - 1];
      const touches = before !== undefined && before <= toMs && at >= fromMs;
      return touches ? at - before - TICK_MS : 0;
    });
    return Math.max(0, ...late);
  }

  /** Closed gaps and the one that was open at the last tick. */
  #allGaps(): Gap[] {
    const last = this.#last;
    return last === undefined ? [] : [...this.#gaps, [last.atMs - last.silentMs, last.atMs]];
  }

  /** Resolves once `count` more writes have been acknowledged than at the time of the call. */
  async progressed(count: number, timeoutMs: number): Promise<void> {
    const goal = this.totals.acked + count;
    const until = monotonicMs() + timeoutMs;
    while (this.totals.acked < goal) {
      if (this.#exited) throw new Error(`the stamp writer ended: ${this.#complaint}`);
      if (monotonicMs() > until) {
        const { acked, errors } = this.totals;
        const done = `${String(count - (goal - acked))} of ${String(count)} writes`;
        throw new Error(`only ${done} in ${String(timeoutMs)} ms, ${String(errors)} errors`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Stops issuing, waits for what is in flight, returns the ledger. Rejects after `timeoutMs`. */
  async stop(timeoutMs = 30_000): Promise<Ledger> {
    const exit = this.#exited ? Promise.resolve() : once(this.#child, 'exit');
    this.#child.stdin?.write('stop\n');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs);
    await exit;
    clearTimeout(timer);
    try {
      if (this.#child.exitCode === 0) return loadLedger(this.#ledgerFile);
      throw new Error(
        `the stamp writer did not stop in ${String(timeoutMs)} ms ${this.#complaint}`,
      );
    } finally {
      rmSync(this.#folder, { recursive: true, force: true });
    }
  }

  /** Ends the writer at once, whatever is in flight. */
  async kill(): Promise<void> {
    if (!this.#exited) {
      const exit = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      // A thread stuck in a dead device keeps the process: the caller takes the device away.
      await Promise.race([exit, new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function longest(gaps: readonly Gap[]): number {
  return gaps.length === 0 ? NaN : Math.max(...gaps.map(([from, to]) => to - from));
}
