/**
 * When a volume's status annotation is written again: at transitions, at most once in 30 s while a
 * weight moves, and never while nothing happens (D73).
 *
 * A transition is what a person would look for: volume state, current path, a path's state, portal, drain
 * or ceiling, a switch: `writes: 'soon'` in pathd/facts.ts. Errors of a path that stays down, and their times, are not: they come with every
 * probe. Transitions are bounded too (a bucket of 10, one in 10 s), because a path that flaps must not
 * write to etcd as fast as it flaps; what is held back is written when a token is there, in its newest
 * form.
 *
 * Pure: time is passed in.
 */
import type { VolumeStatus } from '../pathd/api.ts';
import { picker } from '../pathd/facts.ts';

export const GROWTH_PERIOD_MS = 30_000;
const BURST = 10;
const REFILL_MS = 10_000;

export class StatusPace {
  #transition = '';
  #weights = '';
  #writtenAtMs: number | undefined;
  #tokens = BURST;
  #tokensAtMs = 0;

  /** Whether `volume` is to be written now. A yes must be followed by `written`. */
  isDue(volume: VolumeStatus, nowMs: number): boolean {
    if (this.#writtenAtMs === undefined) return true;
    if (transitionOf(volume) !== this.#transition) {
      return this.#available(nowMs) >= 1;
    }
    if (weightsOf(volume) === this.#weights) return false;
    return nowMs - this.#writtenAtMs >= GROWTH_PERIOD_MS;
  }

  written(volume: VolumeStatus, nowMs: number): void {
    const transition = transitionOf(volume);
    if (transition !== this.#transition) {
      this.#tokens = Math.max(0, this.#available(nowMs) - 1);
      this.#tokensAtMs = nowMs;
    }
    this.#transition = transition;
    this.#weights = weightsOf(volume);
    this.#writtenAtMs = nowMs;
  }

  #available(nowMs: number): number {
    return Math.min(BURST, this.#tokens + (nowMs - this.#tokensAtMs) / REFILL_MS);
  }
}

const soon = picker(({ writes }) => writes === 'soon');
const slowly = picker(({ writes }) => writes === 'slowly');

function transitionOf(volume: VolumeStatus): string {
  return JSON.stringify(soon(volume));
}

function weightsOf(volume: VolumeStatus): string {
  return JSON.stringify(slowly(volume));
}
