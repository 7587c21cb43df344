/**
 * Whether a path lives (D49, D56). The shape is TigerBeetle's fault detector's: pure, told the time, and asked
 * only about evidence:
 *
 *   unknown ──good probe──▶ up ──k failed probes, hard error, I/O stalled──▶ down
 *                           ▲                                                  │
 *                           └────────S good probes (one if nothing is up)──────┘
 *
 * One lost probe makes a path suspect and has no other effect: with 1 % of probes lost, k=1 would switch
 * 37 times an hour, k=2 less than once. Completed I/O counts as much as a good probe. A stall of our own
 * process proves nothing: timeouts of that time are excused, at most three in a row, so that a process
 * that always stalls still finds a dead path.
 */
import type { Instant } from '../base/brand.ts';
import * as holdDown from './hold-down.ts';
import type { OutstandingProbe, PathState } from './path-state.ts';
import type { Policy } from './policy.ts';
import { after } from './time.ts';
import { halved, halvedOncePerPeriod } from './weight.ts';

/** A sign of life while up: clears every suspicion but that of a stall, which needs a newer answer. */
function alive(path: PathState): PathState {
  const clear = path.stall === 'none' || path.stall === 'slow';
  const suspectSince = clear ? undefined : path.suspectSince;
  return { ...path, failures: 0, suspectSince, excuses: 0, excusedUntil: undefined };
}

/** I/O does not move, and yet a probe that was sent since is answered: slow, and no path is the cause. */
function merelySlow(path: PathState, sentAt: Instant): PathState {
  const since = path.suspectSince;
  if (path.stall === 'none' || since === undefined || sentAt < since) return path;
  return { ...path, stall: 'slow', silentMs: 0 };
}

/** A probe was answered well. A path that was down stays so: `mayRise` decides with the others. */
export function probeGood(path: PathState, probe: OutstandingProbe): PathState {
  const seen: PathState = { ...path, answered: true, goodSentAt: probe.sentAt };
  if (path.liveness === 'down') return { ...seen, successes: path.successes + 1 };
  return alive(merelySlow({ ...seen, liveness: 'up' }, probe.sentAt));
}

/** A probe failed. `periodMs`: the path's shortest probe period, for the weight. */
export function probeBad(
  path: PathState,
  { hard, timedOut }: { readonly hard: boolean; readonly timedOut: boolean },
  probe: OutstandingProbe,
  { policy, periodMs, now }: LivenessTerms,
): PathState {
  const seen: PathState = { ...path, answered: true };
  if (path.liveness === 'down') {
    const failed = { ...seen, failures: path.failures + 1, successes: 0 };
    return halvedOncePerPeriod(failed, periodMs, now);
  }
  if (hard) return declaredDown(seen, policy, now);
  if (timedOut && (probe.excused || hasMovedSince(path, probe.sentAt))) return seen;
  const failures = path.failures + 1;
  if (failures >= policy.probeFailures) return declaredDown(seen, policy, now);
  return { ...seen, failures, suspectSince: path.suspectSince ?? now };
}

/** What a verdict about a probe is measured by. */
export interface LivenessTerms {
  readonly policy: Policy;
  readonly periodMs: number;
  readonly now: Instant;
}

export function hasMovedSince({ progressAt }: PathState, since: number): boolean {
  return progressAt !== undefined && progressAt >= since;
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
    silentMs: 0,
    probe: undefined,
    nextProbeAt: after(now, policy.probeIntervalDownMs),
  };
}

/** Enough good probes; when no path serves, one is enough. */
export function mayRise(path: PathState, policy: Policy, noPathServes: boolean): boolean {
  const needed = noPathServes ? 1 : policy.probeSuccesses;
  return path.liveness === 'down' && path.successes >= needed;
}

export function risen(path: PathState, policy: Policy, now: Instant): PathState {
  return holdDown.cameUp(alive({ ...path, liveness: 'up', successes: 0 }), policy, now);
}

/** I/O in flight does not move; silence counts only outside the excuse of an own stall. */
export function ioStalled(path: PathState, silentMs: number, now: Instant): PathState {
  const excused = path.excusedUntil !== undefined && now < path.excusedUntil;
  const isSilent = silentMs > 0 && !excused;
  if (path.stall === 'slow' && !isSilent) return path;
  const isNew = path.stall === 'none' || path.stall === 'slow';
  return {
    ...path,
    stall: isSilent ? 'silent' : 'suspected',
    silentMs: isSilent ? silentMs : 0,
    // What was known before the stall does not tell about the path after it.
    suspectSince: isNew ? now : (path.suspectSince ?? now),
  };
}

export function ioProgressed(path: PathState, now: Instant): PathState {
  if (path.liveness !== 'up') return path;
  return { ...alive({ ...path, stall: 'none', silentMs: 0 }), progressAt: now };
}

/** The I/O that did not move is gone; failed probes remain what they were. */
export function stallEnded(path: PathState): PathState {
  if (path.stall === 'none') return path;
  const suspectSince = path.failures > 0 ? path.suspectSince : undefined;
  return { ...path, stall: 'none', silentMs: 0, suspectSince };
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
    stall: path.stall === 'silent' ? 'suspected' : path.stall,
    silentMs: 0,
    probe: path.probe && excusedProbe(path.probe, durationMs),
  };
}

function excusedProbe(probe: OutstandingProbe, durationMs: number): OutstandingProbe {
  return { ...probe, excused: true, waitsSince: after(probe.waitsSince, durationMs) };
}

/** Silence is the path's fault only if another one has answered since the suspicion arose. */
export function stallProved(
  path: PathState,
  others: readonly PathState[],
  limitMs: number,
): boolean {
  const since = path.suspectSince;
  if (path.stall !== 'silent' || path.silentMs < limitMs || since === undefined) return false;
  return others.some((other) => other.goodSentAt !== undefined && other.goodSentAt >= since);
}

/** I/O in flight makes no progress; pings are answered, and whether READs are is not known yet. */
export function isStalled({ stall }: PathState): boolean {
  return stall === 'suspected';
}

/** How long READs of the outstanding probe have been unanswered without any I/O that moved, ms. */
export function hungForMs(path: PathState, now: Instant): number {
  const { probe, progressAt } = path;
  if (probe === undefined || (probe.late === 0 && !isStalled(path))) return 0;
  return now - Math.max(probe.waitsSince, progressAt ?? -Infinity);
}

/**
 * READs that hang while the front end answers pings are the path's fault only if another path has answered
 * one since the suspicion arose, and far faster (`ratio`): where all are slow it is the storage.
 */
export function hangProved(
  path: PathState,
  others: readonly PathState[],
  { hungMs, ratio }: { readonly hungMs: number; readonly ratio: number },
): boolean {
  const since = path.suspectSince;
  if (since === undefined) return false;
  return others.some(({ goodSentAt, latenciesUs }) => {
    const tookUs = latenciesUs.at(-1) ?? 0;
    return goodSentAt !== undefined && goodSentAt >= since && hungMs * 1000 >= ratio * tookUs;
  });
}
