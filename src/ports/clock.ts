/**
 * Time, passed to everything that waits: a process passes `host/system-clock.ts`, tests pass a virtual clock.
 * Times are integer milliseconds.
 */
import type { Instant } from '../base/brand.ts';

export interface Timer {
  cancel(): void;
}

/** Monotonic time and one-shot timers; tests pass a virtual one. */
export interface Clock {
  now(): Instant;
  /** The same time in microseconds, for latencies. */
  nowUs(): number;
  /** Wall-clock time, only ever for what people read. */
  wallTime(): Date;
  after(delayMs: number, run: () => void): Timer;
}
