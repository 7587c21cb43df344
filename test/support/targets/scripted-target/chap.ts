/**
 * CHAP from the target's side (RFC 7143 12.1.3, RFC 1994): challenges the initiator, checks its answer,
 * and proves itself where it is asked to. What is wrong on purpose is done by the test to the answer
 * (`script.login`), which sees every pair before it goes out.
 */
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { type Pair, valueOf } from './text.ts';

export interface ChapScript {
  /** Name and secret that the initiator must have. */
  readonly name: string;
  readonly secret: string;
  /** How the target proves itself when it is challenged. */
  readonly target?: { readonly name: string; readonly secret: string };
  /** Algorithms it knows (5 MD5, 6 SHA1, 7 SHA-256, 8 SHA3-256); takes the first one offered of these. */
  readonly algorithms?: readonly string[];
  readonly encoding?: 'hex' | 'base64';
  /** Length of its challenge in bytes, default 16. */
  readonly challengeBytes?: number;
  /** Challenge and identifier of the test's own. */
  readonly challenge?: Buffer;
  readonly identifier?: number;
}

const HASHES: Readonly<Record<string, string>> = {
  5: 'md5',
  6: 'sha1',
  7: 'sha256',
  8: 'sha3-256',
};

export function chapResponse(
  algorithm: string,
  identifier: number,
  secret: string,
  challenge: Buffer,
): Buffer {
  const hash = createHash(HASHES[algorithm]!);
  return hash.update(Buffer.of(identifier)).update(secret).update(challenge).digest();
}

export type ChapStep =
  | { readonly kind: 'go-on'; readonly pairs: Pair[] }
  | { readonly kind: 'proved'; readonly pairs: Pair[] }
  | { readonly kind: 'refused'; readonly why: string };

export class ChapTarget {
  readonly #script: ChapScript;
  readonly identifier: number;
  readonly challenge: Buffer;
  algorithm = '';

  constructor(script: ChapScript) {
    this.#script = script;
    this.identifier = script.identifier ?? randomInt(256);
    this.challenge = script.challenge ?? randomBytes(script.challengeBytes ?? 16);
  }

  step(pairs: readonly Pair[]): ChapStep {
    const offered = valueOf(pairs, 'CHAP_A');
    if (this.algorithm === '') {
      if (offered === undefined) return { kind: 'refused', why: 'no CHAP_A' };
      const known = this.#script.algorithms ?? Object.keys(HASHES);
      const chosen = offered.split(',').find((each) => known.includes(each));
      if (chosen === undefined) return { kind: 'refused', why: `none of CHAP_A=${offered}` };
      this.algorithm = chosen;
      const challenge: Pair = ['CHAP_C', this.#write(this.challenge)];
      const identifier: Pair = ['CHAP_I', String(this.identifier)];
      return { kind: 'go-on', pairs: [['CHAP_A', chosen], identifier, challenge] };
    }
    return this.#verify(pairs);
  }

  #verify(pairs: readonly Pair[]): ChapStep {
    const { name, secret, target } = this.#script;
    if (valueOf(pairs, 'CHAP_N') !== name) return { kind: 'refused', why: 'CHAP_N' };
    const expected = chapResponse(this.algorithm, this.identifier, secret, this.challenge);
    const given = readBinary(valueOf(pairs, 'CHAP_R') ?? '');
    if (given === undefined || !given.equals(expected)) return { kind: 'refused', why: 'CHAP_R' };
    const [identifier, challengeText] = [valueOf(pairs, 'CHAP_I'), valueOf(pairs, 'CHAP_C')];
    if (identifier === undefined || challengeText === undefined) {
      return { kind: 'proved', pairs: [] };
    }
    const challenge = readBinary(challengeText);
    if (target === undefined || challenge === undefined) return { kind: 'refused', why: 'mutual' };
    const mine = chapResponse(this.algorithm, Number(identifier), target.secret, challenge);
    const answer: Pair[] = [
      ['CHAP_N', target.name],
      ['CHAP_R', this.#write(mine)],
    ];
    return { kind: 'proved', pairs: answer };
  }

  #write(bytes: Buffer): string {
    return writeBinary(bytes, this.#script.encoding ?? 'hex');
  }
}

export function writeBinary(bytes: Buffer, encoding: 'hex' | 'base64'): string {
  return encoding === 'hex' ? `0x${bytes.toString('hex')}` : `0b${bytes.toString('base64')}`;
}

export function readBinary(text: string): Buffer | undefined {
  if (/^0x([0-9a-f]{2})+$/iu.test(text)) return Buffer.from(text.slice(2), 'hex');
  if (/^0b[A-Za-z0-9+/]+=*$/iu.test(text)) return Buffer.from(text.slice(2), 'base64');
  return undefined;
}
