/**
 * Asks the FUSE server behind a backing file for the file's size of now. The kernel has the attributes
 * cached for ever (protocol/fuse/reply.ts), so this is the one way to make it ask; a side effect is that
 * it takes the answer over. By a child with a time limit (coreutils from 8.32 on), because a server that
 * hangs does not answer.
 */
import { type ExecResult, exec } from '../exec.ts';

/** `failure` is set when the server did not answer in time; a code other than 0: it is gone. */
export function askBackingFile(file: string, timeoutMs: number): Promise<ExecResult> {
  return exec('stat', ['--cached=never', '--format=%s', '--', file], { timeoutMs });
}
