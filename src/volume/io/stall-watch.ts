/**
 * Watches the I/O in flight on the current path (D50, D56): does it move on, and does the path answer at all?
 * Looks every now and then; a look that comes late means that our own event loop stood still, which proves
 * nothing about the path: what was waited for in that time does not count, and the controller is told.
 *
 * As soon as nothing comes from the path between two looks it is pinged: silence is then a matter of the
 * path, not of a slow command. The sockets are read between two looks, however late the second one is. So
 * time without an answer counts as a whole up to the look before. The time since then counts for two periods
 * at most: an answer may lie in a socket that is not read yet. So does the first time after the ping: the
 * ping may not have been sent before its end.
 *
 * Deadlines differ by kind: FLUSH, UNMAP and WRITE SAME may take long on healthy targets. Silence does not.
 */
import type { Instant } from '../../base/brand.ts';
import type { Policy } from '../../paths/policy.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { StallSignal } from './io-signal.ts';

/** What is in flight now; undefined: nothing. */
export interface InFlight {
  /** Where it is: silence is of one session alone. */
  readonly session: object;
  /** Session counters, see Session.progress and Session.heard. */
  readonly progress: number;
  readonly heard: number;
  /** Asks for an answer that counts in `heard`. */
  readonly ping: () => void;
  /** Only slow kinds (flush, discard, write-zeroes) are in flight. */
  readonly slowOnly: boolean;
}

export type StallParameters = Pick<Policy, 'ioDeadlineMs' | 'flushDeadlineMs'>;

/** Two losses in a row of a packet, and the target's turn to speak: no silence, as shares of `ioDeadlineMs`. */
const SUSPECT_SHARE = 0.35;
const PING_SHARE = 0.25;

export class StallWatch {
  readonly #clock: Clock;
  readonly #policy: () => StallParameters;
  readonly #look: () => InFlight | undefined;
  readonly #emit: (signal: StallSignal) => void;
  #timer: Timer | undefined;
  #lastLook: Instant;
  /** When the look that is awaited is due after the last one. */
  #periodMs = 0;
  #since: Instant | undefined;
  #progress = -1;
  #session: object | undefined;
  #heard = -1;
  #pingedAt: Instant | undefined;
  /** A ping is to be answered. */
  #awaited = false;
  /** From when on nothing has come, as far as it is certain; and for how long at the last look, ms. */
  #silentSince: Instant | undefined;
  #silentMs = 0;

  constructor(
    clock: Clock,
    policy: () => StallParameters,
    look: () => InFlight | undefined,
    emit: (signal: StallSignal) => void,
  ) {
    this.#clock = clock;
    this.#policy = policy;
    this.#look = look;
    this.#emit = emit;
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
    return now - this.#lastLook - this.#periodMs > this.#policy().ioDeadlineMs / 2;
  }

  /** Twice as often while anything is in flight. */
  #arm(): void {
    const periodMs = Math.max(10, Math.min(100, this.#policy().ioDeadlineMs / 10));
    this.#periodMs = this.#since === undefined ? periodMs : periodMs / 2;
    this.#timer = this.#clock.after(this.#periodMs, () => {
      this.#tick(this.#clock.now());
      if (this.#timer !== undefined) this.#arm();
    });
  }

  #tick(now: Instant): void {
    const isLate = this.#isLate(now);
    const tookMs = now - this.#lastLook;
    this.#lastLook = now;
    if (isLate) {
      this.#emit({ kind: 'own-stall', durationMs: tookMs - this.#periodMs });
      // The sockets are read before the next look: start counting from here.
      if (this.#since !== undefined) this.#since = now;
      this.#endSilence();
      return;
    }
    const inFlight = this.#look();
    if (inFlight === undefined) {
      this.#since = undefined;
      this.#awaited = false;
      return;
    }
    const wasSilent = this.#silentMs > 0;
    if (inFlight.session !== this.#session) this.#since = undefined;
    this.#listen(inFlight, now, tookMs);
    if (this.#since === undefined || inFlight.progress !== this.#progress) {
      const stalledMs = this.#since === undefined ? undefined : now - this.#since;
      this.#since = now;
      this.#progress = inFlight.progress;
      if (stalledMs !== undefined) {
        this.#emit({ kind: 'io-progressed', stalledMs: inFlight.slowOnly ? 0 : stalledMs });
      }
      return;
    }
    const { ioDeadlineMs, flushDeadlineMs } = this.#policy();
    const deadlineMs = inFlight.slowOnly ? flushDeadlineMs : ioDeadlineMs;
    const isSilent = this.#silentMs >= ioDeadlineMs * SUSPECT_SHARE;
    if (isSilent) {
      this.#emit({ kind: 'io-stalled', silentMs: this.#silentMs });
      return;
    }
    // Whether it answers is not known while a ping is late; and what was late with it comes right behind it.
    if (wasSilent || this.#silentMs > 0) return;
    if (now - this.#since >= deadlineMs / 2) this.#emit({ kind: 'io-stalled', silentMs: 0 });
  }

  #endSilence(): void {
    this.#silentSince = undefined;
    this.#silentMs = 0;
  }

  #listen({ session, heard, ping }: InFlight, now: Instant, tookMs: number): void {
    // The counters of another session may stand where those of the last one stood.
    if (session !== this.#session || heard !== this.#heard) {
      this.#session = session;
      this.#heard = heard;
      this.#awaited = false;
      this.#endSilence();
      return;
    }
    if (this.#awaited) {
      const lastMs = Math.min(tookMs, 2 * this.#periodMs);
      this.#silentSince ??= (now - lastMs) as Instant;
      const certainMs = Math.max(0, now - tookMs - this.#silentSince);
      this.#silentMs = certainMs + lastMs;
      return;
    }
    // A path that answers pings and nothing else is not pinged all the time.
    const pauseMs = this.#policy().ioDeadlineMs * PING_SHARE;
    if (this.#pingedAt !== undefined && now - this.#pingedAt < pauseMs) return;
    this.#pingedAt = now;
    this.#awaited = true;
    ping();
  }
}
