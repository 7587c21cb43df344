/**
 * Registrations of this node that are gone from a target, all of them, although this node has not taken
 * them away (D44): the target has lost its power, or another node was given the volume and has left it
 * again. A node that has lost the volume would register first, reserve, and write its stale pages over
 * the owner's. So a path that finds this asks for the claim, and is not used before the answer.
 *
 *   ask       told once for all paths that wait, and again while csi does not answer
 *   confirm   this node is still the owner: the paths that wait may register, within a short time, for the
 *             answer says nothing about what comes later
 *
 * "Lost" is no answer to wait for: it fails the volume at once, asked or not (Volume.disown).
 */
import type { Clock } from '../../ports/clock.ts';
import type { ClaimSignal } from './reserve-signal.ts';

/** Told again after this while a path waits: csi was away. */
const ASK_AGAIN_MS = 30_000;
/** A confirmation is good for logins within this. */
const GRANT_MS = 10_000;

export interface ClaimQuestionOptions {
  readonly clock: Clock;
  /** csi answers; false: nothing is asked, every path may register. */
  readonly isAnswered: () => boolean;
}

export class ClaimQuestion {
  readonly #options: ClaimQuestionOptions;
  readonly #emit: (signal: ClaimSignal) => void;
  readonly #waiting = new Set<string>();
  readonly #granted = new Map<string, number>();
  #askedAt = -Infinity;

  constructor(options: ClaimQuestionOptions, emit: (signal: ClaimSignal) => void) {
    this.#options = options;
    this.#emit = emit;
  }

  /** This path finds no registration of ours: may it register? If not, it is asked for. */
  mayRegister(path: string): boolean {
    const { clock, isAnswered } = this.#options;
    const now = clock.now();
    if (!isAnswered() || (this.#granted.get(path) ?? -Infinity) > now) return true;
    const isFirst = this.#waiting.size === 0;
    this.#waiting.add(path);
    if (!isFirst && now - this.#askedAt < ASK_AGAIN_MS) return false;
    this.#askedAt = now;
    this.#emit({ kind: 'claim-questioned', path });
    return false;
  }

  /** It has registered, or was removed: what comes later is another question. */
  withdraw(path: string): void {
    this.#waiting.delete(path);
    this.#granted.delete(path);
  }

  /** This node is still the owner. Where no path waits, nothing happens. */
  confirm(): void {
    const paths = [...this.#waiting];
    this.#waiting.clear();
    for (const path of paths) this.#granted.set(path, this.#options.clock.now() + GRANT_MS);
    if (paths.length > 0) this.#emit({ kind: 'claim-confirmed', paths });
  }
}
