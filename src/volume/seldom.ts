/** What is worth an event is told at most so often: of many commands with one fate the first tells. */
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
