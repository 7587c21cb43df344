/**
 * Clients of the volume: each does one thing after the other, reads, writes and flushes on few and hot
 * blocks, and everything goes to the checker. A write has a value of its own; a block has two registers,
 * its first sector and its last, so that a block which is half one write and half another is seen.
 *
 * An operation begins before the worker is told of it and ends after the worker has said so: what is
 * checked is never stricter than what was promised.
 */
import type { Prng } from '../../src/base/prng.ts';
import { type Operation, RegisterChecker, type Violation } from '../support/register-checker.ts';
import { STRANGERS_VALUE } from './gateway.ts';
import { type FromWorker, REGISTERS, type ToWorker } from './messages.ts';
import type { Tally } from './tally.ts';

/** Blocks of 4 KiB that are worked on. */
const BLOCKS = 24;
/** That most operations are on. */
const HOTTEST = 5;
const CLIENTS = 14;
/** A client thinks for up to this long between two operations, ms. */
const THINK_MS = 6;

type Op = 'read' | 'write' | 'flush';

interface Pending {
  readonly op: Op;
  readonly start: number;
  readonly operations: readonly Operation[];
  readonly done: () => void;
}

export interface WorkloadEvents {
  readonly tell: (message: ToWorker) => void;
  readonly violated: (violation: Violation) => void;
  /** An operation was answered with an error. */
  readonly failed: (op: Op, error: string) => void;
  /** Answered well, although an operation had failed before it began. */
  readonly revived: (op: Op) => void;
}

export class Workload {
  readonly checker: RegisterChecker;
  readonly #prng: Prng;
  readonly #tally: Tally;
  readonly #events: WorkloadEvents;
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
    this.checker = new RegisterChecker(BLOCKS * REGISTERS.length, volatile ? 'volatile' : 'none');
    this.#prng = prng;
    this.#tally = tally;
    this.#events = events;
    this.#suspend();
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** ms, never twice the same. */
  now(): number {
    this.#lastTime = Math.max(performance.now(), this.#lastTime + 1e-4);
    return this.#lastTime;
  }

  /**
   * A worker serves: what was lost with those before it has taken effect or never will, and is stable. If
   * the power has failed since the last flush, what that does not cover may have gone with worker and
   * cache; if not, nothing has.
   */
  serve(): void {
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
    this.#resume?.();
    await this.#clients;
  }

  /** One flush. */
  flush(): Promise<void> {
    return this.#do('flush', 0, 0);
  }

  /** Reads every block once. */
  async readAll(): Promise<void> {
    await Promise.all(Array.from({ length: BLOCKS }, (_, at) => this.#do('read', at, 1)));
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
      for (const [index, operation] of operations.entries()) {
        const violation = this.checker.end(operation, at, seen[index]);
        if (violation !== undefined) this.#events.violated(explained(violation));
      }
    }
    done();
  }

  #suspend(): void {
    this.#open ??= new Promise((resolve) => (this.#resume = resolve));
  }

  async #client(): Promise<void> {
    while (!this.#stopping) {
      // Suspended again before it came to its turn: wait again.
      if (this.#open !== undefined) {
        await this.#open;
        continue;
      }
      const dice = this.#below(100);
      if (dice < 4) await this.#do('flush', 0, 0);
      else {
        const blocks = this.#span();
        const hot = blocks === 1 && this.#below(3) > 0 ? HOTTEST : BLOCKS - blocks + 1;
        const at = this.#below(hot);
        await this.#do(dice < 50 ? 'write' : 'read', at, blocks);
      }
      await pause(this.#below(THINK_MS));
    }
  }

  /** Mostly one block; now and then so many that the data takes several PDUs. */
  #span(): number {
    const dice = this.#below(100);
    if (dice < 80) return 1;
    return dice < 96 ? 2 + this.#below(3) : BLOCKS;
  }

  #do(op: Op, at: number, blocks: number): Promise<void> {
    const start = this.now();
    const id = this.#nextId++;
    const value = op === 'write' ? ++this.#value : 0;
    this.#tally.operations[op]++;
    const note = `#${String(id)} worker ${String(this.#worker)}`;
    const operations: Operation[] = [];
    for (let index = 0; op !== 'flush' && index < blocks * REGISTERS.length; index++) {
      const block = at * REGISTERS.length + index;
      operations.push(this.checker.begin({ kind: op, block, value, start }, note));
    }
    return new Promise((done) => {
      this.#pending.set(id, { op, start, operations, done });
      this.#events.tell({ kind: 'io', id, op, at, blocks, value });
    });
  }

  #below(limit: number): number {
    return this.#prng.below(limit);
  }
}

function explained(violation: Violation): Violation {
  if (violation.values[0] !== STRANGERS_VALUE) return violation;
  return { ...violation, what: 'read what stands in another logical unit' };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
