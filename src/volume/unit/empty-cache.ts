/**
 * SYNCHRONIZE CACHE: how it is built, and what it means that a target has no such command. Three parts send it: the
 * request flow (../io/synchronize.ts), a flush outside of it (../io/flush-cache.ts), and the end of a fence (below).
 */
import { err, ok, type Result } from '../../base/result.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import { type CommandContext, type CommandFault, type OwnCommand, runCommand } from './command.ts';
import type { LuFacts } from './lu.ts';

/** For the whole unit. */
export function synchronizeCache(): OwnCommand {
  return { what: 'SYNCHRONIZE CACHE', cdb: cdb.synchronizeCache16(), receive: 0 };
}

/**
 * A target that has no such command has nothing to flush. One that has said that its cache is volatile has: there
 * the refusal is an error.
 */
export function isNeedless(isUnsupported: boolean, writeCache: LuFacts['writeCache']): boolean {
  return isUnsupported && writeCache !== 'volatile';
}

/**
 * After a fence: a reset ends tasks and leaves the write cache as it is, and a gateway with one of its
 * own would destage old data later, over newer. Good when it is empty. A target that failed to write still has
 * the data, and will try again.
 */
export async function emptyCache(context: CommandContext): Promise<Result<void, CommandFault>> {
  const result = await runCommand(context, synchronizeCache());
  if (result.kind === 'good') return ok(undefined);
  // Nothing was asked about the cache through this session.
  if (isNeedless(result.fault.unsupported === true, 'unknown')) return ok(undefined);
  return err(result.fault);
}
