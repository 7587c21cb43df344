/**
 * Failback: the volume moves to a path that has overtaken its current one, gently. Four brakes,
 * each against something else: the lead against ties and noise; the dwell against switching in
 * quick succession; the jitter against thousands of volumes coming home in the same second (they
 * all hit the floor and all grow at the same pace, so the ramp itself synchronises them); the token
 * against everything nobody thought of: it bounds voluntary switches for any failure trace.
 */
import type { Instant } from '../base/brand.ts';
import { hash32 } from '../base/hash.ts';
import type { PathState } from './path-state.ts';
import { heldDown, usable } from './path-state.ts';
import { best, standing } from './select.ts';
import type { ControllerState } from './state.ts';
import { after, later } from './time.ts';
import { tokenAt } from './tokens.ts';

/** The best path that leads the current one by enough; undefined: nobody does. */
export function leader(
  state: ControllerState,
  current: PathState,
  now: Instant,
): PathState | undefined {
  const { policy, volumeId, paths } = state;
  const ahead = paths.filter(
    (path) =>
      path.name !== current.name &&
      usable(path) &&
      path.suspectSince === undefined &&
      !heldDown(path, now) &&
      standing(path) >= standing(current) &&
      path.weight >= current.weight + policy.failbackLead,
  );
  return best(ahead, { volumeId, now, evidenceSince: undefined });
}

/** How long a lead must last for this volume, this time: 0 .. failback-jitter. */
function jitterMs(state: ControllerState): number {
  if (state.brownOut.punished !== undefined) return 0;
  return hash32(state.volumeId, state.switches) % (state.policy.failbackJitterMs + 1);
}

/** The first moment at which a lead that lasts may be acted on; undefined: nobody leads. */
export function failbackAt(state: ControllerState, now: Instant): Instant | undefined {
  const { leadSince, lastSwitchAt, backoffUntil, policy, tokens } = state;
  if (leadSince === undefined) return undefined;
  let at = later(after(leadSince, jitterMs(state)), tokenAt(tokens, policy, now));
  if (lastSwitchAt !== undefined) at = later(at, after(lastSwitchAt, policy.failbackDwellMs));
  if (backoffUntil !== undefined) at = later(at, backoffUntil);
  return at;
}
