/**
 * A key at a target that begins like those of this node and that this process has not registered (D45): was it
 * a process of this node before us, or another node whose InitiatorName has the same hash, or the same
 * InitiatorName? Taken for ours the key would be preempted, and its node neither fenced nor noticed.
 *
 *   1. The target says who has registered it (READ FULL STATUS; LIO and istgt have it, tgt has not).
 *   2. Else the record decides: what was left cleanly has left no key. Where it may have left some, and for
 *      keys of other volumes of this node, the key counts as ours.
 */
import { ok, type Result } from '../../base/result.ts';
import type { CommandContext, CommandFault } from '../unit/command.ts';
import { readRegistrants } from '../unit/reserve-commands.ts';
import type { ReservationKeyScheme } from './nexus.ts';

export interface KeyOrigins {
  readonly ring: ReservationKeyScheme;
  readonly initiatorName: string;
  /** The record says that keys of this volume may be registered. */
  readonly mayHaveLeft: boolean;
  /** The path that the key names is one of another volume of this node. */
  readonly isOfAnotherVolume: (key: string) => boolean;
}

/** What is wrong, for people; undefined: every key that looks like ours is ours. */
export async function examineKeys(
  context: CommandContext,
  keys: readonly string[],
  origins: KeyOrigins,
): Promise<Result<string | undefined, CommandFault>> {
  const { ring, initiatorName, mayHaveLeft, isOfAnotherVolume } = origins;
  const doubtful = ring.doubtful(keys);
  if (doubtful.length === 0) return ok(undefined);
  const told = await readRegistrants(context);
  if (!told.ok && told.error.kind !== 'error') return told;
  let problem: string | undefined;
  for (const key of doubtful) {
    const names = (told.ok ? told.value : []).flatMap((one) =>
      one.key === key && one.initiatorName !== '' ? [one.initiatorName] : [],
    );
    const other = names.find((name) => name !== initiatorName.toLowerCase());
    const isOurs = names.length > 0 ? other === undefined : mayHaveLeft || isOfAnotherVolume(key);
    ring.judgeKey(key, isOurs);
    if (!isOurs) problem ??= other === undefined ? unexplained(key) : twin(key, other);
  }
  return ok(problem);
}

function twin(key: string, other: string): string {
  return (
    `key ${key} begins like those of this node and was registered by ${other}: the names have the same ` +
    'hash. Give one of the two nodes another InitiatorName'
  );
}

function unexplained(key: string): string {
  return (
    `key ${key} begins like those of this node, which has left none there: another node has the same ` +
    'InitiatorName, or one of equal hash. Give each node a name of its own. If there is no such node (the ' +
    "record of this volume in pathd's --state-dir was lost), remove the key at the target"
  );
}
