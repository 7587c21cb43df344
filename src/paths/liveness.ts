/**
 * Whether a path lives. The shape is TigerBeetle's fault detector's: pure, told the time, and asked
 * only about evidence:
 *
 *   unknown ──good probe──▶ up ──k failed probes, hard error, I/O stalled──▶ down
 *                           ▲                                                  │
 *                           └────────S good probes (one if nothing is up)──────┘
 *
 * One lost probe makes a path suspect and nothing else: with 1 % of probes lost, k=1 would switch
 * 37 times an hour, k=2 less than once. Completed I/O is evidence of life as good as a probe. A
 * stall of our own process is evidence of nothing: timeouts of that time are excused, at most three
 * in a row, so that a process which always stalls still notices a dead path.
 */
import type { Instant } from '../base/brand.ts';
import * as holdDown from './hold-down.ts';
import type { OutstandingProbe, PathState } from './path-state.ts';
import type { Policy } from './policy.ts';
import { after } from './time.ts';
import { halved, halvedOncePerPeriod } from './weight.ts';

/** A sign of life while up: clears every suspicion. `stall` outlives probes: I/O must move. */
function alive(path: PathState): PathState {
  const suspectSince = path.stall === 'none' ? undefined : path.suspectSince;
  return { ...path, failures: 0, suspectSince, excuses: 0, excusedUntil: undefined };
}

/** A probe was answered well. A path that was down stays so: `mayRise` decides with the others. */
export function probeGood(path: PathState, probe: OutstandingProbe): PathState {
  const seen: PathState = { ...path, answered: true, goodSentAt: probe.sentAt };
  if (path.liveness === 'down') return { ...seen, successes: path.successes + 1 };
  return alive({ ...seen, liveness: 'up' });
}

/** A probe failed. `periodMs`: the path's shortest probe period, for the weight. */
export function probeBad(
  path: PathState,
  { hard, timedOut }: { readonly hard: boolean; readonly timedOut: boolean },
  probe: OutstandingProbe,
  { policy, periodMs, now }: Terms,
): PathState {
  const seen: PathState = { ...path, answered: true };
  if (path.liveness === 'down') {
    const failed = { ...seen, failures: path.failures + 1, successes: 0 };
    return halvedOncePerPeriod(failed, periodMs, now);
  }
  if (hard) return declaredDown(seen, policy, now);
  if (timedOut && (probe.excused || movedSince(path, probe.sentAt))) return seen;
  const failures = path.failures + 1;
  if (failures >= policy.probeFailures) return declaredDown(seen, policy, now);
  return { ...seen, failures, suspectSince: path.suspectSince ?? now };
}

/** What a verdict about a probe is measured by. */
export interface Terms {
  readonly policy: Policy;
  readonly periodMs: number;
  readonly now: Instant;
}

function movedSince(path: PathState, sentAt: Instant): boolean {
  return path.progressAt !== undefined && path.progressAt >= sentAt;
}

/** Down: the weight is halved, and whatever was outstanding no longer speaks for or against it. */
export function declaredDown(path: PathState, policy: Policy, now: Instant): PathState {
  const counted = path.liveness === 'up' ? holdDown.wentDown(path, policy, now) : path;
  return {
    ...halved(counted, now),
    liveness: 'down',
    answered: true,
    failures: 0,
    successes: 0,
    suspectSince: undefined,
    stall: 'none',
    probe: undefined,
    nextProbeAt: after(now, policy.probeIntervalDownMs),
  };
}

/** Enough good probes; when nobody serves, one is enough. */
export function mayRise(path: PathState, policy: Policy, nobodyServes: boolean): boolean {
  const needed = nobodyServes ? 1 : policy.probeSuccesses;
  return path.liveness === 'down' && path.successes >= needed;
}

export function risen(path: PathState, policy: Policy, now: Instant): PathState {
  return holdDown.cameUp(alive({ ...path, liveness: 'up', successes: 0 }), policy, now);
}

/** I/O in flight does not move; `overdue` counts only outside the excuse of an own stall. */
export function ioStalled(path: PathState, overdue: boolean, now: Instant): PathState {
  const excused = path.excusedUntil !== undefined && now < path.excusedUntil;
  const stall = path.stall === 'overdue' || (overdue && !excused) ? 'overdue' : 'suspected';
  // What was known before the stall does not tell about the path after it.
  const suspectSince = path.stall === 'none' ? now : (path.suspectSince ?? now);
  return { ...path, stall, suspectSince };
}

export function ioProgressed(path: PathState, now: Instant): PathState {
  if (path.liveness !== 'up') return path;
  return { ...alive({ ...path, stall: 'none' }), progressAt: now };
}

/** The I/O that did not move is gone; failed probes remain what they were. */
export function stallEnded(path: PathState): PathState {
  if (path.stall === 'none') return path;
  const suspectSince = path.failures > 0 ? path.suspectSince : undefined;
  return { ...path, stall: 'none', suspectSince };
}

/** Our own process stood still for `durationMs`, which has just ended. */
export function excused(
  path: PathState,
  durationMs: number,
  policy: Policy,
  now: Instant,
): PathState {
  if (path.liveness === 'down' || path.excuses >= policy.ownStallExtensions) return path;
  return {
    ...path,
    excuses: path.excuses + 1,
    excusedUntil: after(now, durationMs),
    stall: path.stall === 'overdue' ? 'suspected' : path.stall,
    probe: path.probe === undefined ? undefined : { ...path.probe, excused: true },
  };
}

/** Overdue I/O is the path's fault only if another one has answered since the suspicion arose. */
export function stallProved(path: PathState, others: readonly PathState[]): boolean {
  const since = path.suspectSince;
  if (path.stall !== 'overdue' || since === undefined) return false;
  return others.some((other) => other.goodSentAt !== undefined && other.goodSentAt >= since);
}
