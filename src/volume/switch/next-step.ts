/**
 * What the switcher does next: a pure function of how things stand. README.md has the table; the first row
 * that fits is the answer. The switcher carries the step out, and asks again when it has ended.
 *
 * The order of the rows is the order of safety: a path that is lost or in doubt comes before everything, then
 * the fence (D10), and only then what is wanted.
 */
import type { SwitchOrder } from './switch-report.ts';

export interface Situation {
  /** The volume has ended or failed. */
  readonly isEnded: boolean;
  /** The current path, or its nexus, is lost. */
  readonly mustLeave: boolean;
  /** The identity of the current path is in doubt. */
  readonly mustRecheck: boolean;
  /** Paths that may still execute writes of ours. */
  readonly unfenced: number;
  /** What the controller wants. */
  readonly order: SwitchOrder | undefined;
  /** What the switcher wants itself: a new nexus on the same path. */
  readonly restart: SwitchOrder | undefined;
  /** A path carries the I/O. */
  readonly hasRoute: boolean;
}

/** What the switcher carries out. */
export type Act =
  | { readonly kind: 'leave' | 'recheck' | 'fence' }
  | { readonly kind: 'arrive' | 'plan'; readonly order: SwitchOrder };

export type NextStep = Act | { readonly kind: 'idle' };

export function nextStep(now: Situation): NextStep {
  const { order, restart } = now;
  if (now.isEnded) return { kind: 'idle' };
  if (now.mustLeave) return { kind: 'leave' };
  if (now.mustRecheck) return { kind: 'recheck' };
  if (now.unfenced > 0) return { kind: 'fence' };
  if (order !== undefined) {
    const isForced = order.how === 'failover' || !now.hasRoute;
    return { kind: isForced ? 'arrive' : 'plan', order };
  }
  if (restart !== undefined && !now.hasRoute) return { kind: 'arrive', order: restart };
  return { kind: 'idle' };
}
