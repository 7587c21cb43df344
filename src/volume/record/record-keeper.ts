/**
 * The volume's record in memory and on disk, changed in one order (D34): an update is on stable storage when
 * its promise resolves well, and what is in memory is never ahead of what was asked to be saved.
 */
import { assert } from '../../base/assert.ts';
import { ok, type Result } from '../../base/result.ts';
import type { StoreError, VolumeRecord, VolumeStore } from './record.ts';

export class RecordKeeper {
  readonly #store: VolumeStore;
  /** The last one that was saved. Invariant: always of the same volume. */
  #record: VolumeRecord;
  /** What is on disk is `#record`; after a save that failed it is not known. */
  #certain = true;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(store: VolumeStore, record: VolumeRecord) {
    this.#store = store;
    this.#record = record;
  }

  get record(): VolumeRecord {
    return this.#record;
  }

  /** Applies a change and saves it; a change that changes nothing is not written. */
  update(
    change: (record: VolumeRecord) => Partial<VolumeRecord>,
  ): Promise<Result<void, StoreError>> {
    const result = this.#queue.then(async (): Promise<Result<void, StoreError>> => {
      const next = { ...this.#record, ...change(this.#record) };
      assert(next.volumeId === this.#record.volumeId, 'a record stays that of its volume');
      const same = JSON.stringify(next) === JSON.stringify(this.#record);
      if (same && this.#certain) return ok(undefined);
      const saved = await this.#store.save(next);
      this.#certain = saved.ok;
      if (saved.ok) this.#record = next;
      return saved;
    });
    this.#queue = result;
    return result;
  }
}
