/** Latencies of probe READs, microseconds: percentiles of a few samples, what counts as slow. */
import type { PathState } from './path-state.ts';
import { usable } from './path-state.ts';
import type { Policy } from './policy.ts';

const REMEMBERED = 10;

export function withLatency(path: PathState, latencyUs: number): PathState {
  return { ...path, latenciesUs: [...path.latenciesUs, latencyUs].slice(-REMEMBERED) };
}

/** Nearest-rank percentile; 0 without samples. */
function percentile(samples: readonly number[], fraction: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? 0;
}

export function p90(samples: readonly number[]): number {
  return percentile(samples, 0.9);
}

/**
 * Slow: beyond the absolute limit and beyond `ratio` times the median of the other live paths. When those
 * are beyond the limit as well, the back end is slow and no path is the cause, however much they differ;
 * with no other path there is nothing to compare with.
 */
export function isSlow(
  latencyUs: number,
  path: PathState,
  paths: readonly PathState[],
  policy: Policy,
): boolean {
  if (latencyUs <= policy.brownOutLatencyMs * 1000) return false;
  const others = paths
    .filter((other) => other.name !== path.name && usable(other) && other.latenciesUs.length > 0)
    .map((other) => p90(other.latenciesUs));
  if (others.length === 0) return false;
  const median = percentile(others, 0.5);
  if (median > policy.brownOutLatencyMs * 1000) return false;
  return latencyUs > policy.brownOutRatio * median;
}
