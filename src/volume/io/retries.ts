/**
 * How often and after which pauses a command is sent again on the same path: at once after unit
 * attentions and aborts, at a walk when there are many of them, after growing pauses while the target
 * is busy. Pure.
 */
import type { Verdict } from '../unit/outcome.ts';

const BUSY_MS_MIN = 8;
const BUSY_MS_MAX = 1_000;
/** Immediate retries of one command (unit attentions, aborted commands) before pauses are made. */
const RETRIES_AT_ONCE = 8;
/**
 * How often one command may be aborted (ABORTED COMMAND, TASK ABORTED) before its request is answered
 * with an error: 8 retries at once, then one a second for 30 s, which is what Linux gives a disk.
 *
 * Why an error and not a verdict on the path: "not every error is the path's". A path whose every command
 * is aborted fails its probes and is left within seconds, and the count starts anew on the next one.
 * What reaches this limit is a single command on a path that answers all others; moving it about would
 * take one path down after the other, and no request would be served any better. Unit attentions have
 * no limit: each is a piece of news, and a target runs out of them.
 */
export const ABORTS_MAX = RETRIES_AT_ONCE + 30;

/** The verdict on a command that has reached the limit. */
export const ABORTED = {
  kind: 'error',
  error: 'EIO',
  detail: 'aborted again and again',
} as const satisfies Verdict;

/**
 * A command that the target has put off so often is reported. The pauses before it add up to 30 s: array
 * controllers that fail over, and tasks of other initiators, take less. Nothing else is done about it:
 * the target answers, so the path is well, and another path would be put off as well.
 */
export const LONG_BUSY_TRIES = 36;

/** How often a command was sent again, and why. */
export interface Tries {
  readonly busy: number;
  readonly attentions: number;
  readonly aborts: number;
}

export const FIRST_TRY: Tries = { busy: 0, attentions: 0, aborts: 0 };

/** The next try of a command so answered, after a pause (ms); undefined: it has had enough of them. */
export function nextTry(
  tries: Tries,
  verdict: Extract<Verdict, { kind: 'busy' | 'retry' }>,
): { readonly tries: Tries; readonly pauseMs: number } | undefined {
  if (verdict.kind === 'busy') {
    return { tries: { ...tries, busy: tries.busy + 1 }, pauseMs: busyPauseMs(tries.busy) };
  }
  const isNews = verdict.attention !== undefined;
  if (!isNews && tries.aborts >= ABORTS_MAX) return undefined;
  const next = isNews
    ? { ...tries, attentions: tries.attentions + 1 }
    : { ...tries, aborts: tries.aborts + 1 };
  return { tries: next, pauseMs: retryPauseMs(next) };
}

/** Pause before a busy target is asked again, ms. */
export function busyPauseMs(tries: number): number {
  return Math.min(BUSY_MS_MAX, BUSY_MS_MIN * 2 ** Math.min(tries, 10));
}

/** After an abort or a unit attention: pause before the next try, ms. */
function retryPauseMs({ aborts, attentions }: Tries): number {
  return aborts <= RETRIES_AT_ONCE && attentions <= RETRIES_AT_ONCE ? 0 : BUSY_MS_MAX;
}
