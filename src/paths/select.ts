/**
 * Which path is best (D48). Weight says nothing about liveness (a dead path at 50 must not be chosen
 * before a live one at 45), so the order is lexicographic:
 *
 *   1 up   2 verified   – never dropped: a path without them is no candidate
 *     (known alive since the suspicion that started a failover, where there was one)
 *   3 not drained   4 not in hold-down   – preferences: they rank, so they yield at need
 *   5 weight   6 max weight   7 rendezvous hash, which spreads the volumes over equal paths
 */
import type { Instant, VolumeId } from '../base/brand.ts';
import { hash32 } from '../base/hash.ts';
import type { PathState } from './path-state.ts';
import { isInHoldDown } from './path-state.ts';

export interface SelectionTerms {
  readonly volumeId: VolumeId;
  readonly now: Instant;
  /** Paths that answered a probe sent since then are preferred: the others may be dead as well. */
  readonly evidenceSince: Instant | undefined;
}

/** 2 in service, 1 drained, 0 removed by the operator and only still here because it is in use. */
export function standing({ drained, leaving }: Pick<PathState, 'drained' | 'leaving'>): number {
  return leaving ? 0 : drained ? 1 : 2;
}

/** What paths are compared by, beside up and verified. */
export interface SelectionKeys {
  readonly name: string;
  readonly isKnownAlive: boolean;
  readonly standing: number;
  readonly isHeldDown: boolean;
  readonly weight: number;
  readonly maxWeight: number;
}

/** The best of the candidates, all of them usable; undefined when there are none. */
export function best(
  candidates: readonly PathState[],
  terms: SelectionTerms,
): PathState | undefined {
  const { volumeId } = terms;
  let winner: PathState | undefined;
  for (const path of candidates) {
    const isBetter =
      winner === undefined || compareKeys(volumeId, keys(path, terms), keys(winner, terms)) > 0;
    if (isBetter) winner = path;
  }
  return winner;
}

function keys(path: PathState, { now, evidenceSince }: SelectionTerms): SelectionKeys {
  const { name, weight, maxWeight } = path;
  return {
    ...{ name, weight, maxWeight, standing: standing(path) },
    isKnownAlive: knownAlive(path, evidenceSince),
    isHeldDown: isInHoldDown(path, now),
  };
}

/** Positive when `a` is better. */
export function compareKeys(volumeId: string, a: SelectionKeys, b: SelectionKeys): number {
  return (
    Number(a.isKnownAlive) - Number(b.isKnownAlive) ||
    a.standing - b.standing ||
    Number(!a.isHeldDown) - Number(!b.isHeldDown) ||
    a.weight - b.weight ||
    a.maxWeight - b.maxWeight ||
    hash32(volumeId, a.name) - hash32(volumeId, b.name) ||
    (a.name > b.name ? 1 : -1)
  );
}

function knownAlive(path: PathState, since: Instant | undefined): boolean {
  return since === undefined || (path.goodSentAt !== undefined && path.goodSentAt >= since);
}
