/**
 * Token bucket for voluntary switches: for any failure trace, at most capacity + time / interval of them.
 * Each attempt costs a token, also one that is given up, because it has paused the I/O.
 */
import { assert } from '../base/assert.ts';
import type { Instant } from '../base/brand.ts';
import type { Policy } from './policy.ts';
import { after } from './time.ts';

export interface TokenBucket {
  /** Invariant: never below 0. A policy that allows fewer takes none away. */
  readonly tokens: number;
  /** Up to when refilling has been accounted for. */
  readonly filledAt: Instant;
}

export function fullBucket(policy: Policy, now: Instant): TokenBucket {
  return { tokens: policy.failbackTokens, filledAt: now };
}

export function refilled(bucket: TokenBucket, policy: Policy, now: Instant): TokenBucket {
  const interval = policy.failbackTokenIntervalMs;
  if (bucket.tokens >= policy.failbackTokens) return { ...bucket, filledAt: now };
  const earned = Math.floor((now - bucket.filledAt) / interval);
  assert(earned >= 0, 'a bucket is filled up to now at most');
  const tokens = Math.min(policy.failbackTokens, bucket.tokens + earned);
  return { tokens, filledAt: after(bucket.filledAt, earned * interval) };
}

/** When the next token can be had; `now` when there is one. The bucket is refilled up to `now`. */
export function tokenAt(bucket: TokenBucket, policy: Policy, now: Instant): Instant {
  return bucket.tokens > 0 ? now : after(bucket.filledAt, policy.failbackTokenIntervalMs);
}

/** Takes a token that is there. */
export function taken(bucket: TokenBucket): TokenBucket {
  assert(bucket.tokens > 0, 'a token is taken that is there');
  return { ...bucket, tokens: bucket.tokens - 1 };
}
