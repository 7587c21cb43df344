/**
 * The paths that may still execute writes of ours (D10): those that were left with data-changing commands
 * unanswered, and those of a process before us. While there is one, nothing is sent to any path.
 *
 * The ladder (fence.ts) is climbed for one path after the other, in the order in which they were left;
 * a path that is fenced is done with, whatever becomes of the next.
 */
import type { Instant } from '../../base/brand.ts';
import type { FenceSignal } from './fence-signal.ts';
import {
  climbFence,
  type PathToFence,
  type FenceResult,
  type FenceRung,
  type FenceTerms,
} from './fence.ts';

interface Left {
  readonly path: PathToFence;
  /** When its connection was reset. */
  readonly severedAt: Instant;
}

export class UnfencedPaths {
  readonly #emit: (signal: FenceSignal) => void;
  readonly #left = new Map<string, Left>();

  constructor(emit: (signal: FenceSignal) => void) {
    this.#emit = emit;
  }

  add(path: PathToFence, severedAt: Instant): void {
    this.#left.set(path.name, { path, severedAt });
  }

  get names(): readonly string[] {
    return [...this.#left.keys()];
  }

  get size(): number {
    return this.#left.size;
  }

  /**
   * Climbs once for each path: the rung that held for the last of them, or why the first one that is
   * not fenced is not. Undefined: `isEnded`, which is asked after each, says that it is all over.
   */
  async climb(
    policy: FenceTerms,
    now: () => Instant,
    isEnded: () => boolean,
  ): Promise<FenceResult | undefined> {
    let rung: FenceRung | undefined;
    for (const [name, { path, severedAt }] of this.#left) {
      const result = await climbFence(path, policy, severedAt, now);
      if (isEnded()) return undefined;
      if (result.kind === 'unfenced') return result;
      this.#left.delete(name);
      rung = result.rung;
      this.#emit({ kind: 'fenced', path: name, rung });
    }
    return rung === undefined ? undefined : { kind: 'fenced', rung };
  }
}
