/**
 * Waiting times after failures of the API server: doubling from 0.8 s to 60 s, each drawn from the upper
 * half of its range (client-go's reflector: 0.8 s to 30 s). The long maximum and the wide range are for
 * the return of an API server after an outage: 5,000 nodes then ask again within half a minute, not all
 * at once.
 *
 * Pure: chance and time are passed in.
 */
export const BACKOFF_MIN_MS = 800;
export const BACKOFF_MAX_MS = 60_000;

/** @param failures in a row, from 1 on. @param chance 0..1. */
export function backoffMs(failures: number, chance: number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures, 20));
  return Math.round(ceiling / 2 + (chance * ceiling) / 2);
}

/**
 * One waiting time for everything in a process that waits for the same server: what fails while an
 * attempt is planned waits for that one. Twenty watches of a node then make one connection attempt
 * together, instead of each its own.
 */
export class SharedBackoff {
  #failures = 0;
  #plannedMs = -Infinity;

  /** An attempt has failed: how long to wait for the next. @param chance 0..1. */
  failed(nowMs: number, chance: number): number {
    if (nowMs >= this.#plannedMs) {
      this.#failures += 1;
      this.#plannedMs = nowMs + backoffMs(this.#failures, chance);
    }
    return this.#plannedMs - nowMs;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#plannedMs = -Infinity;
  }
}
