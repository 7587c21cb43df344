#!/usr/bin/env node
/**
 * Writer of the stamped-block workload (stamps.ts): a process of its own, so that the load shares an
 * event loop with nothing it measures. Keeps `--in-flight` O_DIRECT writes going, never two to one
 * block, and a few reads that check blocks while they are at rest: a ghost write that would be
 * overwritten before the final verification is seen then. Each write occupies a thread of libuv's pool,
 * so the parent sets UV_THREADPOOL_SIZE (more than --in-flight).
 *
 *   node stamp-writer.ts --file F --blocks N --in-flight 32 --volume NAME --ledger FILE [--readers 2]
 *        [--first-block 0] [--seed 1] [--pause 0]
 *
 * `--pause`: milliseconds that each of the writes in flight waits before it is followed by the next.
 *
 * Prints JSON lines (type WriterReport), times in milliseconds of CLOCK_MONOTONIC, which all processes
 * of a machine share. A line `stop` on stdin: waits for what is in flight, saves the ledger, exits. End
 * of stdin: exits at once, so that no writer outlives whoever started it.
 */
import * as fs from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { alignedBuffer, BLOCK, encodeStamp, judge, loadLedger } from './stamps.ts';
import { type Ledger, newLedger, saveLedger } from './stamps.ts';

/** [start, end] of an interval without any acknowledged write, ms. */
export type Gap = readonly [startMs: number, endMs: number];

export type WriterReport =
  /** The file is laid out; the load starts. */
  | { readonly kind: 'ready'; readonly atMs: number }
  | {
      readonly kind: 'tick'; // about every 100 ms
      readonly atMs: number;
      /** Writes acknowledged since the last tick, and in all. */
      readonly acked: number;
      readonly total: number;
      readonly errors: number;
      readonly checked: number;
      readonly faults: number;
      readonly inFlight: number;
      /** Gaps that ended since the last tick: the longest, and all others of 10 ms or more. */
      readonly gaps: readonly Gap[];
      /** Time since the last acknowledged write: a gap that is still open. */
      readonly silentMs: number;
    }
  /** A write or read was answered with an error; the first twenty are reported one by one. */
  | { readonly kind: 'error'; readonly atMs: number; readonly detail: string }
  /** A block read during the load was not what it must be; the first twenty. */
  | {
      readonly kind: 'fault';
      readonly atMs: number;
      readonly fault: string;
      readonly detail: string;
    }
  | { readonly kind: 'stopped'; readonly atMs: number; readonly total: number };

const TICK_MS = 100;
const NOTABLE_GAP_MS = 10;
const FLUSH_EVERY_MS = 1000;
/** After an error: a device that fails everything at once must not make this a busy loop. */
const AFTER_ERROR_MS = 50;

function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function report(line: WriterReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

class Writer {
  readonly #fd: number;
  readonly #ledger: Ledger;
  readonly #busy: Uint8Array;
  readonly #pauseMs: number;
  #random: number;
  /** Next block of the first round, which goes through all blocks in order. */
  #firstRound = 0;
  #stopping = false;
  #inFlight = 0;
  #flushing = false;
  #total = 0;
  #sinceTick = 0;
  #errors = 0;
  #checked = 0;
  #faults = 0;
  #lastAckMs = now();
  #gaps: Gap[] = [];
  #longest: Gap = [0, 0];

  constructor(fd: number, ledger: Ledger, seed: number, pauseMs: number) {
    this.#fd = fd;
    this.#pauseMs = pauseMs;
    this.#ledger = ledger;
    this.#busy = new Uint8Array(ledger.acked.length);
    this.#random = seed;
  }

  start(writers: number, readers: number): void {
    const memory = alignedBuffer((writers + readers) * BLOCK);
    const slot = (n: number): Buffer => memory.subarray(n * BLOCK, (n + 1) * BLOCK);
    this.#lastAckMs = now();
    for (let n = 0; n < writers; n++) this.#write(slot(n));
    for (let n = 0; n < readers; n++) this.#check(slot(writers + n));
    const ticks = setInterval(() => this.#tick(), TICK_MS);
    const flushes = setInterval(() => this.#flush(), FLUSH_EVERY_MS);
    this.#onIdle = () => {
      clearInterval(ticks);
      clearInterval(flushes);
    };
  }

  #onIdle: () => void = () => undefined;
  #idle: (() => void) | undefined;

  /** Issues nothing more; resolves when everything in flight has been answered. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#inFlight > 0 || this.#flushing) {
      await new Promise<void>((resolve) => (this.#idle = resolve));
    }
    this.#onIdle();
    this.#tick();
    report({ kind: 'stopped', atMs: now(), total: this.#total });
  }

  #settle(): void {
    if (this.#stopping && this.#inFlight === 0 && !this.#flushing) this.#idle?.();
  }

  /** A block nobody is writing or reading: in order first, then anywhere (xorshift32). */
  #pick(): number {
    const blocks = this.#busy.length;
    if (this.#firstRound < blocks) return this.#firstRound++;
    for (;;) {
      let x = this.#random;
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      this.#random = x >>> 0;
      const index = this.#random % blocks;
      if (this.#busy[index] === 0) return index;
    }
  }

  #write(buffer: Buffer): void {
    if (this.#stopping) return;
    const { volume, epoch, firstBlock, issued } = this.#ledger;
    const index = this.#pick();
    const sequence = (issued[index] ?? 0) + 1;
    issued[index] = sequence;
    this.#busy[index] = 1;
    this.#inFlight++;
    encodeStamp(buffer, { volume, block: firstBlock + index, sequence, epoch });
    fs.write(this.#fd, buffer, 0, BLOCK, (firstBlock + index) * BLOCK, (error, bytes) => {
      this.#busy[index] = 0;
      this.#inFlight--;
      if (error !== null || bytes !== BLOCK) {
        this.#failed(`write of block ${String(firstBlock + index)}`, error, bytes);
        setTimeout(() => this.#write(buffer), AFTER_ERROR_MS);
      } else {
        this.#ledger.acked[index] = sequence;
        this.#acknowledged();
        if (this.#pauseMs === 0) this.#write(buffer);
        else setTimeout(() => this.#write(buffer), this.#pauseMs);
      }
      this.#settle();
    });
  }

  #acknowledged(): void {
    const at = now();
    const gap: Gap = [this.#lastAckMs, at];
    this.#lastAckMs = at;
    this.#total++;
    this.#sinceTick++;
    const length = gap[1] - gap[0];
    if (length >= NOTABLE_GAP_MS) this.#gaps.push(gap);
    else if (length > this.#longest[1] - this.#longest[0]) this.#longest = gap;
  }

  #failed(what: string, error: Error | null, bytes: number): void {
    this.#errors++;
    if (this.#errors > 20) return;
    const detail = `${what}: ${error === null ? `only ${String(bytes)} bytes` : error.message}`;
    report({ kind: 'error', atMs: now(), detail });
  }

  /** Reads a block at rest and judges it; a block not written yet is passed over. */
  #check(buffer: Buffer): void {
    if (this.#stopping) return;
    const { volume, epoch, firstBlock, acked, issued } = this.#ledger;
    if (this.#firstRound < this.#busy.length) {
      setTimeout(() => this.#check(buffer), 10);
      return;
    }
    const index = this.#pick();
    const block = firstBlock + index;
    this.#busy[index] = 1;
    this.#inFlight++;
    fs.read(this.#fd, buffer, 0, BLOCK, block * BLOCK, (error, bytes) => {
      this.#busy[index] = 0;
      this.#inFlight--;
      let wait = 1;
      if (error !== null || bytes !== BLOCK) {
        this.#failed(`read of block ${String(block)}`, error, bytes);
        wait = AFTER_ERROR_MS;
      } else if ((acked[index] ?? 0) > 0) {
        const range = { acked: acked[index] ?? 0, issued: issued[index] ?? 0 };
        this.#judged(judge(buffer, { volume, block, epoch, ...range }));
      }
      setTimeout(() => this.#check(buffer), wait);
      this.#settle();
    });
  }

  #judged({ fault, detail }: ReturnType<typeof judge>): void {
    this.#checked++;
    if (fault === undefined) return;
    this.#faults++;
    if (this.#faults <= 20) report({ kind: 'fault', atMs: now(), fault, detail });
  }

  /** Flushes go along with the writes: a flush that fails or hangs is a fault like any other. */
  #flush(): void {
    if (this.#flushing || this.#stopping) return;
    this.#flushing = true;
    fs.fdatasync(this.#fd, (error) => {
      this.#flushing = false;
      if (error !== null) this.#failed('fdatasync', error, 0);
      this.#settle();
    });
  }

  #tick(): void {
    const at = now();
    report({
      kind: 'tick',
      atMs: at,
      acked: this.#sinceTick,
      total: this.#total,
      errors: this.#errors,
      checked: this.#checked,
      faults: this.#faults,
      inFlight: this.#inFlight,
      gaps: this.#longest[1] === 0 ? this.#gaps : [...this.#gaps, this.#longest],
      silentMs: at - this.#lastAckMs,
    });
    this.#sinceTick = 0;
    this.#gaps = [];
    this.#longest = [0, 0];
  }
}

/** Writes the whole file once: later O_DIRECT writes change no metadata and may run in parallel. */
function layOut(path: string, bytes: number): void {
  const fd = fs.openSync(path, 'a');
  const zeros = Buffer.alloc(1024 * 1024);
  for (let at = fs.fstatSync(fd).size; at < bytes; at += zeros.length) {
    fs.writeSync(fd, zeros, 0, Math.min(zeros.length, bytes - at));
  }
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

async function main(): Promise<void> {
  const text = (fallback?: string): { type: 'string'; default?: string } =>
    fallback === undefined ? { type: 'string' } : { type: 'string', default: fallback };
  const options = {
    file: text(''),
    ledger: text(''),
    volume: text('volume'),
    blocks: text('4096'),
    'first-block': text('0'),
    'in-flight': text('32'),
    readers: text('2'),
    seed: text('1'),
    pause: text('0'),
  };
  const { values } = parseArgs({ options });
  const [file, ledgerFile] = [values.file ?? '', values.ledger ?? ''];
  if (file === '' || ledgerFile === '') throw new Error('--file and --ledger are needed');
  const number = (value: string | undefined): number => Number(value);
  const [blocks, first] = [number(values.blocks), number(values['first-block'])];
  const ledger = fs.existsSync(ledgerFile)
    ? { ...loadLedger(ledgerFile), epoch: loadLedger(ledgerFile).epoch + 1 }
    : newLedger(values.volume ?? '', first, blocks);
  layOut(file, (first + blocks) * BLOCK);
  const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_DIRECT);
  const seed = number(values.seed) * 2654435761 || 1;
  const writer = new Writer(fd, ledger, seed, number(values.pause));
  report({ kind: 'ready', atMs: now() });
  writer.start(number(values['in-flight']), number(values.readers));
  const input = createInterface({ input: process.stdin });
  const orphaned = (): void => process.exit(1);
  input.on('close', orphaned);
  await new Promise<void>((resolve) => {
    input.on('line', (line) => (line === 'stop' ? resolve() : undefined));
  });
  await writer.stop();
  input.off('close', orphaned);
  saveLedger(ledgerFile, ledger);
  fs.closeSync(fd);
}

await main();
// Threads of the pool may still be stuck in a device that never answers.
process.exit(0);
