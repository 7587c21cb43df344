/**
 * Brown-out (D57): the current path is alive but far slower than the others, in 8 of 10 one-second
 * windows. It costs one halving; the path stays up and the volume leaves it by the rule of
 * failback, lead, dwell and token included, without the jitter: that spreads returns, and this is a
 * departure. One halving per episode; the episode ends with the first window that is not slow.
 * Windows without a probe answer count for neither side.
 *
 * A volume that has left is on trial for ten seconds. Where the new path is not at least twice as fast,
 * the cause was not the path (it was the load, or the back end). The halving is then undone, and for ten
 * minutes nothing is called a brown-out. So an overload is not moved from target to target.
 */
import type { Instant } from '../base/brand.ts';
import { p90 } from './latency.ts';
import type { Policy } from './policy.ts';
import { after } from './time.ts';

export interface BrownOut {
  readonly windowStart: Instant;
  /** Latencies of the window that is still open, microseconds. */
  readonly samplesUs: readonly number[];
  /** Whether each of the latest windows was slow. */
  readonly slow: readonly boolean[];
  /** The current path was halved for the episode that is going on. */
  readonly punished: Punishment | undefined;
  /** The volume has left a slow path: does it fare better? */
  readonly trial: Trial | undefined;
  /** Nothing is called a brown-out before this. */
  readonly frozenUntil: Instant | undefined;
}

export interface Punishment {
  /** Weight that the halving has cost. */
  readonly penalty: number;
  /** How slow the path was: p90 of its latest window, microseconds. */
  readonly slowUs: number;
}

interface Trial extends Punishment {
  /** The path that was left. */
  readonly path: string;
  readonly until: Instant;
  /** Latencies of the new path since the switch, microseconds. */
  readonly samplesUs: readonly number[];
}

interface Terms {
  readonly policy: Policy;
  readonly now: Instant;
}

export function noBrownOut(now: Instant): BrownOut {
  const none = { punished: undefined, trial: undefined, frozenUntil: undefined };
  return { windowStart: now, samplesUs: [], slow: [], ...none };
}

/** The I/O runs on another path. `left`: the one that it has left because that was slow. */
export function moved(
  { punished, frozenUntil }: BrownOut,
  left: string | undefined,
  { policy, now }: Terms,
): BrownOut {
  const fresh = { ...noBrownOut(now), frozenUntil };
  if (left === undefined || punished === undefined) return fresh;
  const until = after(now, policy.brownOutTrialMs);
  return { ...fresh, trial: { ...punished, path: left, until, samplesUs: [] } };
}

/** Adds a sample of the current path; closes the window before it when that one is over. */
export function sampled(
  state: BrownOut,
  latencyUs: number,
  judge: (p90Us: number) => boolean,
  { policy, now }: Terms,
): BrownOut {
  const { trial } = state;
  const next: BrownOut = {
    ...state,
    trial: trial && { ...trial, samplesUs: [...trial.samplesUs, latencyUs] },
  };
  if (now - next.windowStart < policy.brownOutWindowMs) {
    return { ...next, samplesUs: [...next.samplesUs, latencyUs] };
  }
  if (next.samplesUs.length === 0) return { ...next, windowStart: now, samplesUs: [latencyUs] };
  const isSlow = judge(p90(next.samplesUs));
  return {
    ...next,
    windowStart: now,
    samplesUs: [latencyUs],
    slow: [...next.slow, isSlow].slice(-policy.brownOutSpan),
    punished: isSlow ? next.punished : undefined,
  };
}

/** The path has been slow long enough and was not yet punished for it. */
export function punishable(state: BrownOut, { policy, now }: Terms): boolean {
  if (state.frozenUntil !== undefined && now < state.frozenUntil) return false;
  const slow = state.slow.filter(Boolean).length;
  return state.punished === undefined && slow >= policy.brownOutWindows;
}

export function punished(state: BrownOut, punishment: Punishment): BrownOut {
  return { ...state, slow: [], punished: punishment };
}

/** The trial that is over and has shown that leaving was of no use. */
export function lostTrial({ trial }: BrownOut, now: Instant): Trial | undefined {
  if (trial === undefined || now < trial.until) return undefined;
  return p90(trial.samplesUs) * 2 > trial.slowUs ? trial : undefined;
}

/** After the trial; one that was lost freezes the rule. */
export function tried(state: BrownOut, lost: boolean, { policy, now }: Terms): BrownOut {
  if (state.trial === undefined || now < state.trial.until) return state;
  if (!lost) return { ...state, trial: undefined };
  const frozenUntil = after(now, policy.brownOutFreezeMs);
  return { ...state, trial: undefined, slow: [], frozenUntil };
}
