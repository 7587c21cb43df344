/**
 * One login of a path that has registered a key, what it reads at its device server, and whose keys
 * those are.
 */
import { assert } from '../../base/assert.ts';
import { ok, type Result } from '../../base/result.ts';
import type { Session } from '../../ports/session.ts';
import {
  NO_KEY,
  type Reservation,
  WRITE_EXCLUSIVE_REGISTRANTS_ONLY,
} from '../../protocol/scsi/persistent-reserve.ts';
import type { CommandContext, CommandFault } from '../unit/command.ts';
import { readHolder, readKeys } from '../unit/reserve-commands.ts';
import type { ReservedPath } from '../unit/session-key.ts';
import {
  formerNodePrefix,
  formerPathPrefix,
  loginOf,
  nextKey,
  nodePrefix,
  pathPrefix,
} from './reservation-key.ts';

export interface Nexus extends ReservedPath {
  readonly session: Session;
  /** Commands of our own through its session, each within so many ms. */
  readonly open: (deadlineMs: number) => CommandContext;
  readonly key: string;
  /** It outlives a loss of the target's power. */
  readonly persists: boolean;
}

export interface ReservationState {
  /** One for each registration. */
  readonly keys: readonly string[];
  readonly holder: Reservation | undefined;
}

export async function readReservation(
  context: CommandContext,
): Promise<Result<ReservationState, CommandFault>> {
  const [keys, holder] = await Promise.all([readKeys(context), readHolder(context)]);
  if (!keys.ok) return keys;
  return holder.ok ? ok({ keys: keys.value, holder: holder.value }) : holder;
}

/** Whose is a key? */
export class ReservationKeyScheme {
  readonly #initiatorName: string;
  readonly #node: string;
  readonly #former: string | undefined;
  /** Keys that this process has registered, and those that are known to be of one before it. */
  readonly #known = new Set<string>();
  /** Keys that begin like ours and that another node has registered. */
  readonly #strange = new Set<string>();

  /** Number of the latest login, by ISID. */
  readonly #logins = new Map<string, number>();
  readonly #firstLogin: number;

  /**
   * `hasFormer`: a version before this layout of keys may have left some (reservation-key.ts).
   * `firstLogin`: where to count from, not the same for one process and the next.
   */
  constructor(initiatorName: string, hasFormer = false, firstLogin = 0) {
    this.#firstLogin = firstLogin;
    this.#initiatorName = initiatorName;
    this.#node = nodePrefix(initiatorName);
    this.#former = hasFormer ? formerNodePrefix(initiatorName) : undefined;
  }

  /** A key for the next login of a path; undefined: all of them are registered. */
  next({ isid }: Pick<ReservedPath, 'isid'>, registered: readonly string[]): string | undefined {
    const before = this.#logins.get(isid) ?? this.#firstLogin;
    const key = nextKey(pathPrefix(this.#initiatorName, isid), before, registered);
    if (key === undefined) return undefined;
    assert(!registered.includes(key), 'a login takes no key that is registered');
    this.#logins.set(isid, loginOf(key));
    this.#known.add(key);
    return key;
  }

  has(key: string): boolean {
    return this.#looksLikeOurs(key) && !this.#strange.has(key);
  }

  /** It is one of this path's, of whatever login. */
  isOf({ isid }: Pick<ReservedPath, 'isid'>, key: string): boolean {
    const former = this.#former !== undefined && formerPathPrefix(this.#initiatorName, isid);
    const is = key.startsWith(pathPrefix(this.#initiatorName, isid));
    return this.has(key) && (is || (former !== false && key.startsWith(former)));
  }

  #looksLikeOurs(key: string): boolean {
    if (key.startsWith(this.#node)) return true;
    return this.#former !== undefined && key.startsWith(this.#former);
  }

  /** Those that look like ours and that are not accounted for. */
  doubtful(keys: readonly string[]): readonly string[] {
    return keys.filter((key) => this.#looksLikeOurs(key) && !this.#known.has(key));
  }

  /** Whose a doubtful key is (strange-keys.ts). */
  judgeKey(key: string, isOurs: boolean): void {
    (isOurs ? this.#known : this.#strange).add(key);
    if (isOurs) this.#strange.delete(key);
  }

  /** The unit is reserved for this node: only registered initiators can write. */
  isReservedByUs(holder: Reservation | undefined): boolean {
    if (holder === undefined || !this.has(holder.key)) return false;
    return holder.type === WRITE_EXCLUSIVE_REGISTRANTS_ONLY && holder.scope === 0;
  }

  /** Another node has the reservation, or it is of another type. */
  isForeign(holder: Reservation | undefined): holder is Reservation {
    return holder !== undefined && !this.isReservedByUs(holder);
  }

  /** Keys that are not of this node, the holder's first. */
  foreign({ keys, holder }: ReservationState): readonly string[] {
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

/** The key among these that holds the reservation, or the last one. */
export function keyToPreempt(stale: readonly string[], holder: Reservation | undefined): string {
  return stale.find((key) => key === holder?.key) ?? stale.at(-1) ?? NO_KEY;
}
