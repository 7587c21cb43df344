/**
 * What CHAP needs of node:crypto. One for all connections of a process: a target that is asked by us on
 * one connection must not get the answer from us on another, so the challenges of the last logins are
 * remembered.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ChapHash, ChapCrypto } from '../../protocol/iscsi/chap.ts';

const HASHES: Readonly<Record<ChapHash, string>> = {
  MD5: 'md5',
  SHA1: 'sha1',
  SHA256: 'sha256',
  'SHA3-256': 'sha3-256',
};

/** Far more than the logins that can be under way. */
const REMEMBERED = 1024;

export function createChapCrypto(): ChapCrypto {
  const issued = new Set<string>();
  return {
    hash: (algorithm, bytes) => createHash(HASHES[algorithm]).update(bytes).digest(),
    challenge: (length) => {
      const bytes = randomBytes(length);
      issued.add(bytes.toString('hex'));
      for (const oldest of issued) {
        if (issued.size <= REMEMBERED) break;
        issued.delete(oldest);
      }
      return bytes;
    },
    isOwn: (challenge) => issued.has(Buffer.from(challenge).toString('hex')),
    identifier: () => randomBytes(1)[0] as number,
    equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
  };
}
