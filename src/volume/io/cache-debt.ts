/**
 * Writes that may be only in the volatile cache of the current path although the ledger has settled them, or
 * does not know of the cache:
 *
 *   failed    data-changing commands that ended without GOOD: a part of them may be in there. They
 *             are not replayed. So until a flush has covered them the path must be fenced when it is left,
 *             or they are destaged over newer data.
 *   exposed   requests under way that were sent as to a unit without a cache, which turned out to have one:
 *             they are answered after a flush.
 */
import { assert } from '../../base/assert.ts';
import type { LuFacts } from '../unit/lu.ts';
import type { Entry } from './ledger.ts';

export class CacheDebt {
  /** Commands that failed, which only grows, and how many of them a flush has covered: never more. */
  #failed = 0;
  #covered = 0;
  readonly #exposed = new Set<Entry>();

  /** `facts` undefined: what the unit has is not known. */
  failed({ changesData }: Entry, facts: LuFacts | undefined): void {
    if (changesData && facts?.writeCache !== 'none') this.#failed++;
  }

  /** What a flush that is issued now will cover: hand it to `flushed`. */
  get mark(): number {
    return this.#failed;
  }

  flushed(mark: number): void {
    assert(mark <= this.#failed, 'a flush covers no command that failed after it was issued');
    this.#covered = mark;
  }

  /** Something may still be destaged. */
  get isOpen(): boolean {
    return this.#failed > this.#covered;
  }

  expose(entries: Iterable<Entry>): void {
    for (const entry of entries) if (entry.changesData) this.#exposed.add(entry);
  }

  isExposed(entry: Entry): boolean {
    return this.#exposed.has(entry);
  }

  ended(entry: Entry): void {
    this.#exposed.delete(entry);
  }

  /** The path is left; `isOpen` was asked before. */
  leave(): void {
    this.#covered = this.#failed;
    this.#exposed.clear();
  }
}
