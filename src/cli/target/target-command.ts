/**
 * The frame of a command that asks a target: words, subject, work, and one answer on stdout, as text or
 * as JSON; problems on stderr.
 */
import type { Result } from '../../base/result.ts';
import { type Command, type CommandIo, EXIT } from '../commands.ts';
import { type CommandWords, helpOf, readOptions, type TargetOptions } from './options.ts';
import type { Failure } from './ask-target.ts';

/** What a command has found out. */
export interface Report {
  /** Lines for people, without the last line break. */
  readonly text: string;
  /** The same for programs. */
  readonly data: object;
  /** Not 0 when a part of it failed; the text says which. */
  readonly exit: number;
}

interface TargetCommand<Subject> {
  readonly words: CommandWords;
  readonly summary: string;
  /** The error is one line: what was expected. */
  readonly parse: (subject: string) => Result<Subject, string>;
  readonly run: (
    subject: Subject,
    options: TargetOptions,
    signal: AbortSignal,
  ) => Promise<Result<Report, Failure>>;
}

export function targetCommand<Subject>(command: TargetCommand<Subject>): Command {
  const { words, summary, parse } = command;
  const { name } = words;
  const fail = (io: CommandIo, exit: number, problem: string): number => {
    io.stderr.write(`priority-path ${name}: ${problem}\n`);
    return exit;
  };
  return {
    name,
    summary,
    run: async (args, io) => {
      const options = await readOptions(words, args, io);
      if (!options.ok) return fail(io, EXIT.usage, options.error);
      if (options.value === 'help') {
        io.stdout.write(helpOf(words));
        return EXIT.ok;
      }
      const subject = parse(options.value.subject);
      if (!subject.ok) return fail(io, EXIT.usage, subject.error);
      for (const note of options.value.notes) io.stderr.write(`note: ${note}\n`);
      const done = await command.run(subject.value, options.value, io.signal);
      if (!done.ok) return fail(io, done.error.exit, done.error.text);
      const { text, data, exit } = done.value;
      io.stdout.write(`${options.value.json ? JSON.stringify(data, undefined, 2) : text}\n`);
      return exit;
    },
  };
}
