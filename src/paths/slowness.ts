/**
 * Slow is not dead (D50): how long a path that carries I/O may be silent, or answer nothing but pings,
 * before that is held against it. A first verdict comes soon. Where every path is as slow once it is
 * written to, such a verdict is an error, and the volume would switch again and again. So each verdict
 * that follows another within ten seconds of trouble needs eight times the evidence. Late answers show
 * how long answers take here: a path is not declared hung before twice that time.
 */
import type { Instant } from '../base/brand.ts';
import type { Policy } from './policy.ts';

export interface Slowness {
  /** Verdicts against current paths since the trouble began. */
  readonly verdicts: number;
  /** When a path was last suspected, or a READ late. */
  readonly troubleAt: Instant | undefined;
  /** The longest time that an answer took that came after all, and when it came. */
  readonly survivedMs: number;
  readonly survivedAt: Instant | undefined;
}

const HARDER = 8;
const CALM_MS = 10_000;
/** A late answer is remembered for this long, or for ten times as long as it took. */
const REMEMBERED_MS = 600_000;

export const NO_TROUBLE: Slowness = {
  verdicts: 0,
  troubleAt: undefined,
  survivedMs: 0,
  survivedAt: undefined,
};

/** A path is suspected, or still is. */
export function troubled(slowness: Slowness, now: Instant): Slowness {
  const { troubleAt, verdicts } = slowness;
  const isOver = troubleAt !== undefined && now - troubleAt >= CALM_MS;
  return { ...slowness, troubleAt: now, verdicts: isOver ? 0 : verdicts };
}

/** The current path was declared down for silence, or for a READ that hung. */
export function judged(slowness: Slowness): Slowness {
  return { ...slowness, verdicts: slowness.verdicts + 1 };
}

/** I/O that had stopped has moved on, or a READ was answered late. */
export function survived(
  slowness: Slowness,
  tookMs: number,
  { policy, now }: { readonly policy: Policy; readonly now: Instant },
): Slowness {
  if (tookMs * 4 < policy.ioDeadlineMs) return slowness;
  const known = isRemembered(slowness, now) ? slowness.survivedMs : 0;
  return { ...slowness, survivedMs: Math.max(known, tookMs), survivedAt: now };
}

function isRemembered({ survivedMs, survivedAt }: Slowness, now: Instant): boolean {
  return survivedAt !== undefined && now - survivedAt < Math.max(REMEMBERED_MS, 10 * survivedMs);
}

function harder(verdicts: number): number {
  return HARDER ** Math.min(verdicts, 4);
}

/** Silence, pings included, that is held against the current path, ms. The second verdict is as quick. */
export function silentLimitMs({ ioDeadlineMs }: Policy, { verdicts }: Slowness): number {
  return ioDeadlineMs * harder(Math.max(0, verdicts - 1));
}

/**
 * How long READs may stay unanswered by a path that answers pings while another path's are answered, ms.
 * `isStalled`: I/O in flight does not move either, so that one question is enough.
 */
export function hungLimitMs(
  { ioDeadlineMs, probeFailures, probeTimeoutMs }: Policy,
  slowness: Slowness,
  { isStalled, now }: { readonly isStalled: boolean; readonly now: Instant },
): number {
  const first = isStalled ? ioDeadlineMs / 2 : probeFailures * probeTimeoutMs;
  const limit = first * harder(slowness.verdicts);
  return isRemembered(slowness, now) ? Math.max(limit, 2 * slowness.survivedMs) : limit;
}
