/**
 * A Secret of Kubernetes' type `kubernetes.io/iscsi-chap` → CHAP credentials. Its keys are those of
 * iscsid.conf, which is why the command line reads files with the same keys:
 *
 *   node.session.auth.username, .password        the name of this node at the target (one-way CHAP)
 *   node.session.auth.username_in, .password_in  the name that the target must prove (mutual CHAP)
 *   discovery.sendtargets.auth.*                 ignored: paths are listed, nothing is discovered
 *
 * Everything else is refused. A key that is ignored silently (a typo, another driver's prefix) would be a
 * login without the CHAP that the operator relies on.
 *
 * Lengths. RFC 7143 12.1.3: CHAP_N is a text value of at most 255 bytes. 9.2.1 wants secrets of 12 bytes
 * or more (96 bits), because a shorter one can be found from one captured login; tgt, LIO and istgt
 * accept shorter ones all the same, so that is told and not refused. Microsoft's limit of 16 bytes is no
 * rule of the RFC, and longer ones work with the targets here. 9.2.1 forbids one secret for both
 * directions: an initiator that may ask us could make us answer for the target. Refused, as our login
 * does.
 *
 * Line breaks are refused: a secret made by `echo secret | base64` ends with one, and the reason of the
 * failed login would be hard to find. Pure; no error and no note repeats a value.
 */
import { err, ok, type Result } from '../base/result.ts';

/** A name and its secret; never logged. */
export interface ChapPair {
  readonly name: string;
  readonly secret: string;
}

export interface ChapSecret {
  readonly initiator: ChapPair;
  /** Mutual CHAP; undefined: the target is not asked. */
  readonly target: ChapPair | undefined;
}

export interface ParsedChap {
  /** undefined: no CHAP. */
  readonly chap: ChapSecret | undefined;
  /** What is accepted and should not be as it is; one line each, no values. */
  readonly notes: readonly string[];
}

export const CHAP_KEYS = {
  name: 'node.session.auth.username',
  secret: 'node.session.auth.password',
  targetName: 'node.session.auth.username_in',
  targetSecret: 'node.session.auth.password_in',
} as const;

const KNOWN: ReadonlySet<string> = new Set(Object.values(CHAP_KEYS));
const DISCOVERY = /^discovery\.sendtargets\.auth\.(username|password)(_in)?$/;
const BYTES_MAX = 255;
const SECRET_BYTES_WANTED = 12;

/** The error is one line that names the key. No keys at all: no CHAP. */
export function parseChapSecret(
  values: Readonly<Record<string, string>>,
): Result<ParsedChap, string> {
  const keys = Object.keys(values);
  const unknown = keys.find((key) => !KNOWN.has(key) && !DISCOVERY.test(key));
  if (unknown !== undefined) {
    return err(`${JSON.stringify(unknown.slice(0, 80))} is no CHAP key: expected ${known()}`);
  }
  const notes: string[] = [];
  const discovery = keys.filter((key) => DISCOVERY.test(key));
  if (discovery.length > 0) {
    notes.push(`${discovery.join(', ')}: ignored, the targets of a volume are not discovered`);
  }
  const initiator = pairOf(values, CHAP_KEYS.name, CHAP_KEYS.secret);
  if (!initiator.ok) return initiator;
  const target = pairOf(values, CHAP_KEYS.targetName, CHAP_KEYS.targetSecret);
  if (!target.ok) return target;
  if (initiator.value === undefined) {
    if (target.value !== undefined) return err(missing(CHAP_KEYS.name, CHAP_KEYS.targetName));
    if (discovery.length === 0) return ok({ chap: undefined, notes });
    return err(missing(CHAP_KEYS.name, discovery[0] ?? ''));
  }
  const pairs = { initiator: initiator.value, target: target.value };
  if (pairs.target?.secret === pairs.initiator.secret) {
    const both = `${CHAP_KEYS.secret} and ${CHAP_KEYS.targetSecret}`;
    return err(`${both} are the same: RFC 7143 forbids it, give each side its own`);
  }
  const short = shortOnes([
    [CHAP_KEYS.secret, pairs.initiator],
    [CHAP_KEYS.targetSecret, pairs.target],
  ]);
  return ok({ chap: pairs, notes: [...notes, ...short] });
}

function known(): string {
  return Object.values(CHAP_KEYS).join(', ');
}

function missing(key: string, beside: string): string {
  return `${key} is missing, and ${beside} is there`;
}

function pairOf(
  values: Readonly<Record<string, string>>,
  nameKey: string,
  secretKey: string,
): Result<ChapPair | undefined, string> {
  const [name, secret] = [values[nameKey], values[secretKey]];
  if (name === undefined && secret === undefined) return ok(undefined);
  if (name === undefined) return err(missing(nameKey, secretKey));
  if (secret === undefined) return err(missing(secretKey, nameKey));
  const problem = problemOf(nameKey, name) ?? problemOf(secretKey, secret);
  return problem === undefined ? ok({ name, secret }) : err(problem);
}

function problemOf(key: string, value: string): string | undefined {
  const bytes = bytesOf(value);
  if (bytes === 0) return `${key} is empty`;
  if (/[\r\n]$/.test(value)) return `${key} ends with a line break: make it without (echo -n)`;
  if (/\p{Cc}/u.test(value)) return `${key} has control characters`;
  if (bytes <= BYTES_MAX) return undefined;
  return `${key} has ${String(bytes)} bytes: expected 1 to ${String(BYTES_MAX)}`;
}

function shortOnes(pairs: readonly (readonly [string, ChapPair | undefined])[]): string[] {
  return pairs
    .filter(([, pair]) => pair !== undefined && bytesOf(pair.secret) < SECRET_BYTES_WANTED)
    .map(([key]) => `${key} has less than the ${String(SECRET_BYTES_WANTED)} bytes of RFC 7143`);
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}
