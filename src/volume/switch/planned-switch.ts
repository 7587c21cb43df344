/**
 * A planned switch, which replays nothing (D27): what takes long is done while the I/O still runs, the
 * identity of the new path and the record on disk; then new I/O is held, what is under way drained, the
 * old path flushed, the new one asked once more. Only when all of that is good the new path gets
 * everything; at the first thing that is not, it is given up and the old path goes on.
 *
 * It may be overruled at any time. Every look at how things stand is made after the wait before it, and
 * the last one and the switch are made without a wait in between.
 */
import { err, ok, type Result } from '../../base/result.ts';
import type { Policy } from '../../paths/policy.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Sense } from '../../ports/session.ts';
import type { Dispatcher, Route } from '../io/dispatch.ts';
import { flushCache } from '../io/flush-cache.ts';
import type { Verified } from '../link/link-state.ts';
import type { PathLink } from '../link/path-link.ts';
import type { RecordKeeper } from '../record/record-keeper.ts';
import { writtenPaths } from '../record/record.ts';
import { notLoggedIn, type ProbeAnswer } from '../unit/probe-answer.ts';
import type { SwitchSignal } from './switch-signal.ts';

export interface PlanOptions {
  readonly clock: Clock;
  readonly dispatcher: Dispatcher;
  readonly keeper: RecordKeeper;
  readonly policy: () => Pick<Policy, 'drainTimeoutMs' | 'probeTimeoutMs'>;
}

/** Questions to the switcher, asked again after every wait, and the one deed: `go`. */
export interface PlanStanding {
  /** The current path is lost or in doubt: a planned switch has to wait. */
  isOverruled(): boolean;
  /** It is what is ordered. */
  isWanted(): boolean;
  /** The volume is at its end: what is on disk stays. */
  isEnded(): boolean;
  /** Waits for work; false: it takes too long, or the switch has become pointless. */
  within(timeoutMs: number, work: Promise<void>): Promise<boolean>;
  readonly emit: (signal: Extract<SwitchSignal, { kind: 'attention' }>) => void;
  /** The new path gets everything, at once: an answer of this function would come one turn too late. */
  go(verified: Verified): void;
}

export interface GivenUp {
  readonly reason: string;
  /** What the new path came to, where it was asked for. */
  readonly answer?: ProbeAnswer;
}

/** What is done while the I/O still runs may take its time. */
const VERIFY_MS = 30_000;

/** A slow answer is no reason against a path, but the wait for it ends after this time. */
async function answerWithin(
  standing: PlanStanding,
  limitMs: number,
  asking: Promise<ProbeAnswer>,
): Promise<ProbeAnswer | undefined> {
  let answer: ProbeAnswer | undefined;
  await standing.within(
    limitMs,
    asking.then((is) => void (answer = is)),
  );
  return answer;
}

/** The error says why it was given up. */
export async function planSwitch(
  { clock, dispatcher, keeper, policy }: PlanOptions,
  old: Route,
  to: string,
  path: PathLink | undefined,
  standing: PlanStanding,
): Promise<Result<void, GivenUp>> {
  // A switch under way keeps the limits with which it began.
  const { drainTimeoutMs, probeTimeoutMs } = policy();
  const verifying = path?.verify(probeTimeoutMs) ?? Promise.resolve(notLoggedIn());
  const before = await answerWithin(standing, VERIFY_MS, verifying);
  if (before?.kind !== 'good' || standing.isOverruled()) {
    const reason = 'the new path was not verified';
    return err(before === undefined ? { reason } : { reason, answer: before });
  }
  const recorded = path?.verified?.session;
  const next = recorded === undefined ? [] : [{ path: to, session: recorded }];
  const saved = await keeper.update(() => writtenPaths(old, ...next));
  const giveUp = (reason: string, answer?: ProbeAnswer): Result<void, GivenUp> => {
    // The new path has got nothing: a restart need not fence it.
    void keeper.update(() => (standing.isEnded() ? {} : writtenPaths(old)));
    return err(answer === undefined ? { reason } : { reason, answer });
  };
  if (!saved.ok) return giveUp(saved.error.detail);
  if (standing.isOverruled() || !standing.isWanted()) return giveUp('overtaken by another order');
  // Whatever becomes of it: the flush that counts comes after the drain, and is short now.
  await standing.within(drainTimeoutMs, dispatcher.ahead.flush());
  dispatcher.hold();
  if (!(await standing.within(drainTimeoutMs, dispatcher.drained()))) {
    return giveUp(`not drained within ${String(drainTimeoutMs)} ms`);
  }
  const heard = (sense: Sense): void => {
    standing.emit({ kind: 'attention', path: old.path, sense });
  };
  const limits = { deadlineMs: drainTimeoutMs, silenceMs: drainTimeoutMs };
  const flushed = await flushCache(dispatcher, clock, limits, heard);
  if (!flushed.ok || standing.isOverruled()) {
    const why = flushed.ok ? 'path lost or changed' : flushed.error;
    return giveUp(`flush of the old path: ${why}`);
  }
  // With everything on stable storage: is it the volume's unit, and does it show the newest writes?
  const checking = path?.recheck(probeTimeoutMs) ?? Promise.resolve(notLoggedIn());
  const answer = await answerWithin(standing, drainTimeoutMs, checking);
  const verified = path?.verified;
  if (answer?.kind !== 'good' || verified === undefined || standing.isOverruled()) {
    return giveUp('the new path was not verified', answer);
  }
  if (!standing.isWanted()) return giveUp('overtaken by another order');
  // Another session may lead to another address than the record says.
  if (path?.mustIdentify === true || verified.session !== recorded) {
    return giveUp('the new path has changed');
  }
  standing.go(verified);
  return ok(undefined);
}
