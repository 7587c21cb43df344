/**
 * Grouped SYNCHRONIZE CACHE (D24): one flush at the target for all who wait for one.
 *
 * A member joins when everything it wants on stable storage was answered by the target. The flush that
 * covers it is one that is issued after it joined; so a request that joins while a flush is out waits for
 * the next one. Kernel flushes join, and so do writes that must be stable before they are answered where
 * the logical unit has a volatile cache and no FUA.
 */
import { assert } from '../../base/assert.ts';
import type { Verdict } from '../unit/outcome.ts';

export class SyncGroup<Member> {
  readonly #issue: (done: (verdict: Verdict) => void) => void;
  readonly #finish: (member: Member, verdict: Verdict) => void;
  /** Joined since the flush that is out was issued. */
  #waiting: Member[] = [];
  /** Of the flush that is out. Invariant: empty where none is, so that one is out at a time. */
  #covered: Member[] = [];
  /** Grows whenever a flush that is out stops to count. */
  #epoch = 0;

  /**
   * @param issue sends SYNCHRONIZE CACHE for the whole unit and calls back once, unless its path is
   * abandoned (then `reset` is called instead).
   * @param finish the member's flush was answered.
   */
  constructor(
    issue: (done: (verdict: Verdict) => void) => void,
    finish: (member: Member, verdict: Verdict) => void,
  ) {
    this.#issue = issue;
    this.#finish = finish;
  }

  join(member: Member): void {
    this.#waiting.push(member);
    this.#start();
  }

  /** The path was abandoned: members go back to the ledger, a late answer is ignored. */
  reset(): void {
    this.#epoch++;
    this.#waiting = [];
    this.#covered = [];
  }

  #start(): void {
    if (this.#covered.length > 0 || this.#waiting.length === 0) return;
    this.#covered = this.#waiting;
    this.#waiting = [];
    const epoch = this.#epoch;
    this.#issue((verdict) => {
      if (epoch !== this.#epoch) return;
      const covered = this.#covered;
      assert(covered.length > 0, 'a flush is answered once');
      this.#covered = [];
      for (const member of covered) this.#finish(member, verdict);
      // Finishing a member may have failed the volume or changed the path.
      if (epoch === this.#epoch) this.#start();
    });
  }
}
