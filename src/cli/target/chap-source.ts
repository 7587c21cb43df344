/**
 * Where the commands that log in to targets get CHAP from: a file that only its owner can read, or the
 * environment; never the command line, which every user of the machine can read (ps, /proc).
 *
 * The file is lines `key = value` with the keys of a Kubernetes CHAP Secret, which are those of
 * iscsid.conf; `#` begins a comment line, blanks around key and value do not count.
 */
import { open } from 'node:fs/promises';
import { err, ok, type Result } from '../../base/result.ts';
import { CHAP_KEYS, type ParsedChap, parseChapSecret } from '../../kubernetes/chap-secret.ts';

/** Environment variable of each key. */
export const CHAP_VARIABLES = {
  PRIORITY_PATH_CHAP_USERNAME: CHAP_KEYS.name,
  PRIORITY_PATH_CHAP_PASSWORD: CHAP_KEYS.secret,
  PRIORITY_PATH_CHAP_USERNAME_IN: CHAP_KEYS.targetName,
  PRIORITY_PATH_CHAP_PASSWORD_IN: CHAP_KEYS.targetSecret,
} as const;

/** Words that would be a secret on the command line, and what to do instead. */
export function secretInWords(args: readonly string[]): string | undefined {
  const word = args.find((arg) => /^--?(chap-)?(password|secret)(-in)?(=|$)/.test(arg));
  if (word === undefined) return undefined;
  const flag = word.replace(/=.*$/s, '');
  return (
    `${flag} is refused: every user of this machine can read a command line. Put the secret into a ` +
    `file (mode 0600) and name it with --chap-file, or into PRIORITY_PATH_CHAP_PASSWORD`
  );
}

/** The file if there is one, else the environment. The error is one line without values. */
export async function readChap(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Result<ParsedChap, string>> {
  if (file !== undefined) {
    const values = await readFileOf(file);
    if (!values.ok) return values;
    const parsed = parseChapSecret(values.value);
    if (!parsed.ok) return err(`${file}: ${parsed.error}`);
    return parsed.value.chap === undefined ? err(`${file}: no ${CHAP_KEYS.name} in it`) : parsed;
  }
  const values: Record<string, string> = {};
  for (const [variable, key] of Object.entries(CHAP_VARIABLES)) {
    const value = env[variable];
    if (value !== undefined && value !== '') values[key] = value;
  }
  const parsed = parseChapSecret(values);
  return parsed.ok ? parsed : err(`environment (PRIORITY_PATH_CHAP_…): ${parsed.error}`);
}

async function readFileOf(path: string): Promise<Result<Record<string, string>, string>> {
  try {
    const file = await open(path, 'r');
    try {
      // Of the open file: what is checked is what is read.
      const { mode } = await file.stat();
      if ((mode & 0o077) !== 0) {
        const shown = (mode & 0o777).toString(8).padStart(4, '0');
        return err(`${path} has mode ${shown}, others may read it: chmod 0600 it`);
      }
      return parseLines(await file.readFile('utf8'), path);
    } finally {
      await file.close();
    }
  } catch (error) {
    return err(`--chap-file: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function parseLines(text: string, path: string): Result<Record<string, string>, string> {
  const values: Record<string, string> = {};
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const match = /^\s*([^\s=]+)\s*=\s*(.*?)\s*$/.exec(line);
    const [, key, value] = match ?? [];
    if (key === undefined || value === undefined) {
      return err(`${path}, line ${String(index + 1)}: expected key = value`);
    }
    values[key] = value;
  }
  return ok(values);
}
