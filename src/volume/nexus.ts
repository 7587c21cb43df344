/**
 * One login of a path that has registered a key, what it reads at its device server, and whose keys
 * those are.
 */
import { ok, type Result } from '../base/result.ts';
import {
  type Reservation,
  WRITE_EXCLUSIVE_REGISTRANTS_ONLY,
} from '../protocol/scsi/persistent-reserve.ts';
import type { CommandContext, CommandFault } from './command.ts';
import type { Session } from './ports.ts';
import { nodePrefix, pathPrefix } from './reservation-key.ts';
import { readHolder, readKeys } from './reserve-commands.ts';

export interface ReservedPath {
  readonly name: string;
  readonly isid: string;
}

export interface Nexus extends ReservedPath {
  readonly session: Session;
  /** Commands of our own through its session, each within so many ms. */
  readonly open: (deadlineMs: number) => CommandContext;
  readonly key: string;
}

export interface Look {
  /** One for each registration. */
  readonly keys: readonly string[];
  readonly holder: Reservation | undefined;
}

export async function look(context: CommandContext): Promise<Result<Look, CommandFault>> {
  const [keys, holder] = await Promise.all([readKeys(context), readHolder(context)]);
  if (!keys.ok) return keys;
  return holder.ok ? ok({ keys: keys.value, holder: holder.value }) : holder;
}

/** Whose is a key? */
export class KeyRing {
  readonly #initiatorName: string;
  readonly #node: string;

  constructor(initiatorName: string) {
    this.#initiatorName = initiatorName;
    this.#node = nodePrefix(initiatorName);
  }

  /** What all keys of a path begin with. */
  prefix({ isid }: Pick<ReservedPath, 'isid'>): string {
    return pathPrefix(this.#initiatorName, isid);
  }

  has(key: string): boolean {
    return key.startsWith(this.#node);
  }

  /** This node holds the unit, so that nobody writes who has not registered. */
  holds(holder: Reservation | undefined): boolean {
    if (holder === undefined || !this.has(holder.key)) return false;
    return holder.type === WRITE_EXCLUSIVE_REGISTRANTS_ONLY && holder.scope === 0;
  }

  /** Somebody else holds it, or holds it differently. */
  isForeign(holder: Reservation | undefined): holder is Reservation {
    return holder !== undefined && !this.holds(holder);
  }

  /** Keys that are not of this node, the holder's first. */
  foreign({ keys, holder }: Look): readonly string[] {
    const first = this.isForeign(holder) ? [holder.key] : [];
    return [...new Set([...first, ...keys.filter((key) => !this.has(key))])];
  }
}

/** A path that answers at once is not kept waiting by one that does not. */
export function firstToAnswer(
  nexuses: readonly Nexus[],
  timeoutMs: number,
): Promise<Nexus | undefined> {
  return new Promise((resolve) => {
    let left = nexuses.length;
    if (left === 0) resolve(undefined);
    for (const nexus of nexuses) {
      void readKeys(nexus.open(timeoutMs)).then((read) => {
        left--;
        if (read.ok) resolve(nexus);
        else if (left === 0) resolve(undefined);
      });
    }
  });
}
