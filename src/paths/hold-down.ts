/**
 * Hold-down (D55): a path that goes down again and again is kept from being preferred for a while after
 * it has come up: base x 2^(n-1), n being the times it went down, less one for each half hour without.
 * Halving and ramp alone do not damp slow flaps (120 s up, 10 s down: 55 switches an hour). Hold-down is
 * a preference only, so the last usable path is never withheld. Route flap damping (RFC 2439) withheld
 * the last route and had to be repaired by RFC 7196.
 */
import type { Instant } from '../base/brand.ts';
import type { PathState } from './path-state.ts';
import type { Policy } from './policy.ts';
import { after } from './time.ts';

const MAX_DOUBLINGS = 30; // keeps 2^n an exact integer; hold-down-max is reached long before

/** The path, having been up, was declared down. */
export function wentDown(path: PathState, policy: Policy, now: Instant): PathState {
  const forgiven = Math.floor((now - path.downsAt) / policy.holdDownForgiveMs);
  const downs = Math.max(0, path.downs - forgiven) + 1;
  return { ...path, downs, downsAt: now, holdDownUntil: undefined };
}

/** The path, having been down, was declared up. */
export function cameUp(path: PathState, policy: Policy, now: Instant): PathState {
  if (path.downs === 0) return path; // it was down at the start: nothing is known against it
  return { ...path, holdDownUntil: after(now, waitMs(path, policy)) };
}

/** The hold-down of a path that went down so often, milliseconds. */
export function waitMs({ downs }: Pick<PathState, 'downs'>, policy: Policy): number {
  if (downs === 0) return 0;
  const doublings = Math.min(downs - 1, MAX_DOUBLINGS);
  return Math.min(policy.holdDownMaxMs, policy.holdDownMs * 2 ** doublings);
}
