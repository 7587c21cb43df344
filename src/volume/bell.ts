/** Waits for "something has changed", at most for a time: one waiter, rung by any part. */
import type { Clock } from '../ports/clock.ts';

export class Bell {
  readonly #clock: Clock;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#wake?.();
  }

  /** Resolves when it rings, after `timeoutMs` at the latest. */
  within(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(timeoutMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}
