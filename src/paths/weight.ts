/**
 * How a weight moves (D51): halved when the path is declared down and by each further failed probe,
 * raised a little by each good probe. Additive increase, multiplicative decrease, as TCP does it: a
 * path that fails often never gets far.
 *
 * A weight changes at most once per probe period, because a weight shall measure time and not the number
 * of messages: ten failed commands are one failure, and probes sent early (on suspicion) raise nothing.
 * The declaration of down itself is not held back by an earlier raise: it is always exactly one half.
 */
import type { Instant } from '../base/brand.ts';
import type { PathState } from './path-state.ts';

/** The weight never reaches zero: even the worst path keeps its place in the order. */
export const FLOOR = 1;

export function half(weight: number): number {
  return Math.max(FLOOR, Math.floor(weight / 2));
}

export function halved(path: PathState, now: Instant): PathState {
  return { ...path, weight: half(path.weight), weightMovedAt: now };
}

/** One more failed probe while down; `periodMs` is the path's shortest probe period. */
export function halvedOncePerPeriod(path: PathState, periodMs: number, now: Instant): PathState {
  return mayMove(path, periodMs, now) ? halved(path, now) : path;
}

export function raised(path: PathState, step: number, periodMs: number, now: Instant): PathState {
  if (path.weight >= path.maxWeight || !mayMove(path, periodMs, now)) return path;
  const weight = Math.min(path.maxWeight, path.weight + step);
  return { ...path, weight, weightMovedAt: now };
}

/** A halving that turned out unjust is taken back. */
export function restored(path: PathState, penalty: number, now: Instant): PathState {
  return { ...path, weight: Math.min(path.maxWeight, path.weight + penalty), weightMovedAt: now };
}

/** A probe period is over since the last move. */
export function mayMove(path: PathState, periodMs: number, now: Instant): boolean {
  return path.weightMovedAt === undefined || now - path.weightMovedAt >= periodMs;
}

/**
 * A new ceiling, from topology or by hand: a healthy path follows it at once, any other one rises step by
 * step.
 */
export function withMaxWeight(path: PathState, maxWeight: number): PathState {
  const healthy = path.weight === path.maxWeight;
  return { ...path, maxWeight, weight: healthy ? maxWeight : Math.min(path.weight, maxWeight) };
}
