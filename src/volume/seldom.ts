/** An event is told once a minute at most: of many commands that end in the same way the first is reported. */
import type { Clock } from '../ports/clock.ts';

const TOLD_MS = 60_000;

export function seldom<Args extends readonly unknown[]>(
  clock: Clock,
  tell: (...args: Args) => void,
): (...args: Args) => void {
  let toldAt = -Infinity;
  return (...args) => {
    const now = clock.now();
    if (now - toldAt < TOLD_MS) return;
    toldAt = now;
    tell(...args);
  };
}
