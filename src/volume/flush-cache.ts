/**
 * SYNCHRONIZE CACHE outside the request flow: before a planned switch and at detach. It may be the first
 * command of a nexus to see a unit attention, and each of them is the volume's to judge: one that says
 * "the unit has changed" voids what the flush was for.
 */
import * as cdb from '../protocol/scsi/cdb.ts';
import { type CommandContext, type CommandFault, type OwnCommand, runCommand } from './command.ts';
import type { Route } from './dispatch.ts';
import type { Clock, Sense } from './ports.ts';

/** Undefined when everything answered is on stable storage, else why not. */
export async function flushCache(
  route: Route,
  clock: Clock,
  deadlineMs: number,
  attention: (sense: Sense) => void,
): Promise<string | undefined> {
  if (route.facts.writeCache === 'none') return undefined;
  const context = { session: route.session, clock, deadlineMs, attention };
  const result = await runCommand(context, synchronizeCache());
  if (result.kind === 'good') return undefined;
  // A target that has no such command and no cache that anybody knows of.
  const needless = result.fault.kind === 'error' && route.facts.writeCache === 'unknown';
  return needless ? undefined : result.fault.detail;
}

/**
 * After a fence: a reset ends tasks and leaves the write cache as it is, and a gateway with one of its
 * own would destage old data later, over newer. Undefined when it is empty; a target that refuses the
 * command has nothing to empty.
 */
export async function emptyCache(context: CommandContext): Promise<CommandFault | undefined> {
  const result = await runCommand(context, synchronizeCache());
  return result.kind === 'good' || result.fault.kind === 'error' ? undefined : result.fault;
}

function synchronizeCache(): OwnCommand {
  return { what: 'SYNCHRONIZE CACHE', cdb: cdb.synchronizeCache16(), receive: 0 };
}
