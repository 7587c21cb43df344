/**
 * Options of a bench: numbers, flags and words with their defaults. `--help` prints what there is; a
 * word that is not understood is exit code 2 with the same text, before anything is started.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;

/** What parseArgs found, by the name of the option. */
type Values = Record<string, string | boolean | readonly string[] | undefined>;

interface Spec<T> {
  /** For --help, without "--help" itself. */
  readonly usage: string;
  readonly options: Options;
  /** The options as the bench wants them, or what is wrong with them. */
  readonly read: (values: Values) => T | string;
}

/** The options of this process; ends it where they ask for help or make no sense. */
export function benchOptions<T extends object>({ usage, options, read }: Spec<T>): T {
  const found = parsed(options, read);
  if (typeof found !== 'string') return found;
  if (found === 'help') {
    console.log(usage);
    process.exit(0);
  }
  console.error(`bench: ${found}\n\n${usage}`);
  process.exit(2);
}

function parsed<T extends object>(options: Options, read: Spec<T>['read']): T | string {
  try {
    const all: Options = { ...options, help: { type: 'boolean', short: 'h', default: false } };
    const { values } = parseArgs({ options: all });
    const plain = values as Values;
    return plain['help'] === true ? 'help' : read(plain);
  } catch (error) {
    return (error as Error).message;
  }
}

/** A positive number, or what is wrong with it. */
export function positive(name: string, value: Values[string]): number {
  const number = Number(value);
  if (!(number > 0)) throw new Error(`--${name} ${String(value)}: expected a number above 0`);
  return number;
}

/** `NAME=VALUE` words as flags by their name. */
export function flagsOf(name: string, value: Values[string]): Readonly<Record<string, string>> {
  const pairs = (Array.isArray(value) ? (value as readonly string[]) : []).map((word) => {
    const at = word.indexOf('=');
    if (at < 1) throw new Error(`--${name} ${word}: expected NAME=VALUE`);
    return [word.slice(0, at), word.slice(at + 1)] as const;
  });
  return Object.fromEntries(pairs);
}

/** The words of an option that names cells. */
export function wordsOf(value: Values[string]): readonly string[] {
  return typeof value === 'string' ? value.split(' ').filter((word) => word !== '') : [];
}
