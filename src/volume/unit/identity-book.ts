/**
 * Keeps the volume's record of its logical unit while paths come and go (D4): the first path that may found
 * it does, every other is compared with it.
 *
 * Before the first use nothing says which of two disagreeing targets is the right one. So until the
 * record is concluded a disagreement is a dispute, and the volume is not attached; afterwards the one
 * that differs is banned.
 */
import type { Identity } from '../../paths/model.ts';
import type { Policy } from '../../paths/policy.ts';
import {
  canFound,
  compareIdentity,
  describeIdentity,
  isStrong,
  type LuIdentity,
  type LuRecord,
} from './identity.ts';
import { describeMismatch } from './pinned.ts';

export class IdentityBook {
  readonly #firstPath: string;
  readonly #policy: () => Pick<Policy, 'expectedSerial'>;
  readonly #pinned: LuRecord | undefined;
  readonly #banned: Map<string, string>;
  readonly #early = new Map<string, string>();
  #record: LuRecord | undefined;
  #isConcluded: boolean;
  #dispute: string | undefined;
  readonly #seen = new Map<string, LuIdentity>();
  /** Paths that were compared with the record and are not, or not provably, its unit. */
  readonly #others = new Set<string>();

  constructor(options: {
    readonly firstPath: string;
    readonly policy: () => Pick<Policy, 'expectedSerial'>;
    readonly record: LuRecord | undefined;
    /** The unit of the first stage, on whatever node; undefined: not known. */
    readonly pinned?: LuRecord | undefined;
    readonly banned: Readonly<Record<string, string>>;
  }) {
    this.#firstPath = options.firstPath;
    this.#policy = options.policy;
    this.#record = options.record;
    this.#pinned = options.pinned;
    this.#isConcluded = options.record !== undefined;
    this.#banned = new Map(Object.entries(options.banned));
  }

  get record(): LuRecord | undefined {
    return this.#record;
  }

  /** Two paths of a volume that was never used lead to different logical units. */
  get dispute(): string | undefined {
    return this.#isConcluded ? undefined : this.#dispute;
  }

  /** Paths are judged by it from their next look on. */
  get #expectedSerial(): string | undefined {
    const { expectedSerial } = this.#policy();
    return expectedSerial === '' ? undefined : expectedSerial;
  }

  /** From now on the record counts, and so do the bans of the paths that differ from it. */
  conclude(): void {
    this.#isConcluded = true;
    for (const [path, detail] of this.#early) this.#banned.set(path, detail);
  }

  get isConcluded(): boolean {
    return this.#isConcluded;
  }

  get banned(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#banned);
  }

  /**
   * Before there is a record no path is banned for good: which path leads to the volume's unit is not
   * known yet.
   */
  ban(path: string, detail: string): void {
    (this.#isConcluded ? this.#banned : this.#early).set(path, detail);
  }

  readmit(path: string): void {
    this.#banned.delete(path);
  }

  /** The volume was grown to this many blocks. */
  grow(blocks: number): LuRecord | undefined {
    if (this.#record === undefined) return undefined;
    this.#record = { ...this.#record, identity: { ...this.#record.identity, blocks } };
    return this.#record;
  }

  /** Blocks each path showed when it was last looked at. */
  seenBlocks(path: string): number | undefined {
    return this.#seen.get(path)?.blocks;
  }

  get strong(): boolean {
    return this.#record !== undefined && isStrong(this.#record.identity);
  }

  /** Compared with the record the path leads to another unit, or to one that cannot be told from others. */
  isAnothers(path: string): boolean {
    return this.#others.has(path);
  }

  judge(path: string, seen: LuIdentity): Identity {
    const isKnown = this.#record !== undefined || this.#pinned !== undefined;
    const verdict = this.#judge(path, seen);
    // A path that is banned before there is a record is banned by the operator's word, and not looked at again.
    const isOther = verdict.kind === 'banned' || (isKnown && verdict.kind === 'unverified');
    if (isOther) this.#others.add(path);
    else this.#others.delete(path);
    return verdict;
  }

  #judge(path: string, seen: LuIdentity): Identity {
    this.#seen.set(path, seen);
    const ban = this.#banned.get(path);
    if (ban !== undefined) return { kind: 'banned', detail: ban };
    const record = this.#record;
    if (record === undefined) {
      const verdict = this.#mayFound(path, seen);
      if (verdict.kind === 'verified') this.#record = { identity: seen, founder: path };
      return verdict;
    }
    const verdict = compareIdentity(record, seen, path, this.#expectedSerial);
    if (verdict.kind !== 'banned') return verdict;
    // Where the operator said which unit it is, or an earlier stage, there is nothing to dispute.
    const isTold = this.#expectedSerial !== undefined || this.#pinned !== undefined;
    if (this.#isConcluded || isTold) this.#banned.set(path, verdict.detail);
    else {
      this.#dispute =
        `the paths lead to different logical units: ${record.founder} to ` +
        `${describeIdentity(record.identity)}; ${path} to ${describeIdentity(seen)}. ` +
        'Remove the wrong one, or set policy.prioritypath.io/expected-serial';
    }
    return verdict;
  }

  /** Of a volume that this node has no record of. */
  #mayFound(path: string, seen: LuIdentity): Identity {
    if (this.#pinned === undefined) {
      return canFound(seen, path, this.#firstPath, this.#expectedSerial);
    }
    const verdict = compareIdentity(this.#pinned, seen, path, this.#expectedSerial);
    if (verdict.kind !== 'banned') return verdict;
    const detail = describeMismatch(this.#pinned, verdict.detail);
    this.ban(path, detail);
    return { kind: 'banned', detail };
  }
}
