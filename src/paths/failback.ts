/**
 * Failback (D54): the volume moves to a path that has overtaken its current one, gently. Four brakes,
 * each against something else: the lead against ties and noise; the dwell against switching in quick
 * succession; the jitter against thousands of volumes that return in the same second (the weights of all
 * reach 1 and grow at the same pace, so the growth itself puts them in step); the token against causes
 * that are not foreseen: it bounds voluntary switches for any failure trace.
 *
 * And patience: paths that recover together shall cost one switch and one token, not one each. The move
 * waits for a better path that would be chosen within the dwell.
 */
import type { Instant } from '../base/brand.ts';
import { hash32 } from '../base/hash.ts';
import type { PathState } from './path-state.ts';
import { isInHoldDown, usable } from './path-state.ts';
import type { Policy } from './policy.ts';
import { best, standing } from './select.ts';
import type { ControllerState } from './state.ts';
import { after, later } from './time.ts';
import { tokenAt } from './tokens.ts';

/** The best path that leads the current one by enough; undefined: no path does. */
export function leader(
  state: ControllerState,
  current: PathState,
  now: Instant,
): PathState | undefined {
  const { volumeId, paths } = state;
  const policy = state.policy();
  const ahead = paths.filter(
    (path) =>
      path.name !== current.name &&
      usable(path) &&
      path.suspectSince === undefined &&
      !isInHoldDown(path, now) &&
      standing(path) >= standing(current) &&
      path.weight >= current.weight + policy.failbackLead,
  );
  return best(ahead, { volumeId, now, evidenceSince: undefined });
}

/** How long a lead must last for this volume, this time: 0 .. failback-jitter. */
function jitterMs(state: ControllerState): number {
  if (state.brownOut.punished !== undefined) return 0;
  return hash32(state.volumeId, state.switches) % (state.policy().failbackJitterMs + 1);
}

/** The first moment at which a lead that lasts may be acted on; undefined: no path leads. */
export function failbackAt(state: ControllerState, now: Instant): Instant | undefined {
  const { leadSince, lastSwitchAt, backoffUntil, tokens } = state;
  const policy = state.policy();
  if (leadSince === undefined) return undefined;
  let at = after(leadSince, jitterMs(state));
  if (tokens.tokens === 0) at = later(at, tokenAt(tokens, policy, now));
  if (lastSwitchAt !== undefined) at = later(at, after(lastSwitchAt, policy.failbackDwellMs));
  if (backoffUntil !== undefined) at = later(at, backoffUntil);
  return at;
}

/**
 * Until when the move to `ahead`, which nothing else holds back, waits for a better path; undefined: there
 * is none to wait for. A second move would follow the first: that path is up, can come to lead `ahead`, and
 * `ahead` will not lead it any more within the dwell. It is waited for twice as long at most, whatever
 * becomes of it.
 */
export function patience(
  state: ControllerState,
  ahead: PathState | undefined,
  now: Instant,
): Instant | undefined {
  const { paths, current } = state;
  const policy = state.policy();
  const since = failbackAt(state, now);
  if (ahead === undefined || since === undefined) return undefined;
  const until = after(since, 2 * policy.failbackDwellMs);
  if (now >= until) return undefined;
  const soon = after(now, policy.failbackDwellMs);
  const isAwaited = paths.some(
    (path) =>
      path.name !== current &&
      usable(path) &&
      path.suspectSince === undefined &&
      standing(path) >= standing(ahead) &&
      path.maxWeight >= ahead.maxWeight + policy.failbackLead &&
      levelAt(path, ahead, policy, now) <= soon,
  );
  return isAwaited ? until : undefined;
}

/** When a path that is well will be level with `ahead` at its heaviest, and out of its hold-down. */
function levelAt(path: PathState, ahead: PathState, policy: Policy, now: Instant): Instant {
  const missing = ahead.maxWeight - policy.failbackLead + 1 - path.weight;
  const probes = Math.ceil(Math.max(0, missing) / policy.weightStep);
  const grown = after(now, probes * policy.probeIntervalStandbyMs);
  return path.holdDownUntil === undefined ? grown : later(grown, path.holdDownUntil);
}
