/**
 * Removes from a PV what this node wrote on it, after unstage. Where the API server answers, that is at
 * once. Else it is tried again until it succeeds, over restarts of csi too: the volume stays in the known
 * store until then, with what pathd said of it. Until then the claim stands, and another node is refused.
 * Unstage waits for one try's time at most.
 */
import { backoffMs } from '../../kubernetes/backoff.ts';
import type { Debt } from '../../kubernetes/debt-annotation.ts';
import { pause } from '../../kubernetes/watch.ts';
import type { KnownStore } from './known.ts';
import { type OwnerOptions, releaseOwner, TRY_MS } from './claim-writes.ts';

export interface ReleasesOptions {
  readonly store: KnownStore;
  readonly owner: OwnerOptions;
  /** Resolves when nothing of ours claims the volume any more. */
  readonly ended: (volumeId: string) => Promise<void>;
  /** What pathd says of a volume that is not attached; rejects where it cannot be asked. */
  readonly askLeft: (volumeId: string) => Promise<readonly Debt[]>;
  /** Ends all waiting. */
  readonly signal: AbortSignal;
}

export class Releases {
  readonly #options: ReleasesOptions;
  readonly #underWay = new Map<string, Promise<boolean>>();

  constructor(options: ReleasesOptions) {
    this.#options = options;
  }

  /** Resolves when no attempt for the volume is under way: it would undo a new claim. */
  async idle(volumeId: string): Promise<void> {
    await this.#underWay.get(volumeId);
  }

  /** Releases a volume that is marked so in the store. */
  async begin(volumeId: string): Promise<void> {
    const { signal } = this.#options;
    const first = this.#attempt(volumeId);
    await Promise.race([first, pause(TRY_MS, signal)]);
    void first.then((isDone) => (isDone ? undefined : this.#later(volumeId)));
  }

  async #later(volumeId: string): Promise<void> {
    const { signal } = this.#options;
    for (let failures = 1; !signal.aborted; failures += 1) {
      await pause(backoffMs(failures, Math.random()), signal);
      if (await this.#attempt(volumeId)) return;
    }
  }

  async #attempt(volumeId: string): Promise<boolean> {
    const attempt = this.#release(volumeId);
    this.#underWay.set(volumeId, attempt);
    const isDone = await attempt;
    if (this.#underWay.get(volumeId) === attempt) this.#underWay.delete(volumeId);
    return isDone;
  }

  async #release(volumeId: string): Promise<boolean> {
    const { store, owner, ended } = this.#options;
    await ended(volumeId);
    const known = store.get(volumeId);
    if (known?.isReleased !== true) return true;
    const { name, uid } = known.pv ?? { name: '', uid: '' };
    const left = known.left ?? (await this.#asked(volumeId));
    if (left === undefined) return false;
    const { claim, isOwner } = known;
    const isPaid = claim?.unpaid !== undefined;
    const wasHeld = claim?.wasHeld === true;
    const isOver = (): boolean => store.get(volumeId)?.isReleased !== true;
    const terms = { volumeId, name, uid, left, isOwner, isPaid, wasHeld, isOver };
    if (name !== '' && !(await releaseOwner(owner, terms))) return false;
    // Staged again meanwhile: then it is not ours to forget.
    if (store.get(volumeId)?.isReleased === true) await store.remove(volumeId);
    return true;
  }

  /** A csi before this one unstaged it and did not live to write down what pathd said. */
  async #asked(volumeId: string): Promise<readonly Debt[] | undefined> {
    const { owner, askLeft } = this.#options;
    try {
      return await askLeft(volumeId);
    } catch (error) {
      owner.log.info({ volumeId, error: String(error) }, 'pathd does not say what is left');
      return undefined;
    }
  }
}
