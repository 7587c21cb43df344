/**
 * Clients of the volume: each does one thing after the other, reads, writes, flushes, discards and zeros on
 * few and hot blocks, and everything goes to the checker. A write has a value of its own; discards and
 * zeros write zero. Every sector is a register: requests begin and end at any of them.
 *
 * An operation begins before the worker is told of it and ends after the worker has said so: what is
 * checked is never stricter than what was promised.
 */
import type { Prng } from '../../src/base/prng.ts';
import type { IoKind } from '../../src/ports/block.ts';
import {
  type Operation,
  RegisterChecker,
  type Violation,
} from '../support/model/register-checker.ts';
import { DISOWNED_VALUES, STRANGERS_VALUE } from './gateway.ts';
import { BLOCK_SECTORS, type FromWorker, sectorsOf, type ToWorker } from './messages.ts';
import type { Tally } from './tally.ts';

/** Blocks of 4 KiB that are worked on. */
const BLOCKS = 24;
const SECTORS = BLOCKS * BLOCK_SECTORS;
/** Sectors that most operations are on. */
const HOTTEST = 5 * BLOCK_SECTORS;
const CLIENTS = 14;
/** A client thinks for up to this long between two operations, ms. */
const THINK_MS = 6;

/** A place on the unit, in sectors. */
interface Range {
  readonly at: number;
  readonly sectors: number;
}

const NOWHERE: Range = { at: 0, sectors: 0 };

interface Pending {
  readonly op: IoKind;
  readonly start: number;
  readonly operations: readonly Operation[];
  readonly done: () => void;
  readonly answered: Promise<void>;
}

export interface WorkloadEvents {
  readonly tell: (message: ToWorker) => void;
  readonly violated: (violation: Violation) => void;
  /** An operation was answered with an error. */
  readonly failed: (op: IoKind, error: string) => void;
  /** Answered well, although an operation had failed before it began. */
  readonly revived: (op: IoKind) => void;
}

export class Workload {
  readonly checker: RegisterChecker;
  readonly #prng: Prng;
  readonly #tally: Tally;
  readonly #events: WorkloadEvents;
  readonly #volatile: boolean;
  #offers: readonly IoKind[] = [];
  readonly #pending = new Map<number, Pending>();
  #clients: Promise<unknown> = Promise.resolve();
  #nextId = 1;
  #value = 0;
  #lastTime = 0;
  #stopping = false;
  /** Resolves when operations may be begun. */
  #open: Promise<void> | undefined;
  #resume: (() => void) | undefined;
  /** When the first operation of this worker failed. */
  #failedAt = Infinity;
  #worker = 0;
  /** Beginning of the newest flush that was answered well: what had been answered by then is stable. */
  #flushed = 0;
  /** When the power of a volatile cache failed last. */
  #blackOut = 0;

  /** @param volatile what is answered is stable only once a flush was answered that began after. */
  constructor(prng: Prng, tally: Tally, volatile: boolean, events: WorkloadEvents) {
    this.checker = new RegisterChecker(SECTORS, volatile ? 'volatile' : 'none');
    this.#volatile = volatile;
    this.#prng = prng;
    this.#tally = tally;
    this.#events = events;
    this.#suspend();
  }

  /** Since when the oldest request waits for its answer; undefined: none does. */
  get oldest(): { readonly op: IoKind; readonly start: number } | undefined {
    // In the order in which they began.
    return this.#pending.values().next().value;
  }

  /** ms, never twice the same. */
  now(): number {
    this.#lastTime = Math.max(performance.now(), this.#lastTime + 1e-4);
    return this.#lastTime;
  }

  /**
   * A worker serves: what was lost with those before it has taken effect or never will, and is stable. If
   * the power has failed since the last flush, what that does not cover may have gone with worker and
   * cache; if not, nothing has. `offers`: what it can do beyond reads, writes and flushes.
   */
  serve(offers: readonly IoKind[]): void {
    this.#offers = offers;
    const at = this.now();
    if (this.#blackOut > this.#flushed) this.checker.crash(at);
    else this.checker.settle(at);
    this.#stable(at);
    this.#failedAt = Infinity;
    this.#worker++;
    this.#open = undefined;
    this.#resume?.();
  }

  /** The power of the unit fails. Without a volatile cache that is nothing to be told of. */
  blackOut(): void {
    this.#blackOut = this.now();
  }

  #stable(at: number): void {
    this.#flushed = Math.max(this.#flushed, at);
    this.checker.flushed(at);
  }

  /** Begins nothing until a worker serves; resolves when what is under way was answered. */
  async pause(): Promise<void> {
    this.#suspend();
    await Promise.all([...this.#pending.values()].map(({ answered }) => answered));
  }

  /** The worker is gone, and with it the answers to what was under way. */
  lose(): void {
    this.#suspend();
    for (const { operations, done } of this.#pending.values()) {
      const at = this.now();
      for (const operation of operations) this.checker.lose(operation, at);
      this.#tally.operations.unknown++;
      done();
    }
    this.#pending.clear();
  }

  start(): void {
    this.#clients = Promise.all(Array.from({ length: CLIENTS }, () => this.#client()));
  }

  /** Begins nothing any more; resolves when everything was answered. */
  async stop(): Promise<void> {
    this.#stopping = true;
    // Who waits for a worker looks again.
    const resume = this.#resume;
    if (this.#open !== undefined) this.#open = new Promise((next) => (this.#resume = next));
    resume?.();
    await this.#clients;
  }

  /** One flush, as soon as a worker serves. */
  async flush(): Promise<void> {
    await this.#serving();
    await this.#do('flush', NOWHERE);
  }

  /** Reads every block once. */
  async readAll(): Promise<void> {
    await this.#serving();
    const sectors = BLOCK_SECTORS;
    const blocks = Array.from({ length: BLOCKS }, (_, at) => ({ at: at * sectors, sectors }));
    await Promise.all(blocks.map((range) => this.#do('read', range)));
  }

  hear({ id, error, seen }: Extract<FromWorker, { kind: 'done' }>): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    const { op, start, operations, done } = pending;
    const at = this.now();
    if (error !== undefined) {
      this.#tally.operations.failed++;
      this.#failedAt = Math.min(this.#failedAt, at);
      for (const operation of operations) this.checker.lose(operation, at);
      this.#events.failed(op, error);
    } else {
      if (start > this.#failedAt) this.#events.revived(op);
      if (op === 'flush') this.#stable(start);
      const shown = sectorsOf(seen);
      for (const [index, operation] of operations.entries()) {
        const violation = this.checker.end(operation, at, shown[index]);
        if (violation !== undefined) this.#events.violated(explained(violation));
      }
    }
    done();
  }

  #suspend(): void {
    this.#open ??= new Promise((resolve) => (this.#resume = resolve));
  }

  /** Resolves when operations may be begun, or `isOver` says that they need not. */
  async #serving(isOver = (): boolean => false): Promise<void> {
    // Suspended again before it came to its turn: wait again.
    while (this.#open !== undefined && !isOver()) await this.#open;
  }

  async #client(): Promise<void> {
    for (;;) {
      await this.#serving(() => this.#stopping);
      if (this.#stopping) return;
      const op = this.#kind();
      await this.#do(op, op === 'flush' ? NOWHERE : this.#range());
      await pause(this.#below(THINK_MS));
    }
  }

  #kind(): IoKind {
    const dice = this.#below(100);
    if (dice < 4) return 'flush';
    if (dice < 8) return this.#offers.includes('discard') ? 'discard' : 'write';
    if (dice < 12) return this.#offers.includes('write-zeroes') ? 'write-zeroes' : 'write';
    return dice < 52 ? 'write' : 'read';
  }

  /**
   * Mostly one block; now and then some sectors anywhere, which are less than a block or lie across
   * several, and so many that the data takes several PDUs.
   */
  #range(): Range {
    const dice = this.#below(100);
    if (dice < 55) return this.#anywhere(BLOCK_SECTORS, BLOCK_SECTORS);
    if (dice < 70) return this.#anywhere(1 + this.#below(BLOCK_SECTORS), 1);
    if (dice < 84) return this.#anywhere(2 + this.#below(3 * BLOCK_SECTORS), 1);
    if (dice < 97) return this.#anywhere((2 + this.#below(3)) * BLOCK_SECTORS, BLOCK_SECTORS);
    return { at: 0, sectors: SECTORS };
  }

  /** So many sectors, mostly in the hottest place; they begin at a multiple of `step`. */
  #anywhere(sectors: number, step: number): Range {
    const most = sectors <= HOTTEST && this.#below(3) > 0 ? HOTTEST : SECTORS;
    return { at: step * this.#below(Math.floor((most - sectors) / step) + 1), sectors };
  }

  #do(op: IoKind, { at, sectors }: Range): Promise<void> {
    const start = this.now();
    const id = this.#nextId++;
    const value = op === 'write' ? ++this.#value : 0;
    const kind = op === 'read' ? 'read' : 'write';
    const fua = kind === 'write' && op !== 'flush' && this.#below(6) === 0;
    this.#tally.operations[op]++;
    const mark = op === 'read' || op === 'write' ? '' : ` ${op}`;
    const note = `#${String(id)} worker ${String(this.#worker)}${mark}${fua ? ' FUA' : ''}`;
    const operations: Operation[] = [];
    for (let block = at; block < at + sectors; block++) {
      const begun = { kind, block, value, start, fua: fua && this.#volatile } as const;
      operations.push(this.checker.begin(begun, note));
    }
    let done: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => (done = resolve));
    this.#pending.set(id, { op, start, operations, done, answered });
    this.#events.tell({ kind: 'io', id, op, at, sectors, value, fua });
    return answered;
  }

  #below(limit: number): number {
    return this.#prng.below(limit);
  }
}

function explained(violation: Violation): Violation {
  const [value = 0] = violation.values;
  if (value === STRANGERS_VALUE) {
    return { ...violation, what: 'read what stands in another logical unit' };
  }
  if (value < DISOWNED_VALUES) return violation;
  return { ...violation, what: 'read what a node has written that is not the owner any more' };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
