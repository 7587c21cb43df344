/**
 * What `discover`, `probe` and `inquiry` have in common on the command line: one thing to ask, who we
 * are, CHAP, a time limit, the form of the answer.
 *
 * Who we are: targets let in by InitiatorName, so a question asked under another name than pathd's may
 * get another answer. Therefore the node's own name is used where it can be read. It is safe to use it
 * beside a running pathd: the ISID is another one (ask-target.ts).
 */
import { parseArgs } from 'node:util';
import { err, ok, type Result } from '../../base/result.ts';
import { initiatorNameProblem, readInitiatorName } from '../../pathd/node-state.ts';
import type { ChapCredentials } from '../../ports/session.ts';
import type { CommandIo } from '../commands.ts';
import { CHAP_VARIABLES, readChap, secretInWords } from './chap-source.ts';

/** Used where there is no other: a name of no node. */
const DEFAULT_INITIATOR_NAME = 'iqn.2026-01.io.prioritypath:cli';
const STATE_DIR = '/var/lib/priority-path/pathd';
const TIMEOUT_S = 5;

export interface CommandWords {
  readonly name: string;
  /** `PORTAL`, `URL`. */
  readonly subject: string;
  readonly help: string;
  /** Switches of this command alone, with their help. */
  readonly switches?: Readonly<Record<string, string>>;
}

export interface TargetOptions {
  /** What is asked about, as typed. */
  readonly subject: string;
  readonly initiatorName: string;
  readonly credentials: ChapCredentials | undefined;
  /** For each step: connect and login, each command. */
  readonly timeoutMs: number;
  readonly json: boolean;
  /** Switches that were given. */
  readonly switches: ReadonlySet<string>;
  /** For stderr: what is accepted and should not be as it is. */
  readonly notes: readonly string[];
}

/** 'help', or what is wrong with the words or with what they name. */
export async function readOptions(
  words: CommandWords,
  args: readonly string[],
  io: CommandIo,
): Promise<Result<TargetOptions | 'help', string>> {
  const refused = secretInWords(args);
  if (refused !== undefined) return err(refused);
  const parsed = parse(words, args);
  if (!parsed.ok || parsed.value === 'help') return parsed as Result<'help', string>;
  const { values, positionals } = parsed.value;
  const [subject = ''] = positionals;
  if (positionals.length !== 1) return err(`expected: ${words.name} ${words.subject} [options]`);
  const output = text(values['output']) ?? 'text';
  if (output !== 'text' && output !== 'json') return err(`-o ${output}: expected text or json`);
  const timeout = Number(text(values['timeout']) ?? TIMEOUT_S);
  if (!(timeout > 0 && timeout <= 600)) return err('--timeout: expected seconds, up to 600');
  const chap = await readChap(text(values['chap-file']), io.env);
  if (!chap.ok) return chap;
  const initiatorName = await whoWeAre(values, io);
  const problem = initiatorNameProblem(initiatorName);
  if (problem !== undefined) return err(problem);
  const { initiator, target } = chap.value.chap ?? {};
  return ok({
    ...{ subject, initiatorName, timeoutMs: timeout * 1000, json: output === 'json' },
    credentials:
      initiator === undefined
        ? undefined
        : { initiator, ...(target === undefined ? {} : { target }) },
    switches: new Set(Object.keys(words.switches ?? {}).filter((name) => values[name] === true)),
    notes: chap.value.notes,
  });
}

type Values = Readonly<Record<string, string | boolean | undefined>>;

function parse(
  words: CommandWords,
  args: readonly string[],
): Result<{ readonly values: Values; readonly positionals: readonly string[] } | 'help', string> {
  const string = { type: 'string' } as const;
  const boolean = { type: 'boolean' } as const;
  const switches = Object.keys(words.switches ?? {}).map((name) => [name, boolean] as const);
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        'chap-file': string,
        'initiator-name': string,
        'state-dir': string,
        timeout: string,
        output: { ...string, short: 'o' },
        help: { ...boolean, short: 'h' },
        ...Object.fromEntries(switches),
      },
      allowPositionals: true,
    });
    return values.help === true ? ok('help') : ok({ values: values, positionals });
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

function text(value: string | boolean | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

async function whoWeAre(values: Values, io: CommandIo): Promise<string> {
  const said = text(values['initiator-name']) ?? io.env['INITIATOR_NAME'];
  if (said !== undefined && said !== '') return said;
  const kept = await readInitiatorName(text(values['state-dir']) ?? STATE_DIR);
  return kept ?? DEFAULT_INITIATOR_NAME;
}

export function helpOf({ name, subject, help, switches = {} }: CommandWords): string {
  const rows = [
    ...Object.entries(switches).map(([key, what]) => [`--${key}`, what] as const),
    ['--chap-file FILE', 'CHAP: lines "key = value" with the keys of a CHAP Secret; mode 0600'],
    ['--initiator-name IQN', 'the InitiatorName; default: the one of pathd here, else'],
    ['', DEFAULT_INITIATOR_NAME],
    ['--state-dir DIR', `where pathd keeps its InitiatorName (default ${STATE_DIR})`],
    ['--timeout SECONDS', `for each step (default ${String(TIMEOUT_S)})`],
    ['-o, --output FORM', 'text or json (default text)'],
    ['-h, --help', 'this text'],
  ] as const;
  const width = Math.max(...rows.map(([flag]) => flag.length));
  return [
    `Usage: priority-path ${name} ${subject} [options]`,
    '',
    help,
    '',
    'Options:',
    ...rows.map(([flag, what]) => `  ${flag.padEnd(width)}  ${what}`),
    '',
    'CHAP from the environment, where there is no file:',
    ...Object.entries(CHAP_VARIABLES).map(([variable, key]) => `  ${variable}  (${key})`),
    'Secrets are never taken from the command line.',
    '',
    'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 authentication failed.',
    '',
  ].join('\n');
}
