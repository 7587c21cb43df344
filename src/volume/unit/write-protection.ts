/**
 * A path through which the logical unit is write-protected is of no use to a volume that writes, though it is
 * the volume's unit (D8): a write would be answered with EROFS while another path takes it. It is shown and told,
 * and looked at again at each probe. To a volume that only reads it is as good as any.
 *
 * What counts is what MODE SENSE says (WP), and that a write was refused with 07/27: units refuse writes that
 * never said so.
 */
import type { Instant } from '../../base/brand.ts';
import type { Identity } from '../../paths/model.ts';
import type { Clock } from '../../ports/clock.ts';
import type { LuFacts } from './lu.ts';

/** How long a refused write counts against a MODE SENSE that knows of no protection. */
const REFUSED_MS = 60_000;
const WORD = 'write-protected';

export class WriteProtection {
  readonly #clock: Clock;
  readonly #writes: boolean;
  readonly #refusedAt = new Map<string, Instant>();

  /** @param writes whether the volume is one that writes. */
  constructor(clock: Clock, writes: boolean) {
    this.#clock = clock;
    this.#writes = writes;
  }

  /** A write was refused there. */
  refused(path: string): void {
    this.#refusedAt.set(path, this.#clock.now());
  }

  /** What a path is good for that was judged to lead to the volume's unit, or not to. */
  judge(path: string, identity: Identity, { writeProtected }: LuFacts): Identity {
    if (!this.#writes || identity.kind !== 'verified') return identity;
    const refusedAt = this.#refusedAt.get(path) ?? -Infinity;
    if (writeProtected) return unusable('the unit says so (WP in MODE SENSE)');
    if (this.#clock.now() - refusedAt < REFUSED_MS)
      return unusable('it has refused a write (07/27)');
    return identity;
  }
}

function unusable(why: string): Identity {
  const advice = 'allow writes at the target, or remove the path';
  return { kind: 'unverified', detail: `${WORD}: ${why}; ${advice}` };
}

/** Whether that is what a path is not used for. */
export function isWriteProtected(identity: Identity): boolean {
  return identity.kind === 'unverified' && identity.detail.startsWith(WORD);
}
