/**
 * CHAP inside of a login (RFC 7143 12.1.3, RFC 1994), one side of it: ours. Pure; hash, random and
 * comparison are passed in.
 *
 *   we      CHAP_A=8,6,5,7                                   algorithms, in our order
 *   target  CHAP_A=8 CHAP_I=66 CHAP_C=0x…                    its pick, identifier, challenge
 *   we      CHAP_N=name CHAP_R=0x… [CHAP_I=… CHAP_C=0x…]     R = H(I | secret | C); [mutual]
 *   target  [CHAP_N=name CHAP_R=0x…]
 *
 * One step at a time: a step has exactly its keys, all of them, in any order; keys of another step,
 * earlier, later or again, end the login.
 *
 * The default order is 8,6,5,7 and not the strongest first. To tgt 7 means SHA1 (to IANA and every other
 * target SHA-256), and 8 and 6 mean nothing. tgt takes the first of the list that it knows. With 7 before
 * 5 tgt computes another hash than we do and refuses the answer. With 7 last it takes MD5. Targets that
 * know SHA3-256 (LIO does) take that. Trying again without 7 after a refusal was rejected: each wrong
 * secret would count twice with a target that locks accounts.
 *
 * Reflection: a challenge that is one of ours, on this connection or another, is not answered; an
 * answer that equals ours is none; both sides may not have the same secret. So nothing that we compute
 * can be used against us.
 */
import { err, ok, type Result } from '../../base/result.ts';
import { encodeBinary, type KeyValues, type Pairs, parseBinary, parseNumber } from './text.ts';

export type ChapHash = 'MD5' | 'SHA1' | 'SHA256' | 'SHA3-256';

interface ChapAccount {
  readonly name: string;
  readonly secret: string;
}

/** See ChapCredentials in ports/session.ts. */
export interface ChapSecrets {
  readonly initiator: ChapAccount;
  readonly target?: ChapAccount;
  readonly algorithms?: readonly ChapHash[];
}

/** What the exchange needs and a pure core does not have. */
export interface ChapCrypto {
  hash(algorithm: ChapHash, bytes: Uint8Array): Uint8Array;
  /** Unpredictable bytes, remembered as ours. */
  challenge(length: number): Uint8Array;
  /** One that `challenge` has made, for any connection. */
  isOwn(challenge: Uint8Array): boolean;
  /** 0 to 255. */
  identifier(): number;
  /** Takes as long whatever the difference is. Same lengths. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

/** IANA "CHAP algorithm" numbers, and the length of the hash. */
const ALGORITHMS: Readonly<Record<ChapHash, { number: number; length: number }>> = {
  MD5: { number: 5, length: 16 },
  SHA1: { number: 6, length: 20 },
  SHA256: { number: 7, length: 32 },
  'SHA3-256': { number: 8, length: 32 },
};
const DEFAULT_ORDER: readonly ChapHash[] = ['SHA3-256', 'SHA1', 'MD5', 'SHA256'];

/** RFC 7143 12.1.3: "their binary length MUST NOT exceed 1024 bytes". */
const MAX_BINARY = 1024;
const MAX_NAME = 255;
/** RFC 7143 12.1.4: less than 96 random bits can be guessed from one overheard exchange. */
const SHORT_SECRET = 12;

const CHAP_KEYS = ['CHAP_A', 'CHAP_I', 'CHAP_C', 'CHAP_N', 'CHAP_R'] as const;
type ChapKey = (typeof CHAP_KEYS)[number];

/**
 * Whether credentials can be used; the error says why not. The value: what should be better, one line
 * each. No secret is repeated.
 */
export function checkSecrets(secrets: ChapSecrets): Result<readonly string[], string> {
  const warnings: string[] = [];
  for (const side of ['initiator', 'target'] as const) {
    const is = secrets[side];
    if (is === undefined) continue;
    const nameBytes = Buffer.byteLength(is.name);
    if (nameBytes === 0 || nameBytes > MAX_NAME || is.name.includes('\0')) {
      return err(`the ${side}'s CHAP name must have 1 to ${MAX_NAME} bytes and no NUL`);
    }
    const length = Buffer.byteLength(is.secret);
    if (length === 0) return err(`the ${side}'s CHAP secret is empty`);
    if (length < SHORT_SECRET) {
      warnings.push(`the ${side}'s CHAP secret has ${length} bytes: less than ${SHORT_SECRET}`);
    }
  }
  if (secrets.target?.secret === secrets.initiator.secret) {
    return err('initiator and target have the same CHAP secret: give each its own');
  }
  if (secrets.algorithms?.length === 0) return err('the list of CHAP algorithms is empty');
  return ok(warnings);
}

type State = 'algorithm' | 'proof' | 'done';

const EXPECTED: Readonly<Record<State, readonly ChapKey[]>> = {
  algorithm: ['CHAP_A', 'CHAP_I', 'CHAP_C'],
  proof: ['CHAP_N', 'CHAP_R'],
  done: [],
};

/** What we expect of the target, or have made ourselves. */
interface Sent {
  readonly algorithm: ChapHash;
  readonly response: Uint8Array;
  readonly identifier: number;
  readonly challenge: Uint8Array;
}

export class ChapExchange {
  readonly #secrets: ChapSecrets;
  readonly #crypto: ChapCrypto;
  readonly #order: readonly ChapHash[];
  #state: State = 'algorithm';
  #sent: Sent | undefined;

  constructor(secrets: ChapSecrets, crypto: ChapCrypto) {
    this.#secrets = secrets;
    this.#crypto = crypto;
    this.#order = secrets.algorithms ?? DEFAULT_ORDER;
  }

  /** The target has proved its identity, or was not asked to. */
  get satisfied(): boolean {
    return this.#state === 'done';
  }

  /** The first keys of ours. */
  offer(): Pairs {
    return [['CHAP_A', this.#order.map((name) => ALGORITHMS[name].number).join(',')]];
  }

  /** What to do when the target refuses. */
  get advice(): string {
    const algorithm = this.#sent?.algorithm ?? 'no algorithm in common';
    const tgt = algorithm === 'SHA256' ? '; tgt: leave SHA256 out, to tgt its number is SHA1' : '';
    return `check the initiator's CHAP name and secret (${algorithm}${tgt})`;
  }

  /**
   * Keys of one whole answer; the value is what we say to it, after which our side is ready to leave
   * the stage. The error is one line for a human, without secrets.
   */
  receive(keys: KeyValues): Result<Pairs, string> {
    const expected = EXPECTED[this.#state];
    const got = CHAP_KEYS.filter((key) => keys.has(key));
    // An empty answer in between: the target only wants us to go on.
    if (got.length === 0 && this.#state !== 'algorithm') return ok([]);
    const extra = got.find((key) => !expected.includes(key));
    if (extra !== undefined) return err(`${extra} out of order`);
    const missing = expected.find((key) => !keys.has(key));
    if (missing !== undefined) return err(`${missing} is missing`);
    const value = (key: ChapKey): string => keys.get(key) ?? '';
    return this.#state === 'algorithm'
      ? this.#answer(value('CHAP_A'), value('CHAP_I'), value('CHAP_C'))
      : this.#verify(value('CHAP_N'), value('CHAP_R'));
  }

  #answer(picked: string, id: string, encoded: string): Result<Pairs, string> {
    const number = parseNumber(picked);
    const algorithm = this.#order.find((name) => ALGORITHMS[name].number === number);
    if (algorithm === undefined) return err('CHAP_A is none of those that were offered');
    const identifier = parseNumber(id);
    if (identifier === undefined || identifier > 255) return err('CHAP_I is not 0 to 255');
    const challenge = parseBinary(encoded, MAX_BINARY);
    if (challenge === undefined) return err(`CHAP_C is not 1 to ${MAX_BINARY} bytes of 0x or 0b`);
    if (this.#crypto.isOwn(challenge)) return err('CHAP_C is a challenge of ours, reflected');
    const { initiator, target } = this.#secrets;
    const response = this.#response(algorithm, identifier, initiator.secret, challenge);
    const proof: Pairs = [
      ['CHAP_N', initiator.name],
      ['CHAP_R', encodeBinary(response)],
    ];
    const ours = {
      identifier: this.#crypto.identifier(),
      challenge: target === undefined ? challenge : this.#fresh(algorithm, challenge),
    };
    this.#sent = { algorithm, response, ...ours };
    this.#state = target === undefined ? 'done' : 'proof';
    if (target === undefined) return ok(proof);
    const ask: Pairs = [
      ['CHAP_I', String(ours.identifier)],
      ['CHAP_C', encodeBinary(ours.challenge)],
    ];
    return ok([...proof, ...ask]);
  }

  /** As long as the hash: longer adds nothing, and targets have limits. */
  #fresh(algorithm: ChapHash, theirs: Uint8Array): Uint8Array {
    const { length } = ALGORITHMS[algorithm];
    let ours = this.#crypto.challenge(length);
    while (ours.length === theirs.length && ours.every((byte, at) => byte === theirs[at])) {
      ours = this.#crypto.challenge(length);
    }
    return ours;
  }

  #verify(name: string, encoded: string): Result<Pairs, string> {
    const { target } = this.#secrets;
    const sent = this.#sent;
    if (target === undefined || sent === undefined) return err('CHAP_R out of order');
    const { length } = ALGORITHMS[sent.algorithm];
    const response = parseBinary(encoded, MAX_BINARY);
    if (response?.length !== length) return err(`CHAP_R is not ${length} bytes of 0x or 0b`);
    if (this.#crypto.equal(response, sent.response)) return err('CHAP_R is ours, reflected');
    const { algorithm, identifier, challenge } = sent;
    const right = this.#response(algorithm, identifier, target.secret, challenge);
    // Both are looked at in any case: the time tells nothing about which of them was wrong.
    const proved = this.#crypto.equal(response, right);
    if (name !== target.name || !proved) {
      return err("the target's CHAP name or secret is not what is set for it");
    }
    this.#state = 'done';
    return ok([]);
  }

  #response(algorithm: ChapHash, id: number, secret: string, challenge: Uint8Array): Uint8Array {
    const bytes = Buffer.concat([Buffer.of(id), Buffer.from(secret, 'utf8'), challenge]);
    return this.#crypto.hash(algorithm, bytes);
  }
}
