/**
 * Virtual time: the Clock of src/ports/clock.ts with timers that fire only when a test says so.
 *
 * `advance` fires due timers one by one, in order of time and then of creation. Before time moves and
 * after every timer the promises in flight are given a real turn of the event loop (setImmediate runs
 * when the microtask queue is empty), so a chain of awaits of any length is over before the next
 * timer. No real time passes. Counting microtasks instead was rejected: a chain one link longer than
 * the count would silently run late.
 */
import type { Instant } from '../../../src/base/brand.ts';
import type { Clock, Timer } from '../../../src/ports/clock.ts';

interface Pending {
  readonly at: number;
  readonly seq: number;
  readonly run: () => void;
}

export class VirtualClock implements Clock {
  #now = 1_000;
  #seq = 0;
  readonly #pending = new Set<Pending>();

  now(): Instant {
    return this.#now as Instant;
  }

  nowUs(): number {
    return this.#now * 1_000;
  }

  wallTime(): Date {
    return new Date(1_700_000_000_000 + this.#now);
  }

  after(delayMs: number, run: () => void): Timer {
    const pending: Pending = { at: this.#now + Math.max(0, delayMs), seq: this.#seq++, run };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  /** Timers set and neither fired nor cancelled. */
  get timers(): number {
    return this.#pending.size;
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets `ms` pass. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await this.settle();
    for (let next = this.#next(until); next !== undefined; next = this.#next(until)) {
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      // Timers of one instant that wait for nothing in between share a turn.
      await this.settle();
    }
    this.#now = until;
  }

  /** Jumps without firing anything: a stall of our own process. The next `advance` fires them late. */
  stall(ms: number): void {
    this.#now += ms;
  }

  /** Lets time pass in steps until `condition`; throws after `limitMs`. */
  async until(condition: () => boolean, limitMs = 60_000, stepMs = 10): Promise<void> {
    const limit = this.#now + limitMs;
    await this.settle();
    while (!condition()) {
      if (this.#now >= limit)
        throw new Error(`not so within ${String(limitMs)} ms of virtual time`);
      await this.advance(stepMs);
    }
  }

  /** The outcome of a promise that needs virtual time to settle. */
  async run<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let over = false;
    const watched = promise.finally(() => (over = true));
    watched.catch(() => undefined);
    await this.until(() => over, limitMs);
    return await watched;
  }

  /** The same where real files are used: they take real turns of the event loop, and virtual time moves while they do. */
  async runWithFiles<T>(promise: Promise<T>): Promise<T> {
    const state = { over: false };
    const watched = promise.finally(() => (state.over = true));
    watched.catch(() => undefined);
    for (let turn = 0; !state.over && turn < 5_000; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await this.advance(10);
    }
    return await watched;
  }

  #next(until: number): Pending | undefined {
    let first: Pending | undefined;
    for (const timer of this.#pending) {
      if (timer.at > until) continue;
      if (
        first === undefined ||
        timer.at < first.at ||
        (timer.at === first.at && timer.seq < first.seq)
      )
        first = timer;
    }
    return first;
  }
}
