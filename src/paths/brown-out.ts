/**
 * Brown-out: the current path is alive but far slower than the others, in 8 of 10 one-second
 * windows. It costs one halving; the path stays up and the volume leaves it by the rule of
 * failback, lead, dwell and token included, without the jitter: that spreads returns, and this is a
 * departure. One halving per episode; the episode ends with the first window that is not slow.
 * Windows without a probe answer count for neither side.
 */
import type { Instant } from '../base/brand.ts';
import { p90 } from './latency.ts';
import type { Policy } from './policy.ts';

export interface BrownOut {
  readonly windowStart: Instant;
  /** Latencies of the window that is still open, microseconds. */
  readonly samplesUs: readonly number[];
  /** Whether each of the latest windows was slow. */
  readonly slow: readonly boolean[];
  /** The weight was halved for the episode that is going on. */
  readonly punished: boolean;
}

export function noBrownOut(now: Instant): BrownOut {
  return { windowStart: now, samplesUs: [], slow: [], punished: false };
}

/** Adds a sample of the current path; closes the window before it when that one is over. */
export function sampled(
  state: BrownOut,
  latencyUs: number,
  judge: (p90Us: number) => boolean,
  { policy, now }: { readonly policy: Policy; readonly now: Instant },
): BrownOut {
  if (now - state.windowStart < policy.brownOutWindowMs) {
    return { ...state, samplesUs: [...state.samplesUs, latencyUs] };
  }
  if (state.samplesUs.length === 0) return { ...state, windowStart: now, samplesUs: [latencyUs] };
  const isSlow = judge(p90(state.samplesUs));
  return {
    windowStart: now,
    samplesUs: [latencyUs],
    slow: [...state.slow, isSlow].slice(-policy.brownOutSpan),
    punished: state.punished && isSlow,
  };
}

/** The path has been slow long enough and was not yet punished for it. */
export function punishable(state: BrownOut, policy: Policy): boolean {
  return !state.punished && state.slow.filter(Boolean).length >= policy.brownOutWindows;
}

export function punished(state: BrownOut): BrownOut {
  return { ...state, slow: [], punished: true };
}
