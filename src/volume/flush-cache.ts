/**
 * SYNCHRONIZE CACHE outside the request flow: before a planned switch and at detach. It may be the first
 * command of a nexus to see a unit attention, and each of them is the volume's to judge: one that says
 * "the unit has changed" voids what the flush was for.
 */
import * as cdb from '../protocol/scsi/cdb.ts';
import { type CommandContext, type CommandFault, type OwnCommand, runCommand } from './command.ts';
import type { Dispatcher } from './dispatch.ts';
import { endsOutstanding } from './outcome.ts';
import type { Clock, Sense } from './ports.ts';
import { whileAnswering } from './while-answering.ts';

/** Limits of a flush, ms: a path that answers pings may take all of `deadlineMs`, a silent one `silenceMs`. */
export interface FlushLimits {
  readonly deadlineMs: number;
  readonly silenceMs: number;
}

/** Undefined when everything answered is on stable storage, else why not. The dispatcher must be held. */
export async function flushCache(
  dispatcher: Dispatcher,
  clock: Clock,
  { deadlineMs, silenceMs }: FlushLimits,
  attention: (sense: Sense) => void,
): Promise<string | undefined> {
  const { route, ledger } = dispatcher;
  if (route === undefined) return 'no path';
  const { writeCache } = route.facts;
  // A cache that was switched off may still hold what was written before that.
  if (writeCache === 'none' && !dispatcher.mayTakeEffect) return undefined;
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
  if (result === 'silent') return 'the path has fallen silent';
  // A target that has no such command and no cache that anybody knows of.
  const needless =
    result.kind === 'fault' && result.fault.unsupported === true && writeCache !== 'volatile';
  if (result.kind === 'fault' && !needless) return result.fault.detail;
  // What was in the cache may have gone with the commands: flushed was what was left of it.
  if (count > 0 && heard.some(endsOutstanding)) return 'the unit has lost what it was to flush';
  dispatcher.flushed(mark);
  return undefined;
}

/**
 * After a fence: a reset ends tasks and leaves the write cache as it is, and a gateway with one of its
 * own would destage old data later, over newer. Undefined when it is empty; a target that knows no
 * such command has nothing to empty. One that failed to write still has it, and will try again.
 */
export async function emptyCache(context: CommandContext): Promise<CommandFault | undefined> {
  const result = await runCommand(context, synchronizeCache());
  return result.kind === 'good' || result.fault.unsupported === true ? undefined : result.fault;
}

function synchronizeCache(): OwnCommand {
  return { what: 'SYNCHRONIZE CACHE', cdb: cdb.synchronizeCache16(), receive: 0 };
}
