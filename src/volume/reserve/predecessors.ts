/**
 * Former nodes of the volume, as their registrations show them at a device server (D45): whose keys an
 * attach may take away, and what was seen of them before it did.
 *
 * Only a node that is named may be preempted: the claim was taken from that node, or it has given the volume back
 * and left its keys. Any other key is that of a node which may be writing at this moment, of another cluster
 * perhaps, and its owner has given this node nothing.
 */
import type { Kinship } from './kinship.ts';
import { ReservationKeyScheme, type ReservationState, type Nexus } from './nexus.ts';

/** A path of a former node, by the names under which that node logged in. */
export interface FormerNexus {
  readonly initiatorName: string;
  readonly isid: string;
  /** Its registration was taken away before: what is to be seen is the reservation that kept it out. */
  readonly keptOut: boolean;
}

/** What was seen through a path when it logged in, before anything was taken away. */
interface Seen {
  readonly keys: Set<string>;
  /** The unit was reserved by a former node, or by this node before it was started anew. */
  reserved: boolean;
}

export class Predecessors {
  readonly #rings: ReadonlyMap<string, ReservationKeyScheme>;
  /** The claim was taken from a node whose initiator name is not known. */
  readonly #isAnybody: boolean;
  readonly #seen = new Map<string, Seen>();
  #isOver = false;

  constructor(initiatorNames: readonly string[], isAnybody: boolean) {
    this.#rings = new Map(
      initiatorNames.map((name) => [name, new ReservationKeyScheme(name, true)]),
    );
    this.#isAnybody = isAnybody;
  }

  /** Whether this key, which is not ours, may be taken away. */
  mayPreempt(key: string): boolean {
    if (this.#isOver) return false;
    return this.#isAnybody || this.#isNamed(key);
  }

  #isNamed(key: string): boolean {
    return [...this.#rings.values()].some((ring) => ring.has(key));
  }

  /** A path of ours has logged in. `ours`: this process has not reserved anything yet. */
  note(
    path: string,
    { keys, holder }: ReservationState,
    ours: ReservationKeyScheme | undefined,
  ): void {
    const seen = this.#seen.get(path) ?? { keys: new Set(), reserved: false };
    this.#seen.set(path, seen);
    for (const key of keys) if (this.#isNamed(key)) seen.keys.add(key);
    if (holder === undefined) return;
    seen.reserved ||= this.#isNamed(holder.key) || ours?.isReservedByUs(holder) === true;
  }

  /** Whether this path of ours leads to the device server where that nexus was registered, or kept out. */
  proves(path: string, { initiatorName, isid, keptOut }: FormerNexus): boolean {
    const seen = this.#seen.get(path);
    if (seen === undefined) return false;
    const ring = this.#rings.get(initiatorName);
    const wasRegistered = [...seen.keys].some((key) => ring?.isOf({ isid }, key) ?? false);
    return wasRegistered || (keptOut && seen.reserved);
  }

  /** The logins that lead there, by what they have seen or because they share its device server. */
  witnesses(former: FormerNexus, all: Iterable<Nexus>, kinship: Kinship): readonly Nexus[] {
    const nexuses = [...all];
    const seen = nexuses.filter(({ name }) => this.proves(name, former));
    return nexuses.filter(({ name }) =>
      seen.some((one) => one.name === name || kinship.of(one.name, name) === 'one'),
    );
  }

  /** A path leads elsewhere. */
  forget(path: string): void {
    this.#seen.delete(path);
  }

  /** The volume serves: a node that takes the volume from now on has been given it after this one. */
  end(): void {
    this.#isOver = true;
  }
}

/** The text of a refusal: why, and the way out. */
export function reservedText(key: string): string {
  return (
    `reserved by another node (key ${key}), from which this one was not given the volume: two nodes that ` +
    "write to one unit would destroy each other's data. Stop using it there; if that node is gone for good, " +
    'remove its reservation at the target (sg_persist --out --clear), and stage the volume again'
  );
}
