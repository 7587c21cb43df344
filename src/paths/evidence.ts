/**
 * What an event says about the paths, before anything is decided: probe results, I/O evidence, own
 * stalls, identity. Orders of the operator are in orders.ts.
 */
import type { Instant } from '../base/brand.ts';
import * as brownOut from './brown-out.ts';
import { isSlow, p90, withLatency } from './latency.ts';
import {
  declaredDown,
  excused,
  hasMovedSince,
  hungForMs,
  ioProgressed,
  ioStalled,
  probeBad,
  probeGood,
} from './liveness.ts';
import type { Cause, Identity } from './model.ts';
import type { OutstandingProbe, PathState } from './path-state.ts';
import { abandonedAt, probeSoon, scheduled } from './probing.ts';
import { hungLimitMs, survived, troubled } from './slowness.ts';
import { after } from './time.ts';
import type { Turn } from './turn.ts';
import { halved, mayMove, raised, restored } from './weight.ts';

/** Answers of the probe that is outstanding; anything else is stale and changes nothing. */
function answeredProbe(path: PathState | undefined, number: number): OutstandingProbe | undefined {
  return path?.probe?.number === number ? path.probe : undefined;
}

export function onProbeSucceeded(
  turn: Turn,
  event: { readonly path: string; readonly probe: number; readonly latencyUs: number },
): void {
  const before = turn.path(event.path);
  const probe = answeredProbe(before, event.probe);
  if (before === undefined || probe === undefined) return;
  const { paths, policy } = turn.state;
  // A late answer has earned nothing either, though no other path may be faster.
  const slow = probe.late > 0 || isSlow(event.latencyUs, before, paths, policy());
  learn(turn, event.latencyUs / 1000);
  if (event.path === turn.state.current && turn.state.move === undefined) answered(turn);
  const good = withLatency(probeGood({ ...before, probe: undefined }, probe), event.latencyUs);
  turn.put(good);
  if (event.path === turn.state.current) sampleBrownOut(turn, good, event.latencyUs);
  const path = turn.path(event.path) ?? good;
  // Only a path that was up before this answer has earned anything by it.
  if (before.liveness === 'up' && !slow) {
    turn.put(raised(path, policy().weightStep, turn.pace(path), turn.now));
  }
  reschedule(turn, event.path, probe);
}

export function onProbeFailed(
  turn: Turn,
  event: {
    readonly path: string;
    readonly probe: number;
    readonly hard: boolean;
    readonly cause: Cause;
  },
): void {
  const before = turn.path(event.path);
  const probe = answeredProbe(before, event.probe);
  if (before === undefined || probe === undefined) return;
  const timedOut = event.cause.kind === 'probe-timeout';
  const seen = { ...before, probe: undefined, lastFailure: event.cause.kind };
  const path = probeBad(seen, { hard: event.hard, timedOut }, probe, {
    policy: turn.state.policy(),
    periodMs: turn.pace(before),
    now: turn.now,
  });
  turn.put(path);
  if (before.liveness !== 'down' && path.liveness === 'down') {
    announceDown(turn, before, path, event.cause);
    return;
  }
  reschedule(turn, event.path, probe);
  if (path.liveness === 'down') {
    // Start from scratch next time: a half-dead connection may hide that the target is back.
    if (!event.hard) turn.emit({ kind: 'sever', path: path.name, cause: event.cause });
    return;
  }
  turn.probeSoon(turn.path(event.path) ?? path);
  if (path.failures > before.failures) becameSuspect(turn, before, path, event.cause);
}

/** What was answered after all tells how long answers take here. */
function learn(turn: Turn, tookMs: number): void {
  const { policy, slowness } = turn.state;
  turn.set({ slowness: survived(slowness, tookMs, { policy: policy(), now: turn.now }) });
}

/** Something was answered on the path in use: from now on `no-path-timeout` counts anew. */
function answered(turn: Turn): void {
  if (turn.state.unansweredSince !== undefined) turn.set({ unansweredSince: undefined });
}

/** Its front end answers pings, its READ does not yet: perhaps it hangs (judgeHangs), perhaps it is slow. */
export function onProbeLate(turn: Turn, name: string, number: number): void {
  const before = turn.path(name);
  const probe = answeredProbe(before, number);
  if (before === undefined || probe === undefined) return;
  const { slowness } = turn.state;
  const policy = turn.state.policy();
  const path = { ...before, probe: { ...probe, late: probe.late + 1, heardAt: turn.now } };
  turn.put(path);
  if (before.liveness === 'down') {
    // Its answer is not awaited: a new session next time, for this one may hide that the target is back.
    const limitMs = hungLimitMs(policy, slowness, { isStalled: false, now: turn.now });
    const isHung = hungForMs(path, turn.now) >= limitMs;
    const cause: Cause = { kind: 'probe-timeout', detail: 'pings are answered, READs are not' };
    const event = { path: name, probe: number, hard: false, cause };
    if (isHung && turn.usable().length > 0) onProbeFailed(turn, event);
    return;
  }
  if (before.liveness !== 'up' || hasMovedSince(before, turn.now - policy.probeTimeoutMs)) return;
  turn.set({ slowness: troubled(slowness, turn.now) });
  if (name === turn.state.current && turn.state.unansweredSince === undefined) {
    turn.set({ unansweredSince: probe.waitsSince });
  }
  if (before.suspectSince !== undefined) return;
  const suspect = { ...path, suspectSince: turn.now };
  turn.put(suspect);
  const detail = 'pings are answered, a READ is not yet';
  becameSuspect(turn, before, suspect, { kind: 'probe-timeout', detail });
}

/** The next regular probe; an immediate one when it was asked for meanwhile. */
function reschedule(turn: Turn, name: string, probe: OutstandingProbe): void {
  const path = turn.path(name);
  if (path === undefined) return;
  const { volumeId } = turn.state;
  const policy = turn.state.policy();
  const next = scheduled(path, turn.role(path), policy, { volumeId, now: turn.now });
  turn.put(probe.again ? probeSoon(next, policy, turn.now) : next);
}

/** Gives up probes that the volume never answered. */
export function expireProbes(turn: Turn): void {
  for (const { name, probe } of turn.state.paths) {
    if (probe === undefined || turn.now < abandonedAt(probe, turn.state.policy())) continue;
    const cause: Cause = { kind: 'probe-timeout', detail: 'the probe was never answered' };
    onProbeFailed(turn, { path: name, probe: probe.number, hard: false, cause });
  }
}

function becameSuspect(turn: Turn, before: PathState, path: PathState, cause: Cause): void {
  if (before.suspectSince === undefined) turn.note('path-suspect', before, path, cause);
  if (turn.isActive(path.name)) turn.probeEverybody();
}

/** Declares a path down, whatever it was before, unless it is down already. */
export function pathDown(turn: Turn, name: string, cause: Cause): void {
  const before = turn.path(name);
  if (before === undefined || before.liveness === 'down') return;
  const failed = { ...before, lastFailure: cause.kind };
  const path = declaredDown(failed, turn.state.policy(), turn.now);
  turn.put(path);
  announceDown(turn, before, path, cause);
}

/**
 * Since when an answer counts as one that came after the suspicion. A path that was asked shortly before it
 * cannot be asked again within probe-gap: that answer is as fresh as one can be, and does not put the path
 * behind a worse one.
 */
function evidenceFrom({ state }: Turn, { suspectSince }: PathState): Instant | undefined {
  return suspectSince === undefined ? undefined : after(suspectSince, -state.policy().probeGapMs);
}

function announceDown(turn: Turn, before: PathState, path: PathState, cause: Cause): void {
  const { state } = turn;
  turn.emit({ kind: 'sever', path: path.name, cause });
  turn.note('path-down', before, path, cause);
  if (turn.isActive(path.name)) {
    turn.set({ outage: cause, evidenceSince: evidenceFrom(turn, before) });
  }
  if (path.name === state.pin) turn.set({ pin: undefined });
  if (path.name === state.favoured) turn.set({ favoured: undefined });
}

export function onIdentity(turn: Turn, name: string, identity: Identity): void {
  const path = turn.path(name);
  if (path === undefined) return;
  if (identity.kind !== 'banned' || path.probe === undefined) {
    turn.put({ ...path, identity });
    return;
  }
  // A ban ends all traffic: the answer to an outstanding probe is not awaited any more. The time of the next probe
  // is still that of this one, so it is set: the ban may be taken back within probe-gap.
  const nextProbeAt = after(path.probe.sentAt, turn.state.policy().probeGapMs);
  turn.put({ ...path, identity, probe: undefined, nextProbeAt });
}

export function onIoStalled(turn: Turn, name: string, silentMs: number): void {
  const before = turn.path(name);
  // I/O runs on the current path only; what is reported of others was overtaken by a switch.
  if (before?.liveness !== 'up' || name !== turn.state.current) return;
  const path = ioStalled(before, silentMs, turn.now);
  turn.put(path);
  turn.set({ slowness: troubled(turn.state.slowness, turn.now) });
  if (path.suspectSince === before.suspectSince) return;
  turn.note('path-suspect', before, path, {
    kind: 'io-stalled',
    detail: 'I/O in flight makes no progress',
  });
  turn.probeEverybody();
}

export function onIoProgressed(turn: Turn, name: string, stalledMs = 0): void {
  const path = turn.path(name);
  if (path === undefined) return;
  turn.put(ioProgressed(path, turn.now));
  learn(turn, stalledMs);
  if (name === turn.state.current && turn.state.move === undefined) answered(turn);
}

export function onOwnStall(turn: Turn, durationMs: number): void {
  const { paths } = turn.state;
  const policy = turn.state.policy();
  if (durationMs * 2 <= policy.probeTimeoutMs) return;
  turn.set({ paths: paths.map((path) => excused(path, durationMs, policy, turn.now)) });
  // Nor was any path asked in that time: I/O that was held then was held for want of us.
  const { heldSince, unansweredSince } = turn.state;
  if (heldSince !== undefined) turn.set({ heldSince: after(heldSince, durationMs) });
  if (unansweredSince === undefined) return;
  turn.set({ unansweredSince: after(unansweredSince, durationMs) });
}

function sampleBrownOut(turn: Turn, path: PathState, latencyUs: number): void {
  const { paths, policy } = turn.state;
  const judge = (p90Us: number): boolean => isSlow(p90Us, path, paths, policy());
  const terms = { policy: policy(), now: turn.now };
  turn.set({ brownOut: brownOut.sampled(turn.state.brownOut, latencyUs, judge, terms) });
  endTrial(turn);
  if (!brownOut.punishable(turn.state.brownOut, terms)) return;
  // It was raised just now: the next sample is soon enough.
  if (!mayMove(path, turn.pace(path), turn.now)) return;
  const after = halved(path, turn.now);
  const punishment = { penalty: path.weight - after.weight, slowUs: p90(path.latenciesUs) };
  turn.put(after);
  turn.set({ brownOut: brownOut.punished(turn.state.brownOut, punishment) });
  turn.note('brown-out', path, after, {
    kind: 'brown-out',
    detail: `probe READs take ${Math.round(latencyUs / 1000)} ms, far longer than on other paths`,
  });
}

/** The volume has left a slow path a while ago: was it of any use? Else the halving is undone. */
function endTrial(turn: Turn): void {
  const lost = brownOut.lostTrial(turn.state.brownOut, turn.now);
  const terms = { policy: turn.state.policy(), now: turn.now };
  const before = turn.path(lost?.path);
  // The path to be restored was raised just now: the next sample is soon enough.
  if (before?.liveness === 'up' && !mayMove(before, turn.pace(before), turn.now)) return;
  turn.set({ brownOut: brownOut.tried(turn.state.brownOut, lost !== undefined, terms) });
  if (lost === undefined || before?.liveness !== 'up') return;
  const after = restored(before, lost.penalty, turn.now);
  turn.put(after);
  turn.note('brown-out-undone', before, after, {
    kind: 'brown-out',
    detail: `${String(turn.state.current)} is as slow: it was not the path`,
  });
}
