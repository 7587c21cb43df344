/**
 * Watches the I/O in flight on the current path: does it move on? Looks every `periodMs`; a look that
 * comes late means that our own event loop stood still, which proves nothing about the path: what was
 * waited for in that time does not count, and the controller is told.
 *
 * Deadlines differ by kind: FLUSH, UNMAP and WRITE SAME may take long on healthy targets.
 */
import type { Instant } from '../base/brand.ts';
import type { Clock, Timer } from './ports.ts';

/** What is in flight now; undefined: nothing. */
export interface InFlight {
  /** Session counter, see Session.progress. */
  readonly progress: number;
  /** Only slow kinds (flush, discard, write-zeroes) are in flight. */
  readonly slowOnly: boolean;
}

export interface StallDeadlines {
  readonly ioMs: number;
  readonly slowMs: number;
}

export interface StallEvents {
  stalled(overdue: boolean): void;
  progressed(): void;
  ownStall(durationMs: number): void;
}

export class StallWatch {
  readonly #clock: Clock;
  readonly #periodMs: number;
  readonly #deadlines: StallDeadlines;
  readonly #look: () => InFlight | undefined;
  readonly #events: StallEvents;
  #timer: Timer | undefined;
  #lastLook: Instant;
  #since: Instant | undefined;
  #progress = -1;

  constructor(
    clock: Clock,
    deadlines: StallDeadlines,
    look: () => InFlight | undefined,
    events: StallEvents,
  ) {
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#periodMs = Math.max(10, Math.min(100, deadlines.ioMs / 10));
    this.#look = look;
    this.#events = events;
    this.#lastLook = clock.now();
    this.#arm();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /**
   * Whether we stood still, asked before anything else is judged: a timer that has expired meanwhile may
   * run before ours.
   */
  catchUp(): void {
    const now = this.#clock.now();
    if (this.#timer !== undefined && this.#isLate(now)) this.#tick(now);
  }

  #isLate(now: Instant): boolean {
    return now - this.#lastLook - this.#periodMs > this.#deadlines.ioMs / 2;
  }

  #arm(): void {
    this.#timer = this.#clock.after(this.#periodMs, () => {
      this.#arm();
      this.#tick(this.#clock.now());
    });
  }

  #tick(now: Instant): void {
    const isLate = this.#isLate(now);
    const lateMs = now - this.#lastLook - this.#periodMs;
    this.#lastLook = now;
    if (isLate) {
      this.#events.ownStall(lateMs);
      // The sockets are read before the next look: start counting from here.
      if (this.#since !== undefined) this.#since = now;
      return;
    }
    const inFlight = this.#look();
    if (inFlight === undefined) {
      this.#since = undefined;
      return;
    }
    if (this.#since === undefined || inFlight.progress !== this.#progress) {
      const moved = this.#since !== undefined;
      this.#since = now;
      this.#progress = inFlight.progress;
      if (moved) this.#events.progressed();
      return;
    }
    const deadlineMs = inFlight.slowOnly ? this.#deadlines.slowMs : this.#deadlines.ioMs;
    const stalledMs = now - this.#since;
    if (stalledMs >= deadlineMs) this.#events.stalled(true);
    else if (stalledMs >= deadlineMs / 2) this.#events.stalled(false);
  }
}
