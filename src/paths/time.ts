/** Arithmetic on monotonic instants; integer milliseconds. `undefined` means never. */
import type { Instant } from '../base/brand.ts';

export function after(instant: Instant, delayMs: number): Instant {
  return (instant + delayMs) as Instant;
}

export function later(a: Instant, b: Instant): Instant {
  return a >= b ? a : b;
}

/** The earliest of those that will ever come. */
export function earliest(instants: readonly (Instant | undefined)[]): Instant | undefined {
  let first: Instant | undefined;
  for (const instant of instants) {
    if (instant === undefined || instant === Infinity) continue;
    if (first === undefined || instant < first) first = instant;
  }
  return first;
}
