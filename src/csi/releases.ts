/**
 * Taking off a PV what this node wrote on it, after unstage: at once where the API server answers,
 * else later, for as long as it takes and over restarts of csi (the volume stays in the known store
 * until it is done). Unstage waits for one try's time at most.
 */
import { backoffMs } from '../kubernetes/backoff.ts';
import { pause } from '../kubernetes/watch.ts';
import type { KnownStore } from './known.ts';
import { type OwnerOptions, releaseOwner, TRY_MS } from './owner.ts';

export interface ReleasesOptions {
  readonly store: KnownStore;
  readonly owner: OwnerOptions;
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
    const { store, owner } = this.#options;
    const known = store.get(volumeId);
    if (known?.isReleased !== true) return true;
    const { name, uid } = known.pv ?? { name: '', uid: '' };
    if (name !== '' && !(await releaseOwner(owner, volumeId, name, uid))) return false;
    // Staged again meanwhile: then it is not ours to forget.
    if (store.get(volumeId)?.isReleased === true) await store.remove(volumeId);
    return true;
  }
}
