/**
 * Orders of the operator. They change what is wanted; decide.ts acts on it with planned switches,
 * at once: no lead, no jitter, no token, and no waiting for an earlier attempt that was given up.
 */
import type { PathName } from '../base/brand.ts';
import type { PathConfig } from './model.ts';
import { newPath, usable } from './path-state.ts';
import { probeSoon } from './probing.ts';
import type { Turn } from './turn.ts';
import { withMaxWeight } from './weight.ts';

/** A pin on a path that is down is void: it holds until removed or its path is down. */
export function onPinned(turn: Turn, name: PathName | undefined): void {
  const { pin } = turn.state;
  turn.set({ backoffUntil: undefined });
  if (name === undefined) {
    if (pin !== undefined) favourHeaviest(turn);
    turn.set({ pin: undefined });
    return;
  }
  const path = turn.path(name);
  if (path !== undefined && path.liveness !== 'down' && !path.leaving) turn.set({ pin: name });
}

export function onDrainSet(turn: Turn, name: PathName, drained: boolean): void {
  const path = turn.path(name);
  if (path === undefined || path.drained === drained) return;
  turn.put({ ...path, drained });
  turn.set({ backoffUntil: undefined });
  if (!drained) turn.set({ favoured: name });
}

export function onMaxWeightSet(turn: Turn, name: PathName, maxWeight: number): void {
  const path = turn.path(name);
  if (path === undefined || path.maxWeight === maxWeight) return;
  turn.put(withMaxWeight(path, maxWeight));
  if (name === turn.state.current) favourHeaviest(turn);
  else if (maxWeight > path.maxWeight) turn.set({ favoured: name });
}

/** The current path has lost the operator's favour: whichever is heaviest now has it. */
function favourHeaviest(turn: Turn): void {
  let heaviest: { readonly name: PathName; readonly weight: number } | undefined;
  for (const path of turn.state.paths) {
    if (usable(path) && (heaviest === undefined || path.weight > heaviest.weight)) heaviest = path;
  }
  turn.set({ favoured: heaviest?.name });
}

export function onPathAdded(turn: Turn, config: PathConfig): void {
  const known = turn.path(config.name);
  if (known === undefined) {
    turn.set({ paths: [...turn.state.paths, newPath(config, turn.now)] });
    return;
  }
  // Removed and added again before it could go.
  turn.put({ ...known, leaving: false });
  onDrainSet(turn, config.name, config.drained);
  onMaxWeightSet(turn, config.name, config.maxWeight);
}

/** The current path stays until another one has taken over, or it is down. */
export function onPathRemoved(turn: Turn, name: PathName): void {
  const path = turn.path(name);
  if (path === undefined) return;
  if (turn.state.pin === name) turn.set({ pin: undefined });
  if (turn.state.favoured === name) turn.set({ favoured: undefined });
  turn.put({ ...path, leaving: true });
  turn.set({ backoffUntil: undefined });
}

/** Drops removed paths that carry no I/O any more. */
export function dropLeaving(turn: Turn): void {
  const { paths, current, latched } = turn.state;
  const staying = paths.filter(
    (path) => !path.leaving || (path.name === current && usable(path) && !latched),
  );
  if (staying.length < paths.length) turn.set({ paths: staying });
}

/** The ban is lifted: probed and its identity checked as if it had just been added. */
export function onReadmitted(turn: Turn, name: PathName): void {
  const path = turn.path(name);
  if (path?.identity.kind !== 'banned') return;
  const fresh = { ...path, identity: { kind: 'unchecked' }, liveness: 'unknown' } as const;
  turn.put(probeSoon({ ...fresh, failures: 0, successes: 0 }, turn.state.policy, turn.now));
  turn.set({ favoured: name });
}
