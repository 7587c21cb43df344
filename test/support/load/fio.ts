/**
 * fio verify jobs beside a failover: random writes whose CRC32C fio checks while and after it writes,
 * and stops at the first bad block. serialize_overlap keeps two writes to one place from being in
 * flight together; without it fio reports false errors. A job is bounded in time twice: by runtime=
 * and by a limit after which it is killed.
 *
 * The stamped workload (stamps.ts) sees more (ghost writes); fio is the second opinion that readers
 * know, and the source of IOPS and latency figures.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface FioOptions {
  /** File or block device; a file is laid out with `sizeBytes`. */
  readonly file: string;
  /** More of the same at the same time; the result is that of all together. */
  readonly moreFiles?: readonly string[];
  readonly sizeBytes: number;
  /** Time of the writing phase, s; the verification of what was written comes after it. */
  readonly runtimeSeconds: number;
  /** Block size in bytes, default 4096. */
  readonly blockSize?: number;
  /** Default 32. */
  readonly depth?: number;
  /** Default randwrite. */
  readonly mode?: 'randwrite' | 'randread' | 'randrw' | 'read' | 'write';
  /** Of randrw; default 50. */
  readonly readPercent?: number;
  /** Each write is on stable storage when it is answered (O_SYNC); default false. */
  readonly sync?: boolean;
  /** CRC32C of every block written, checked; default true. False for figures of speed. */
  readonly verify?: boolean;
  /** Bytes per second at most; default unlimited. */
  readonly rateBytes?: number;
  /** The job is killed this long after its runtime; default 60 s. */
  readonly graceSeconds?: number;
}

export interface FioSide {
  readonly ios: number;
  readonly iops: number;
  readonly bytesPerSecond: number;
  /** Completion latency, microseconds. */
  readonly meanUs: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

export interface FioResult {
  /** 0: no I/O error, no block that failed verification. Otherwise fio's errno (84 EILSEQ: verify). */
  readonly error: number;
  readonly read: FioSide;
  readonly write: FioSide;
  /** What fio said about errors; empty when all is well. */
  readonly complaint: string;
}

/** The command line of a job. */
export function fioArguments(options: FioOptions): string[] {
  const { file, moreFiles = [], sizeBytes, runtimeSeconds, blockSize = 4096, depth = 32 } = options;
  const { mode = 'randwrite', verify = true, rateBytes, readPercent, sync = false } = options;
  const settings = {
    size: sizeBytes,
    rw: mode,
    bs: blockSize,
    ioengine: 'libaio',
    direct: 1,
    // A forked job leaves our process group (setsid) and would survive being killed.
    thread: 1,
    iodepth: depth,
    time_based: 1,
    // fio takes "0.7" for another number of seconds.
    runtime: `${String(Math.round(runtimeSeconds * 1000))}ms`,
    randrepeat: 1,
    ...(moreFiles.length === 0 ? {} : { group_reporting: 1 }),
    ...(readPercent === undefined ? {} : { rwmixread: readPercent }),
    ...(sync ? { sync: 1 } : {}),
    ...(rateBytes === undefined ? {} : { rate: rateBytes }),
    ...(verify
      ? {
          verify: 'crc32c',
          verify_fatal: 1,
          verify_backlog: 1024,
          do_verify: 1,
          serialize_overlap: 1,
        }
      : {}),
  };
  const flags = Object.entries(settings).map(([name, value]) => `--${name}=${String(value)}`);
  // What stands before the first name holds for every job.
  const jobs = [file, ...moreFiles].flatMap((each) => ['--name=job', `--filename=${each}`]);
  return [...flags, '--output-format=json', '--eta=never', ...jobs];
}

/** Parses `--output-format=json`; fio writes its complaints before the JSON into the same stream. */
export function parseFio(output: string): FioResult {
  const start = output.search(/^\{/m);
  if (start < 0) throw new Error(`fio printed no JSON: ${output.slice(-500)}`);
  const { jobs } = JSON.parse(output.slice(start)) as { jobs: readonly FioJob[] };
  const [job] = jobs;
  if (job === undefined) throw new Error('fio reported no job');
  return {
    error: job.error,
    read: side(job.read),
    write: side(job.write),
    complaint: output.slice(0, start).trim(),
  };
}

interface FioJob {
  readonly error: number;
  readonly read: FioJobSide;
  readonly write: FioJobSide;
}

interface FioJobSide {
  readonly total_ios: number;
  readonly iops: number;
  readonly bw_bytes: number;
  readonly clat_ns: {
    readonly mean: number;
    readonly max: number;
    readonly percentile?: Readonly<Record<string, number>>;
  };
}

function side({
  total_ios: ios,
  iops,
  bw_bytes: bytesPerSecond,
  clat_ns: clat,
}: FioJobSide): FioSide {
  const p99Us = (clat.percentile?.['99.000000'] ?? 0) / 1000;
  const [meanUs, maxUs] = [clat.mean / 1000, clat.max / 1000];
  return { ios, iops, bytesPerSecond, meanUs, p99Us, maxUs };
}

/** A job in the background. */
export class FioJobRun {
  readonly #child: ChildProcess;
  /** Result of the job; rejects when fio printed none (killed, unknown option). */
  readonly done: Promise<FioResult>;

  constructor(options: FioOptions) {
    this.#child = spawn('fio', fioArguments(options), {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      // fio leaves local-*-verify.state files where it runs.
      cwd: '/tmp',
    });
    const limitMs = (options.runtimeSeconds + (options.graceSeconds ?? 60)) * 1000;
    this.done = this.#collect(limitMs);
    // Whoever awaits it later sees the rejection; until then it is nobody's.
    this.done.catch(() => undefined);
  }

  async #collect(limitMs: number): Promise<FioResult> {
    let [output, complaint, timedOut] = ['', '', false];
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text));
    const timer = setTimeout(() => {
      timedOut = true;
      this.kill();
    }, limitMs);
    const [code, signal] = (await once(this.#child, 'close')) as [number | null, string | null];
    clearTimeout(timer);
    if (timedOut) throw new Error(`fio did not end within ${String(limitMs)} ms`);
    if (code === null) throw new Error(`fio was killed by ${String(signal)}`);
    const result = parseFio(output === '' ? complaint : output);
    const said = [result.complaint, complaint.trim()].filter((text) => text !== '').join('\n');
    return { ...result, error: result.error === 0 ? code : result.error, complaint: said };
  }

  /** Ends the job at once; `done` rejects. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Runs a job to its end. */
export function runFio(options: FioOptions): Promise<FioResult> {
  return new FioJobRun(options).done;
}
