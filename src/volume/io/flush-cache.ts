/**
 * SYNCHRONIZE CACHE outside the request flow: before a planned switch and at detach. It may be the first
 * command of a nexus to see a unit attention, and each of them is the volume's to judge: one that says
 * "the unit has changed" voids what the flush was for.
 */
import { err, ok, type Result } from '../../base/result.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Sense } from '../../ports/session.ts';
import { runCommand } from '../unit/command.ts';
import { isNeedless, synchronizeCache } from '../unit/empty-cache.ts';
import { endsOutstanding } from '../unit/outcome.ts';
import { whileAnswering } from '../unit/while-answering.ts';
import type { Dispatcher } from './dispatch.ts';

/** Limits of a flush, ms: a path that answers pings may take all of `deadlineMs`, a silent one `silenceMs`. */
export interface FlushLimits {
  readonly deadlineMs: number;
  readonly silenceMs: number;
}

/** Good when everything answered is on stable storage; the error says why not. The dispatcher must be held. */
export async function flushCache(
  dispatcher: Dispatcher,
  clock: Clock,
  { deadlineMs, silenceMs }: FlushLimits,
  attention: (sense: Sense) => void,
): Promise<Result<void, string>> {
  const { route, ledger } = dispatcher;
  if (route === undefined) return err('no path');
  const { writeCache } = route.facts;
  // A cache that was switched off may still hold what was written before that.
  if (writeCache === 'none' && !dispatcher.mayTakeEffect) return ok(undefined);
  const mark = dispatcher.flushMark;
  const { count } = ledger.log;
  const heard: Sense[] = [];
  const hear = (sense: Sense): void => {
    heard.push(sense);
    attention(sense);
  };
  const context = { session: route.session, clock, deadlineMs, attention: hear };
  const flushing = runCommand(context, synchronizeCache());
  const result = await whileAnswering(route.session, { clock, stepMs: silenceMs }, flushing);
  if (result === 'silent') return err('the path has fallen silent');
  const needless =
    result.kind === 'fault' && isNeedless(result.fault.unsupported === true, writeCache);
  if (result.kind === 'fault' && !needless) return err(result.fault.detail);
  // What was in the cache may have gone with the commands: flushed was what was left of it.
  if (count > 0 && heard.some(endsOutstanding))
    return err('the unit has lost what it was to flush');
  dispatcher.flushed(mark);
  return ok(undefined);
}
