/**
 * The logical unit that a volume was first staged on, as one line that goes with the volume and not with a
 * node (D6): a node that has never had it compares what its paths lead to with this, by the rule by which it
 * would compare them with a record of its own (identity.ts). An array that maps another unit to the LUN
 * meanwhile is found out; without it this node would found its record on that unit, and mount it.
 *
 * The size in it is the first one. It is a lower bound only: the volume may have been grown by others, so
 * what is recorded here is what the path shows.
 */
import { err, ok, type Result } from '../../base/result.ts';
import { compareIdentity, describeIdentity, type LuRecord, parseIdentity } from './identity.ts';

/** The annotation has a bound of its own; a unit whose names do not fit is not pinned. */
const PIN_MAX = 1_024;

/** Printable ASCII; empty: it does not fit. */
export function formatPin({ identity, founder }: LuRecord): string {
  const { strong, weak, serial, blockSize, blocks } = identity;
  // Weak names say nothing beside strong ones.
  const names = strong.length > 0 ? { strong: strong.slice(0, 8) } : { weak };
  const text = JSON.stringify({ ...names, serial, blockSize, blocks, founder });
  const line = text.replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return line.length > PIN_MAX ? '' : line;
}

/** undefined: nothing is pinned. */
export function parsePin(text: string): Result<LuRecord | undefined, string> {
  if (text === '') return ok(undefined);
  const bad = err(
    `identity.prioritypath.io/unit is not understood (${JSON.stringify(text.slice(0, 80))}): written by ` +
      `a later version, or by hand. ${REPIN}`,
  );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return bad;
  const { founder } = value as { readonly founder?: unknown };
  const identity = parseIdentity({ deviceType: 0, strong: [], weak: [], ...value });
  return identity === undefined || typeof founder !== 'string' ? bad : ok({ identity, founder });
}

const REPIN =
  'If the data of the volume is on this unit on purpose: unstage it everywhere and remove the annotation ' +
  'identity.prioritypath.io/unit, then it is pinned anew';

/** What a path is told that leads to another unit. */
export function describeMismatch(pinned: LuRecord, detail: string): string {
  return (
    `${detail}; the PersistentVolume pins the unit that the volume was first staged on, ` +
    `${describeIdentity(pinned.identity)}. Correct the target's mapping. ${REPIN}`
  );
}

/** Why a record of this node and the pin cannot both be right; undefined: they can. */
export function pinProblem(pinned: LuRecord, record: LuRecord): string | undefined {
  const { identity, founder } = record;
  // Either may be older than the other: sizes say nothing.
  const seen = { ...identity, blocks: Math.max(identity.blocks, pinned.identity.blocks) };
  const verdict = compareIdentity(pinned, seen, founder, undefined);
  if (verdict.kind !== 'banned') return undefined;
  return (
    `the PersistentVolume pins ${describeIdentity(pinned.identity)}, and the record of this node says ` +
    `${describeIdentity(identity)}. Find out which unit has the data. If the record is wrong: priority-path ` +
    `forget on this node. ${REPIN}`
  );
}
