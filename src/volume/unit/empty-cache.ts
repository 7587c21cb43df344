/** SYNCHRONIZE CACHE as one command of our own: a fence ends with it, and a flush of the volume (flush-cache.ts) is made of it. */
import { err, ok, type Result } from '../../base/result.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import { type CommandContext, type CommandFault, type OwnCommand, runCommand } from './command.ts';

/**
 * After a fence: a reset ends tasks and leaves the write cache as it is, and a gateway with one of its
 * own would destage old data later, over newer. Good when it is empty; a target that knows no
 * such command has nothing to empty. A target that failed to write still has the data, and will try again.
 */
export async function emptyCache(context: CommandContext): Promise<Result<void, CommandFault>> {
  const result = await runCommand(context, synchronizeCache());
  if (result.kind === 'good' || result.fault.unsupported === true) return ok(undefined);
  return err(result.fault);
}

export function synchronizeCache(): OwnCommand {
  return { what: 'SYNCHRONIZE CACHE', cdb: cdb.synchronizeCache16(), receive: 0 };
}
