/**
 * What TCP makes of a link that loses packets, in virtual time: everything arrives, in order. What is lost is
 * sent again after 200 to 299 ms, then after twice that time, and all that was sent behind it waits for it.
 * Packets are lost at random, and all of them in a hiccup.
 *
 * On one link losses at random are a second apart, and not close to a hiccup: of both in a row a path may be
 * silent for longer than `io-deadline`, and then it is left rightly.
 */
import type { Prng } from '../../../src/base/prng.ts';
import type { Gateway } from './fake-session.ts';

const FIRST_RESEND_MS = [200, 299] as const;
const APART_MS = 1_000;
const HICCUP_MS = 300;
/** From one hiccup to the next. */
const HICCUP_EVERY_MS = [2_000, 4_000] as const;

/** Times in which nothing passes, of one link or of several. */
export class Hiccups {
  readonly #prng: Prng;
  readonly #begin: number[] = [];

  constructor(now: number, prng: Prng) {
    this.#prng = prng;
    this.#begin.push(now + between(HICCUP_EVERY_MS, prng));
  }

  /** Of a packet that is sent at this time; or so close to one that the other is still felt. */
  at(time: number, closeMs = 0): boolean {
    const last = (): number => this.#begin.at(-1) ?? Infinity;
    while (last() < time + closeMs) this.#begin.push(last() + between(HICCUP_EVERY_MS, this.#prng));
    const [from, to] = [time - HICCUP_MS - closeMs, time + closeMs];
    // A packet that is sent again looks about a second ahead of others.
    return this.#begin.slice(-4).some((begin) => begin > from && begin <= to);
  }
}

export interface Losses {
  /** Of a thousand packets, at random. */
  readonly permille: number;
  readonly hiccups: Hiccups | undefined;
}

/** Lies in front of a gateway from now on: everything takes its time from here. */
export class TcpLink {
  readonly #losses: Losses;
  readonly #prng: Prng;
  /** Nothing arrives before what was sent before it. */
  readonly #arrivals = { in: 0, out: 0 };
  #lostAt = -Infinity;
  /** Packets that were sent again. */
  resent = 0;
  /** The longest time that a packet has taken, ms. */
  worstMs = 0;

  constructor(gateway: Gateway, losses: Losses, prng: Prng) {
    this.#losses = losses;
    this.#prng = prng;
    const pass = (direction: 'in' | 'out') => (): number =>
      this.#pass(direction, gateway.clock.now());
    gateway.delayMs = pass('in');
    gateway.answerDelayMs = pass('out');
    gateway.pingDelayMs = pass('in');
    gateway.pongDelayMs = pass('out');
  }

  /** How long a packet takes that is sent now. */
  #pass(direction: 'in' | 'out', now: number): number {
    let resendMs = between(FIRST_RESEND_MS, this.#prng);
    let sentAt = now;
    for (let lost = this.#lostAtRandom(now); lost > 0 || this.#isHiccup(sentAt); lost--) {
      this.resent++;
      sentAt += resendMs;
      resendMs *= 2;
    }
    const at = Math.max(sentAt + 1, this.#arrivals[direction]);
    this.#arrivals[direction] = at;
    this.worstMs = Math.max(this.worstMs, at - now);
    return at - now;
  }

  /** How often a packet is lost at random. Twice far more often than by chance: that is what takes long. */
  #lostAtRandom(now: number): number {
    const isApart = now - this.#lostAt >= APART_MS && !this.#isHiccup(now, APART_MS);
    if (!isApart || this.#prng.below(1_000) >= this.#losses.permille) return 0;
    this.#lostAt = now;
    return 1 + this.#prng.below(2);
  }

  #isHiccup(time: number, closeMs = 0): boolean {
    return this.#losses.hiccups?.at(time, closeMs) ?? false;
  }
}

function between([least, most]: readonly [number, number], prng: Prng): number {
  return least + prng.below(most - least + 1);
}
