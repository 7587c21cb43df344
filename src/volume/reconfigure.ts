/**
 * A live change of what is wanted of a volume (D61): which steps lead from what it has to what it should
 * have, without its device noticing and without ever taking away the last usable path.
 *
 * A path that was given another target is another path of the same name: the old one has to be left
 * and closed before the new one may use the name (and the ISID that goes with it).
 */
import { err, ok, type Result } from '../base/result.ts';
import type { PathOrder } from '../paths/model.ts';
import type { Clock } from '../ports/clock.ts';
import type { SessionTarget } from '../ports/session.ts';
import type { Bell } from './bell.ts';
import type { ControllerDriver } from './controller-driver.ts';
import { LOGOUT_TIMEOUT_MS } from './engine.ts';
import type { PathBoard, VolumePath } from './link/path-board.ts';

export interface PathChange {
  /** Removed, or given another target: the link under this name has to go. */
  readonly leaving: readonly string[];
  /** New, or old names with a new target. */
  readonly arriving: readonly VolumePath[];
  readonly reweighted: readonly VolumePath[];
  /** Drained, or not any more. */
  readonly redrained: readonly VolumePath[];
  /** For people: "p1 moved to 10.0.0.2:3260, p2 removed"; empty: nothing changes. */
  readonly text: string;
}

function sameTarget(a: SessionTarget, b: SessionTarget): boolean {
  const { host, port, targetName, lun } = a;
  return host === b.host && port === b.port && targetName === b.targetName && lun === b.lun;
}

export function planChange(
  before: readonly VolumePath[],
  after: readonly VolumePath[],
): PathChange {
  const old = new Map(before.map((path) => [path.name, path]));
  const wanted = new Set(after.map(({ name }) => name));
  const words: string[] = [];
  const leaving = before.filter(({ name }) => !wanted.has(name)).map(({ name }) => name);
  for (const name of leaving) words.push(`${name} removed`);
  const arriving: VolumePath[] = [];
  const reweighted: VolumePath[] = [];
  const redrained: VolumePath[] = [];
  for (const path of after) {
    const was = old.get(path.name);
    if (was === undefined || !sameTarget(was.target, path.target)) {
      const { host, port } = path.target;
      const verb = was === undefined ? 'added at' : 'moved to';
      words.push(`${path.name} ${verb} ${host}:${String(port)}`);
      if (was !== undefined) leaving.push(path.name);
      arriving.push(path);
      continue;
    }
    if (was.maxWeight !== path.maxWeight) {
      words.push(`${path.name} max weight ${String(was.maxWeight)} -> ${String(path.maxWeight)}`);
      reweighted.push(path);
    }
    if (was.drained !== path.drained) {
      words.push(`${path.name} ${path.drained ? 'drained' : 'in use again'}`);
      redrained.push(path);
    }
  }
  return { leaving, arriving, reweighted, redrained, text: words.join(', ') };
}

/** Whether the change leaves a usable path; where none is usable anyway, anything may be tried. */
export function checkChange(
  change: PathChange,
  usable: readonly string[],
  unfenced: readonly string[],
): Result<void, string> {
  const { leaving } = change;
  if (usable.length > 0 && usable.every((name) => leaving.includes(name))) {
    return err(
      `this would take away every usable path (${usable.join(', ')}): add the new path first, ` +
        'remove the old one when the new one is up',
    );
  }
  const held = leaving.find((name) => unfenced.includes(name));
  if (held === undefined) return ok(undefined);
  return err(`${held} may still hold unanswered writes: it can be removed once it was fenced`);
}

/** What a change is carried out on. */
export interface Changeable {
  readonly clock: Clock;
  readonly bell: Bell;
  readonly driver: ControllerDriver;
  readonly board: PathBoard;
  /** What there is now; kept true step by step, for a change that stops half way is taken up again. */
  paths: readonly VolumePath[];
  /** It carries the I/O, or may still execute writes of ours: only its link can fence it. */
  isUnfenced(path: string): boolean;
}

/** Leaving the current path is a planned switch: drain, flush, verify; then its session is closed. */
const LEAVE_TIMEOUT_MS = 15_000;

/**
 * Carries a checked change out. Its orders reach the controller as one event, so that no half of the
 * change moves the I/O; then each path that has to go is waited for. Ends with an error when one cannot
 * be left: that one stays, the others have gone.
 *
 * @param pin what is pinned from now on, where that changes; undefined in it: nothing.
 */
export async function carryOut(
  change: PathChange,
  on: Changeable,
  pin?: Extract<PathOrder, { kind: 'pinned' }>,
): Promise<Result<void, string>> {
  const orders: PathOrder[] = [];
  for (const { name, maxWeight } of change.reweighted) {
    alter(on, name, { maxWeight });
    orders.push({ kind: 'max-weight-set', path: name, maxWeight });
  }
  for (const { name, drained } of change.redrained) {
    alter(on, name, { drained });
    orders.push({ kind: 'drain-set', path: name, drained });
  }
  for (const path of change.arriving) {
    if (!change.leaving.includes(path.name)) orders.push(arrive(path, on));
  }
  for (const name of change.leaving) orders.push({ kind: 'path-removed', path: name });
  if (pin !== undefined) orders.push(pin);
  if (orders.length > 0) on.driver.dispatch({ kind: 'ordered', orders });
  return await leave(change, on);
}

async function leave(change: PathChange, on: Changeable): Promise<Result<void, string>> {
  const deadline = on.clock.now() + LEAVE_TIMEOUT_MS;
  const stayed: string[] = [];
  for (const name of change.leaving) {
    if (!(await dropped(name, deadline, on))) {
      stay(name, on);
      stayed.push(name);
      continue;
    }
    on.paths = on.paths.filter((path) => path.name !== name);
    await on.board.remove(name, LOGOUT_TIMEOUT_MS);
    const successor = change.arriving.find((path) => path.name === name);
    if (successor !== undefined) on.driver.dispatch(arrive(successor, on));
  }
  if (stayed.length === 0) return ok(undefined);
  return err(`${stayed.join(', ')} could not be left in time; try again`);
}

function alter(on: Changeable, name: string, change: Partial<VolumePath>): void {
  on.paths = on.paths.map((path) => (path.name === name ? { ...path, ...change } : path));
}

/** The board knows the path before the controller asks for its first probe. */
function arrive(path: VolumePath, on: Changeable): PathOrder {
  on.paths = [...on.paths, path];
  on.board.add(path);
  return added(path);
}

function added({ name, maxWeight, drained }: VolumePath): PathOrder {
  return { kind: 'path-added', config: { name, maxWeight, drained } };
}

/** It could not be left, so it is a path like the others again. */
function stay(name: string, on: Changeable): void {
  const path = on.paths.find((one) => one.name === name);
  if (path === undefined) return;
  // A controller that has dropped it knows nothing of it any more.
  if (!isKnown(name, on)) on.board.forgetIdentity(name);
  on.driver.dispatch(added(path));
}

function isKnown(name: string, { driver }: Changeable): boolean {
  return driver.view().some((view) => view.name === name);
}

/** The controller has done with it, and so has the I/O: nothing of ours can come to effect there. */
async function dropped(name: string, deadline: number, on: Changeable): Promise<boolean> {
  const { clock, bell } = on;
  while (isKnown(name, on) || on.isUnfenced(name)) {
    if (clock.now() >= deadline) return false;
    await bell.within(50);
  }
  return true;
}
