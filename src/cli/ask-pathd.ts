/**
 * What the commands that ask pathd about one volume have in common: the options, the words, the
 * connection, and what pathd's refusals and its silence mean for people.
 */
import { parseArgs } from 'node:util';
import { PathdError } from '../pathd/api.ts';
import { type CommandIo, EXIT } from './commands.ts';
import { DEFAULT_PATHD_ENDPOINT, unreachable } from './status-command.ts';

export interface PathdQuestion {
  readonly name: string;
  /** "pin VOLUME PATH" */
  readonly usage: string;
  /** What --help prints. */
  readonly help: string;
  /** How many words are needed. */
  readonly words: number;
  /** More words may follow. */
  readonly more: boolean;
  /** What is wrong with the words, before anything is asked. */
  readonly check?: ((words: readonly string[]) => string | undefined) | undefined;
}

/** Says on stderr why it failed; the exit code. */
export function fail(io: CommandIo, name: string, code: number, text: string): number {
  io.stderr.write(`priority-path ${name}: ${text}\n`);
  return code;
}

/** Runs `work` on a connection to pathd with the words of the command line; the exit code. */
export async function askPathd<A extends { close(): void }>(
  question: PathdQuestion,
  connect: (endpoint: string) => A,
  args: readonly string[],
  io: CommandIo,
  work: (api: A, words: readonly string[]) => Promise<number>,
): Promise<number> {
  const { name, usage, help, words, more, check } = question;
  const misused = (text: string): number => fail(io, name, EXIT.usage, `${text}; see --help`);
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      options: { endpoint: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    });
  } catch (error) {
    // parseArgs throws a TypeError whose first sentence names the option.
    return misused((error as Error).message.split('. ')[0] ?? 'wrong options');
  }
  const { positionals, values } = parsed;
  if (values.help === true) {
    io.stdout.write(help);
    return EXIT.ok;
  }
  const given = positionals.length;
  if (given < words || (given > words && !more)) return misused(`expected: ${usage}`);
  const wrong = check?.(positionals);
  if (wrong !== undefined) return misused(wrong);
  const endpoint = values.endpoint ?? (io.env['PATHD_ENDPOINT'] || DEFAULT_PATHD_ENDPOINT);
  const api = connect(endpoint);
  try {
    return await work(api, positionals);
  } catch (error) {
    if (!(error instanceof PathdError)) throw error;
    const where = error.code === 'UNAVAILABLE' ? `\n${unreachable(endpoint)}` : '';
    return fail(io, name, EXIT.failed, `${error.message}${where}`);
  } finally {
    api.close();
  }
}
