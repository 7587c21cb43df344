/**
 * Options of a bench: numbers, flags and words with their defaults. `--help` prints what there is; a
 * word that is not understood is exit code 2 with the same text, before anything is started.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;

interface Spec<T> {
  /** For --help, without "--help" itself. */
  readonly usage: string;
  readonly options: Options;
  /** The options as the bench wants them, or what is wrong with them. */
  readonly read: (values: Record<string, string | boolean | undefined>) => T | string;
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
    const plain = values as Record<string, string | boolean | undefined>;
    return plain['help'] === true ? 'help' : read(plain);
  } catch (error) {
    return (error as Error).message;
  }
}

/** A positive number, or what is wrong with it. */
export function positive(name: string, value: string | boolean | undefined): number {
  const number = Number(value);
  if (!(number > 0)) throw new Error(`--${name} ${String(value)}: expected a number above 0`);
  return number;
}
