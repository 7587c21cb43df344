/**
 * `priority-path <command>`: the table of subcommands, the help made of it, and what happens when there
 * is no such command. The commands themselves are handed in by main.ts, so that none is loaded before
 * it is asked for.
 *
 * Exit codes, for every command: 0 done, 1 failed (stderr says what to do), 2 wrong usage. Those that ask
 * targets have one more, 3: authentication failed (target/).
 */

export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** Where a command writes; `process.stdout` and `process.stderr` fit. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** All that a command gets from the process it runs in. */
export interface CommandIo {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Wall-clock time, Unix milliseconds. */
  now(): number;
  /** Aborted by SIGINT and SIGTERM: finish and return. */
  readonly signal: AbortSignal;
}

export interface Command {
  readonly name: string;
  /** One line for the help. */
  readonly summary: string;
  /** Runs with the arguments after its name; resolves with the exit code. */
  run(args: readonly string[], io: CommandIo): Promise<number>;
}

/** Runs the command named by the first argument. */
export async function runCommand(
  commands: readonly Command[],
  args: readonly string[],
  io: CommandIo,
  version: string,
): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) {
    io.stderr.write(helpText(commands));
    return EXIT.usage;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    io.stdout.write(helpText(commands));
    return EXIT.ok;
  }
  if (name === '--version') {
    io.stdout.write(`priority-path ${version}\n`);
    return EXIT.ok;
  }
  const command = commands.find((known) => known.name === name);
  if (command === undefined) {
    const names = commands.map((known) => known.name).join(', ');
    const what = name.startsWith('-') ? 'option' : 'command';
    io.stderr.write(`priority-path: no ${what} "${name}"; commands: ${names}; see --help\n`);
    return EXIT.usage;
  }
  return command.run(rest, io);
}

function helpText(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    'Usage: priority-path <command> [options]',
    '',
    'iSCSI volumes on several weighted paths.',
    '',
    'Commands:',
    ...lines,
    '',
    'Options:',
    '  --help     this text; after a command: its options',
    '  --version  the version',
    '',
    'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 authentication failed (discover, probe, inquiry).',
    '',
  ].join('\n');
}
