/**
 * What is judged while faults run, and not only when everything has healed:
 *
 *   stuck   a request is older than a bound, and all the while some path was well
 *   blame   the storage behind all paths is slow and nothing else is wrong, and the volume goes from path
 *           to path: it takes slow for dead
 *   failed  the volume gives up for want of a path although all were well
 *
 * Bounds are far above what the policy allows (round.ts): they tell "never" from "late", not late from soon.
 */
import type { Health } from './health.ts';

/** Of a request, and of the path that was well meanwhile. */
const STUCK_MS = 20_000;
/**
 * Switches of one spell of slow storage. None is due; one more than that may be when this machine was busy
 * or when a fault had healed only just before.
 */
const FAILOVERS_OF_A_SPELL = 2;
/** Beyond no-path-timeout. */
const GIVING_UP_MS = 1_500;
const LOOK_MS = 500;

export interface VigilScene {
  readonly health: Health;
  readonly now: () => number;
  /** The request that waits for longest. */
  readonly oldest: () => { readonly op: string; readonly start: number } | undefined;
  /** Since when a worker serves; undefined: none does. */
  readonly servesSince: () => number | undefined;
  readonly noPathTimeoutMs: number;
  readonly find: (rule: 'stuck' | 'blame' | 'failed', what: string) => void;
}

export class Vigil {
  readonly #scene: VigilScene;
  readonly #timer: NodeJS.Timeout;
  #slow = false;
  #failovers = 0;
  /** Whatever waited before that had a reason. */
  #excusedUntil = 0;

  constructor(scene: VigilScene) {
    this.#scene = scene;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** The storage is slow from now on, and all paths are well. */
  slowBegins(): void {
    this.#slow = true;
    this.#failovers = 0;
  }

  slowEnds(): void {
    this.#slow = false;
    this.excuse();
  }

  /** The worker was stopped, or something else that is nobody's fault. */
  excuse(): void {
    this.#excusedUntil = this.#scene.now();
  }

  failover(from: string, to: string): void {
    if (!this.#slow) return;
    this.#failovers++;
    if (this.#failovers <= FAILOVERS_OF_A_SPELL) return;
    this.#scene.find(
      'blame',
      `${from} -> ${to} is failover ${String(this.#failovers)} while every path is well and the storage ` +
        'behind them is slow',
    );
  }

  /** It was held for too long, it says. */
  gaveUp(why: string): void {
    const { health, noPathTimeoutMs, now, find } = this.#scene;
    const { allSince } = health;
    if (allSince === undefined) return;
    const wellFor = now() - allSince;
    if (wellFor < noPathTimeoutMs + GIVING_UP_MS) return;
    find('failed', `with every path well for ${wellFor.toFixed(0)} ms: ${why}`);
  }

  #look(): void {
    const { health, now, oldest, servesSince, find } = this.#scene;
    const [request, wellSince, served] = [oldest(), health.oneSince, servesSince()];
    if (request === undefined || wellSince === undefined || served === undefined) return;
    if (this.#slow) return;
    const since = Math.max(request.start, wellSince, served, this.#excusedUntil);
    if (now() - since < STUCK_MS) return;
    const age = ((now() - request.start) / 1000).toFixed(1);
    const paths = health.well.join(', ');
    find(
      'stuck',
      `a ${request.op} has waited for ${age} s, and ${paths} could have carried it out`,
    );
  }
}
