/**
 * A live change of what is wanted of a volume: which steps lead from what it has to what it should
 * have, without its device noticing and without ever taking away the last usable path.
 *
 * A path that was given another target is another path of the same name: the old one has to be left
 * and closed before the new one may use the name (and the ISID that goes with it).
 */
import type { PathName } from '../base/brand.ts';
import { err, ok, type Result } from '../base/result.ts';
import type { Bell } from './bell.ts';
import type { ControllerDriver } from './controller-driver.ts';
import type { PathBoard, VolumePath } from './path-board.ts';
import type { Clock, SessionTarget } from './ports.ts';

export interface Change {
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

export function planChange(before: readonly VolumePath[], after: readonly VolumePath[]): Change {
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
  change: Change,
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
}

/** Leaving the current path is a planned switch: drain, flush, verify; then its session is closed. */
const LEAVE_TIMEOUT_MS = 15_000;
const LOGOUT_TIMEOUT_MS = 1_000;

/** Carries a checked change out, step by step; stops with an error when a path cannot be left. */
export async function carryOut(change: Change, on: Changeable): Promise<Result<void, string>> {
  const { driver, board } = on;
  for (const path of change.reweighted) {
    const { name, maxWeight } = path;
    driver.dispatch({ kind: 'max-weight-set', path: name as PathName, maxWeight });
  }
  for (const { name, drained } of change.redrained) {
    driver.dispatch({ kind: 'drain-set', path: name as PathName, drained });
  }
  const arrive = (path: VolumePath): void => {
    const { name, maxWeight, drained } = path;
    board.add(path);
    driver.dispatch({ kind: 'path-added', config: { name: name as PathName, maxWeight, drained } });
  };
  // New names first: the more choice there is when an old path has to be left.
  for (const path of change.arriving) if (!change.leaving.includes(path.name)) arrive(path);
  for (const name of change.leaving) {
    driver.dispatch({ kind: 'path-removed', path: name as PathName });
    if (!(await dropped(name, on))) return err(`${name} could not be left in time; try again`);
    await board.remove(name, LOGOUT_TIMEOUT_MS);
    const successor = change.arriving.find((path) => path.name === name);
    if (successor !== undefined) arrive(successor);
  }
  return ok(undefined);
}

async function dropped(name: string, { clock, bell, driver }: Changeable): Promise<boolean> {
  const deadline = clock.now() + LEAVE_TIMEOUT_MS;
  while (driver.view().some((view) => view.name === name)) {
    if (clock.now() >= deadline) return false;
    await bell.within(50);
  }
  return true;
}
