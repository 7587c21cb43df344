/**
 * Orders of the operator (D59). They change what is wanted; decide.ts acts on it with planned switches,
 * at once: no lead, no jitter, no token, and no waiting for an earlier attempt that was given up.
 */
import type { PathConfig, PathOrder } from './model.ts';
import { newPath, usable } from './path-state.ts';
import { probeSoon } from './probing.ts';
import { best } from './select.ts';
import type { Turn } from './turn.ts';
import { withMaxWeight } from './weight.ts';

/** What an order makes of the volume's favour: these paths may take over without a lead. */
type Favoured = readonly string[];

/**
 * Takes in the orders of one change. Who is favoured is settled when the last one is in: a change that
 * leaves every path as heavy as the others moves nothing, in whatever order its parts come.
 */
export function onOrdered(turn: Turn, orders: readonly PathOrder[]): void {
  const favoured = orders.flatMap((order) => taken(turn, order));
  if (favoured.length > 0) favour(turn, favoured);
}

function taken(turn: Turn, order: PathOrder): Favoured {
  switch (order.kind) {
    case 'pinned':
      return onPinned(turn, order.path);
    case 'drain-set':
      return onDrainSet(turn, order.path, order.drained);
    case 'max-weight-set':
      return onMaxWeightSet(turn, order.path, order.maxWeight);
    case 'path-added':
      return onPathAdded(turn, order.config);
    case 'path-removed':
      onPathRemoved(turn, order.path);
      return [];
  }
}

/** The best of them; where none is usable yet, the last one, which takes over when it is. */
function favour(turn: Turn, names: Favoured): void {
  const candidates = turn.usable().filter(({ name }) => names.includes(name));
  const top = best(candidates, { ...turn.terms(), evidenceSince: undefined });
  turn.set({ favoured: top?.name ?? names.at(-1) });
}

/** The current path has lost the operator's favour: whichever is best now has it. */
function everyUsable(turn: Turn): Favoured {
  return turn.usable().map(({ name }) => name);
}

/** A pin on a path that is down is void: it holds until removed or its path is down. */
function onPinned(turn: Turn, name: string | undefined): Favoured {
  const { pin } = turn.state;
  turn.set({ backoffUntil: undefined });
  if (name === undefined) {
    turn.set({ pin: undefined });
    return pin === undefined ? [] : everyUsable(turn);
  }
  const path = turn.path(name);
  if (path !== undefined && path.liveness !== 'down' && !path.leaving) turn.set({ pin: name });
  return [];
}

function onDrainSet(turn: Turn, name: string, drained: boolean): Favoured {
  const path = turn.path(name);
  if (path === undefined || path.drained === drained) return [];
  turn.put({ ...path, drained });
  turn.set({ backoffUntil: undefined });
  return drained ? [] : [name];
}

function onMaxWeightSet(turn: Turn, name: string, maxWeight: number): Favoured {
  const path = turn.path(name);
  if (path === undefined || path.maxWeight === maxWeight) return [];
  turn.put(withMaxWeight(path, maxWeight));
  if (name === turn.state.current) return everyUsable(turn);
  return maxWeight > path.maxWeight ? [name] : [];
}

function onPathAdded(turn: Turn, config: PathConfig): Favoured {
  const known = turn.path(config.name);
  if (known === undefined) {
    turn.set({ paths: [...turn.state.paths, newPath(config, turn.now)] });
    return [];
  }
  // Removed and added again before it could go.
  turn.put({ ...known, leaving: false });
  return [
    ...onDrainSet(turn, config.name, config.drained),
    ...onMaxWeightSet(turn, config.name, config.maxWeight),
  ];
}

/** The current path stays until another one has taken over, or it is down. */
function onPathRemoved(turn: Turn, name: string): void {
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
export function onReadmitted(turn: Turn, name: string): void {
  const path = turn.path(name);
  if (path?.identity.kind !== 'banned') return;
  const fresh = { ...path, identity: { kind: 'unchecked' }, liveness: 'unknown' } as const;
  turn.put(probeSoon({ ...fresh, failures: 0, successes: 0 }, turn.state.policy(), turn.now));
  turn.set({ favoured: name });
}
