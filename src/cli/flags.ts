/**
 * Flags of the subcommands, declared once: name, what it is for, default, environment variable. The
 * help text and the parser are made of the same table. A flag beats its variable, which beats the
 * default.
 */
import { parseArgs } from 'node:util';
import { err, ok, type Result } from '../base/result.ts';

export interface Flag {
  /** Placeholder in the help: DIR, ADDR, N. */
  readonly value: string;
  readonly help: string;
  /** Absent: the flag must be given. */
  readonly default?: string;
  readonly env?: string;
}

export type Flags = Readonly<Record<string, Flag>>;
export type FlagValues<F extends Flags> = { readonly [K in keyof F]: string };

/** Values of all flags, 'help', or what is wrong with the words. */
export function parseFlags<F extends Flags>(
  flags: F,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Result<FlagValues<F> | 'help', string> {
  const options = Object.fromEntries(
    Object.keys(flags).map((name) => [name, { type: 'string' as const }]),
  );
  let values: Record<string, string | boolean | undefined>;
  try {
    const help = { type: 'boolean' as const, short: 'h' };
    values = parseArgs({ args: [...args], options: { ...options, help }, strict: true }).values;
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
  if (values['help'] === true) return ok('help');
  const result: Record<string, string> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const fromEnv = flag.env === undefined ? undefined : env[flag.env];
    const value = values[name] ?? fromEnv ?? flag.default;
    if (typeof value !== 'string') {
      const variable = flag.env === undefined ? '' : ` (or ${flag.env} in the environment)`;
      return err(`--${name} is missing${variable}: ${flag.help}`);
    }
    result[name] = value;
  }
  return ok(result as FlagValues<F>);
}

export function flagsHelp(command: string, what: string, flags: Flags): string {
  const heads = Object.entries(flags).map(([name, flag]) => `--${name} ${flag.value}`);
  const width = Math.max(...heads.map((head) => head.length));
  const lines = Object.values(flags).map((flag, index) => {
    const notes = [
      ...(flag.default === undefined || flag.default === '' ? [] : [`default ${flag.default}`]),
      ...(flag.env === undefined ? [] : [`$${flag.env}`]),
    ];
    const note = notes.length === 0 ? '' : ` (${notes.join(', ')})`;
    return `  ${(heads[index] ?? '').padEnd(width)}  ${flag.help}${note}`;
  });
  const head = [`Usage: priority-path ${command} [options]`, '', what, '', 'Options:'];
  const foot = ['Exit codes: 0 ended as asked, 1 failed, 2 wrong usage.', ''];
  return [...head, ...lines, `  ${'-h, --help'.padEnd(width)}  this text`, '', ...foot].join('\n');
}
