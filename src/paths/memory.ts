/**
 * What a controller has learned, in a form that outlives its process (D60): where the I/O runs, what the
 * paths are worth, how often they went down, what is left of the tokens. A restart that forgot this would
 * let every volume fail back at once and forgive every flapping path.
 *
 * Pure data with ages in place of times, because a monotonic clock does not survive a restart; the keeper
 * of the memory knows how old it has become meanwhile. It is ignored when that is longer than
 * `hold-down-forgive` (30 minutes): by then it is forgiven anyway.
 */
import type { Instant } from '../base/brand.ts';
import { waitMs } from './hold-down.ts';
import type { PathConfig } from './model.ts';
import { newPath, type PathState } from './path-state.ts';
import type { Policy } from './policy.ts';
import { best } from './select.ts';
import type { ControllerState } from './state.ts';
import { after } from './time.ts';
import { fullBucket, refilled, type TokenBucket } from './tokens.ts';
import { withMaxWeight } from './weight.ts';

export interface PathMemory {
  readonly weight: number;
  readonly maxWeight: number;
  /** Times it went down, as of `downsAgeMs` before the memory was made. */
  readonly downs: number;
  readonly downsAgeMs: number;
  /** What was left of its hold-down; of a path that was down, the whole of it is. */
  readonly holdDownLeftMs: number;
}

export interface ControllerMemory {
  /** The path that carried the I/O; undefined: none did. */
  readonly current: string | undefined;
  readonly paths: ReadonlyMap<string, PathMemory>;
  readonly tokens: number;
  /** Time since the bucket was last filled. */
  readonly tokensAgeMs: number;
}

/** A memory, and how long ago it was made (ms). Negative: a clock went back, so it is not known. */
export interface Recollection {
  readonly memory: ControllerMemory;
  readonly ageMs: number;
}

export function remember(state: ControllerState, now: Instant): ControllerMemory {
  const { current } = state;
  const policy = state.policy();
  const { tokens, filledAt } = refilled(state.tokens, policy, now);
  const paths = state.paths.map((path) => [path.name, rememberPath(path, policy, now)] as const);
  return { current, paths: new Map(paths), tokens, tokensAgeMs: now - filledAt };
}

function rememberPath(path: PathState, policy: Policy, now: Instant): PathMemory {
  const { weight, maxWeight, downs, downsAt, holdDownUntil, liveness } = path;
  const left = liveness === 'down' ? waitMs(path, policy) : (holdDownUntil ?? now) - now;
  const holdDownLeftMs = Math.max(0, left);
  return { weight, maxWeight, downs, downsAgeMs: now - downsAt, holdDownLeftMs };
}

/** Nothing in the memory that a new controller would not begin with by itself. */
export function isUnremarkable(state: ControllerState, now: Instant): boolean {
  const { volumeId, current, paths } = state;
  const policy = state.policy();
  const { tokens } = refilled(state.tokens, policy, now);
  const pristine = paths.map(({ name, maxWeight, drained }) =>
    newPath({ name, maxWeight, drained }, now),
  );
  const first = best(pristine, { volumeId, now, evidenceSince: undefined });
  const plain = paths.every(
    (path) =>
      path.liveness === 'up' &&
      path.weight === path.maxWeight &&
      (path.downs === 0 || now - path.downsAt >= policy.holdDownForgiveMs),
  );
  return plain && tokens >= policy.failbackTokens && first?.name === current;
}

/** Whether a memory still means anything. */
export function isFresh({ ageMs }: Recollection, policy: Policy): boolean {
  return ageMs >= 0 && ageMs <= policy.holdDownForgiveMs;
}

/** A new path, with what is remembered of it. */
export function recalledPath(
  config: PathConfig,
  resume: Recollection | undefined,
  now: Instant,
): PathState {
  const path = newPath(config, now);
  const was = resume?.memory.paths.get(config.name);
  if (was === undefined || resume === undefined) return path;
  const old = { ...path, weight: was.weight, maxWeight: was.maxWeight };
  const left = was.holdDownLeftMs - resume.ageMs;
  return {
    ...withMaxWeight(old, config.maxWeight),
    downs: was.downs,
    downsAt: after(now, -(was.downsAgeMs + resume.ageMs)),
    holdDownUntil: left > 0 ? after(now, left) : undefined,
  };
}

/** The bucket as it was, and what has come back since. */
export function recalledTokens(
  resume: Recollection | undefined,
  policy: Policy,
  now: Instant,
): TokenBucket {
  if (resume === undefined) return fullBucket(policy, now);
  const { tokens, tokensAgeMs } = resume.memory;
  const filledAt = after(now, -(tokensAgeMs + resume.ageMs));
  return refilled({ tokens: Math.min(tokens, policy.failbackTokens), filledAt }, policy, now);
}
