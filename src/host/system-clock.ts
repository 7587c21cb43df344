/** The clock of a real process: monotonic time that no clock step touches, and timers. */
import type { Instant } from '../base/brand.ts';
import type { Clock } from '../ports/clock.ts';

export const systemClock: Clock = {
  now: () => Math.floor(performance.now()) as Instant,
  nowUs: () => performance.now() * 1000,
  wallTime: () => new Date(),
  after: (delayMs, run) => {
    // setTimeout takes at most 2^31-1 ms and would fire at once beyond that.
    const timer = setTimeout(run, Math.min(delayMs, 2 ** 31 - 1));
    return {
      cancel: () => {
        clearTimeout(timer);
      },
    };
  },
};
