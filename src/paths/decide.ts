/**
 * What follows from the facts: which switch, when to hold, when to give up. Runs after every event,
 * in an order that matters: verdicts that need several paths first, then forced switches, then
 * wishes.
 */
import { assert } from '../base/assert.ts';
import { pathDown } from './evidence.ts';
import type { Instant } from '../base/brand.ts';
import { failbackAt, leader, patience } from './failback.ts';
import { hangProved, hungForMs, isStalled, mayRise, risen, stallProved } from './liveness.ts';
import type { Cause, CauseKind, SwitchKind } from './model.ts';
import type { PathState } from './path-state.ts';
import { usable } from './path-state.ts';
import { best, standing } from './select.ts';
import { hungLimitMs, judged, silentLimitMs } from './slowness.ts';
import type { ControllerState } from './state.ts';
import { after } from './time.ts';
import { refilled, taken } from './tokens.ts';
import type { Turn } from './turn.ts';

/**
 * Until when a verdict waits for the path that would take over by its weight: it was asked a moment ago, as
 * the others were, and of answers that come within milliseconds of each other the first decides nothing.
 */
function awaitsBest(turn: Turn, { name }: PathState): Instant | undefined {
  const others = turn.usable().filter((path) => path.name !== name);
  const asked = best(others, { ...turn.terms(), evidenceSince: undefined })?.probe;
  const until = asked && after(asked.sentAt, turn.state.policy().probeGapMs);
  return until !== undefined && turn.now < until ? until : undefined;
}

/** Silence is held against the current path once another one has answered. */
export function judgeSilence(turn: Turn): void {
  const { current: name, policy, slowness } = turn.state;
  const current = turn.path(name);
  if (current?.liveness !== 'up') return;
  const others = turn.usable().filter((path) => path.name !== name);
  if (!stallProved(current, others, silentLimitMs(policy(), slowness))) return;
  if (awaitsBest(turn, current) !== undefined) return;
  const forMs = String(current.silentMs);
  pathDown(turn, current.name, {
    kind: 'io-stalled',
    detail: `I/O in flight and a ping were not answered for ${forMs} ms while another path answered`,
  });
  turn.set({ slowness: judged(turn.state.slowness) });
}

/**
 * So are READs that hang behind a front end that answers pings. However long answers have taken here: no
 * volume fails while another path answers.
 */
export function judgeHangs(turn: Turn): void {
  const { current, slowness } = turn.state;
  const policy = turn.state.policy();
  const at = latchAt(turn.state);
  const isLast = turn.state.heldSince === undefined && at !== undefined && turn.now >= at;
  for (const path of turn.state.paths) {
    const hungMs = hungForMs(path, turn.now);
    const terms = { isStalled: isStalled(path), now: turn.now };
    const limitMs = isLast && path.name === current ? 0 : hungLimitMs(policy, slowness, terms);
    if (path.liveness !== 'up' || hungMs < limitMs) continue;
    const others = turn.usable().filter((other) => other.name !== path.name);
    if (!hangProved(path, others, { hungMs, ratio: policy.brownOutRatio })) continue;
    if (path.name === current && awaitsBest(turn, path) !== undefined) continue;
    pathDown(turn, path.name, {
      kind: 'probe-timeout',
      detail: `pings are answered, READs have not been for ${String(hungMs)} ms: the back end hangs`,
    });
    if (path.name !== current) continue;
    turn.set({ slowness: judged(turn.state.slowness) });
    // The other path is given its time.
    if (isLast) turn.set({ unansweredSince: undefined });
  }
}

/** Paths that were down and have answered often enough. */
export function raisePaths(turn: Turn): void {
  const noPathServes = !turn.state.paths.some(usable);
  for (const before of turn.state.paths) {
    if (!mayRise(before, turn.state.policy(), noPathServes)) continue;
    const path = risen(before, turn.state.policy(), turn.now);
    turn.put(path);
    turn.note('path-up', before, path, undefined);
    if (path.downs > 1) turn.note('hold-down', path, path, undefined);
  }
}

/** Chooses, moves, holds. */
export function decide(turn: Turn): void {
  if (turn.state.latched) return;
  if (!turn.state.started) {
    chooseFirst(turn);
    return;
  }
  const { move, current } = turn.state;
  const to = turn.path(move?.to);
  const from = turn.path(current);
  if (move !== undefined && isForced(move.how)) {
    if (to === undefined || !usable(to)) failOver(turn);
  } else if (from === undefined || !usable(from) || turn.state.heldSince !== undefined) {
    failOver(turn); // also back to where we were, when that path is the first to answer
  } else if (move === undefined) {
    considerPlanned(turn, from);
  } else if (to === undefined || !usable(to)) {
    replan(turn, from);
  }
}

function isForced(how: SwitchKind): boolean {
  return how === 'failover';
}

/**
 * At the start: wait for every path's first answer, but not longer than the grace; for the path that
 * was in use before a restart, as long as it takes to find it dead.
 */
function chooseFirst(turn: Turn): void {
  const { paths } = turn.state;
  const candidates = turn.usable();
  const allAnswered = paths.every(hasSpoken);
  if (candidates.length === 0) {
    turn.set({ firstUsableAt: undefined });
    if (allAnswered) hold(turn);
    return;
  }
  const since = turn.state.firstUsableAt ?? turn.now;
  turn.set({ firstUsableAt: since });
  if (!allAnswered && turn.now < after(since, graceMs(turn.state))) return;
  turn.set({ started: true });
  failOver(turn);
}

/** Its first answer is there, or will not come. */
function hasSpoken({ answered, identity }: PathState): boolean {
  return answered || identity.kind === 'banned' || identity.kind === 'unverified';
}

/** How long the first usable path waits for those that have not answered yet. */
export function graceMs({ paths, policy, resume }: ControllerState): number {
  const isAwaited = paths.some((path) => path.name === resume && !hasSpoken(path));
  const { startGraceMs, probeFailures, probeTimeoutMs } = policy();
  return isAwaited ? Math.max(startGraceMs, probeFailures * probeTimeoutMs) : startGraceMs;
}

/** Leaves a path that cannot carry I/O, or takes the first one. No dwell, no jitter, no token. */
function failOver(turn: Turn): void {
  const { state } = turn;
  if (state.current !== undefined && state.heldSince === undefined) {
    turn.set({ heldSince: state.unansweredSince ?? turn.now });
  }
  const candidates = turn.usable();
  const wanted = state.pin ?? (state.current === undefined ? state.resume : undefined);
  const target =
    candidates.find(
      (path) => path.name === wanted && (wanted === state.pin || standing(path) === 2),
    ) ?? best(candidates, turn.terms());
  if (target === undefined) {
    hold(turn);
    return;
  }
  const cause = state.current === undefined ? firstPath(target) : outage(turn);
  switchTo(turn, target, 'failover', cause);
}

function firstPath(target: PathState): Cause {
  return { kind: 'first-path', detail: `${target.name} is the best path that answers` };
}

/** Why the current path cannot go on: it went down, or it leads to another logical unit. */
function outage(turn: Turn): Cause {
  const current = turn.path(turn.state.current);
  if (current?.liveness === 'up' && current.identity.kind !== 'verified') {
    const said = 'detail' in current.identity ? `: ${current.identity.detail}` : '';
    return { kind: 'lun-absent', detail: `identity ${current.identity.kind}${said}` };
  }
  return turn.state.outage ?? { kind: 'removed', detail: 'the path in use was removed' };
}

function hold(turn: Turn): void {
  turn.set({ move: undefined });
  if (turn.state.holding) return;
  turn.set({ holding: true });
  turn.emit({ kind: 'hold', cause: whyNone(turn.state) });
  // The I/O waits for any path: ask those that had been left alone for longer.
  for (const path of turn.state.paths) {
    const soon = after(turn.now, turn.state.policy().probeIntervalDownMs);
    if (path.nextProbeAt > soon) turn.put({ ...path, nextProbeAt: soon });
  }
}

/** A path that failed so has answered all the same: what it said counts. */
const ANSWERS: ReadonlySet<CauseKind> = new Set([
  'login-rejected',
  'authentication',
  'probe-error',
]);

/**
 * Why no path is usable. The logical unit is gone where every path that answers says so: an
 * administrator took it away, which is another matter than a network that is down. It is held all
 * the same: targets that start answer before they have their units.
 */
function whyNone({ paths, outage }: ControllerState): Cause {
  const gone = paths.filter((path) => path.lastFailure === 'lun-absent').map(({ name }) => name);
  const isTold = gone.length > 0 && paths.every((path) => isSilentOr('lun-absent', path));
  if (!isTold) return outage ?? { kind: 'unreachable', detail: 'no path answers' };
  const detail = `the logical unit is gone: the target answers without it (${gone.join(', ')})`;
  return { kind: 'lun-absent', detail };
}

function isSilentOr(kind: CauseKind, { liveness, lastFailure, identity }: PathState): boolean {
  if (liveness !== 'down' || identity.kind === 'banned') return false;
  return lastFailure === kind || (lastFailure !== undefined && !ANSWERS.has(lastFailure));
}

/** Asks for a switch; the target is probed at once, so that its death is noticed soonest. */
function switchTo(turn: Turn, target: PathState, how: SwitchKind, cause: Cause): void {
  assert(usable(target), 'I/O moves only to a path that is up and verified');
  const move = { from: turn.state.current, to: target.name, how, cause };
  turn.set({ move, holding: false, leadSince: undefined });
  turn.emit({ kind: 'switch', ...move });
  const path = turn.path(target.name);
  if (path !== undefined && isForced(how)) turn.probeSoon(path);
}

/** The target of a planned switch has died: another one, or stay (a switch to where we are). */
function replan(turn: Turn, from: PathState): void {
  const cause: Cause = turn.state.outage ?? { kind: 'removed', detail: 'the target was removed' };
  turn.set({ move: undefined });
  considerPlanned(turn, from);
  if (turn.state.move === undefined) switchTo(turn, from, 'planned', cause);
}

/** Wishes: the pin, then drained or removed paths, then the operator's favourite, then failback. */
function considerPlanned(turn: Turn, current: PathState): void {
  turn.set({ tokens: refilled(turn.state.tokens, turn.state.policy(), turn.now) });
  const { pin, backoffUntil } = turn.state;
  const ahead = leader(turn.state, current, turn.now);
  turn.set({ leadSince: ahead === undefined ? undefined : (turn.state.leadSince ?? turn.now) });
  if (backoffUntil !== undefined && turn.now < backoffUntil) return;
  const pinned = turn.path(pin);
  if (pinned !== undefined && usable(pinned)) {
    const detail = `${pinned.name} was pinned by the operator`;
    if (pinned.name !== current.name) switchTo(turn, pinned, 'planned', { kind: 'pinned', detail });
    return;
  }
  // A suspect path would not drain; a second probe tells within a second.
  if (current.suspectSince !== undefined) return;
  if (leaveOnOrder(turn, current) || followFavour(turn, current)) return;
  const at = failbackAt(turn.state, turn.now);
  if (ahead === undefined || at === undefined || turn.now < at) return;
  if (patience(turn.state, ahead, turn.now) !== undefined) return;
  turn.set({ tokens: taken(turn.state.tokens) });
  const detail = `${ahead.name} weighs ${ahead.weight}, ${current.name} ${current.weight}`;
  const kind = turn.state.brownOut.punished === undefined ? 'better-path' : 'brown-out';
  switchTo(turn, ahead, 'failback', { kind, detail });
}

/** The current path is drained or removed, and one that is not can take over. */
function leaveOnOrder(turn: Turn, current: PathState): boolean {
  const trusted = turn.usable().filter((path) => path.suspectSince === undefined);
  const target = best(trusted, { ...turn.terms(), evidenceSince: undefined });
  if (target === undefined || standing(target) <= standing(current)) return false;
  const kind = current.leaving ? 'removed' : 'drained';
  switchTo(turn, target, 'planned', {
    kind,
    detail: `${current.name} was ${kind} by the operator`,
  });
  return true;
}

/** The path that the operator has favoured takes over if it is the best and heavier than ours. */
function followFavour(turn: Turn, current: PathState): boolean {
  const favoured = turn.path(turn.state.favoured);
  if (favoured === undefined) return false;
  if (
    favoured.name !== current.name &&
    (!usable(favoured) || favoured.suspectSince !== undefined)
  ) {
    return false; // not yet: it was just readmitted or added
  }
  turn.set({ favoured: undefined });
  const top = best(turn.usable(), { ...turn.terms(), evidenceSince: undefined });
  if (top?.name !== favoured.name || favoured.weight <= current.weight) return false;
  const ours = `${current.name} ${current.weight}`;
  const detail = `${favoured.name} weighs ${favoured.weight} since the operator's change, ${ours}`;
  switchTo(turn, favoured, 'planned', { kind: 'better-path', detail });
  return true;
}

/** Since when the I/O cannot run: no path serves, or the one in use answers pings and nothing else. */
function heldFrom({
  heldSince,
  unansweredSince,
  paths,
  current,
}: ControllerState): Instant | undefined {
  const hangs = paths.some(({ name, probe }) => name === current && (probe?.late ?? 0) > 0);
  return heldSince ?? (hangs ? unansweredSince : undefined);
}

/** When a volume that cannot run its I/O fails for good; undefined: it can, or never did. */
export function latchAt(state: ControllerState): Instant | undefined {
  const { move, latched } = state;
  const heldSince = heldFrom(state);
  if (latched || heldSince === undefined) return undefined;
  const policy = state.policy();
  // A failover under way is given its time even where nothing is ever queued for want of a path, and so is
  // a READ that is late: the path is there, and another one may be found to be better.
  const delayMs = move === undefined ? 0 : (policy.fencing.delayMs ?? 0);
  const isThere = state.heldSince === undefined || move !== undefined;
  const allowance = isThere ? policy.switchAllowanceMs + delayMs : 0;
  return after(heldSince, Math.max(policy.noPathTimeoutMs, allowance));
}

export function latch(turn: Turn): void {
  const at = latchAt(turn.state);
  const heldSince = heldFrom(turn.state);
  if (at === undefined || heldSince === undefined || turn.now < at) return;
  turn.set({ latched: true, move: undefined, heldSince: undefined });
  turn.emit({ kind: 'latch', heldMs: turn.now - heldSince });
}
