/**
 * Hashes of short texts and numbers. Deterministic on every machine, so that a decision can be replayed
 * from a log.
 *
 *   hash32   for spreading: ties between equal paths (rendezvous hashing), jitters
 *   hash64   for telling many names apart: among 10,000 names two of equal first 40 bits are found once
 *            in 22,000 clusters, and of equal 32 bits (hash32) in one of 86
 *
 * FNV-1a, then the finalizer of MurmurHash3: FNV alone leaves the high bits of short, similar inputs
 * ("p0", "p1") nearly equal. No cryptographic strength whatsoever.
 */

/** Hash of the parts in order, 0 .. 2^32-1. ('a', 'b') and ('ab') differ. */
export function hash32(...parts: readonly (string | number)[]): number {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    const text = String(part);
    for (let i = 0; i < text.length; i += 1) {
      hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    }
    hash = Math.imul(hash ^ 0xff, 0x01000193); // end of a part
  }
  return finalize(hash);
}

/** MurmurHash3's fmix32: every input bit reaches every output bit. */
function finalize(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const WORD = 0xffff_ffff_ffff_ffffn;

/** The same idea in 64 bits, as 16 hex digits. */
export function hash64(...parts: readonly (string | number)[]): string {
  let hash = 0xcbf2_9ce4_8422_2325n;
  const add = (unit: number): void => {
    hash = ((hash ^ BigInt(unit)) * 0x0000_0100_0000_01b3n) & WORD;
  };
  for (const part of parts) {
    const text = String(part);
    for (let i = 0; i < text.length; i += 1) add(text.charCodeAt(i));
    add(0xff); // end of a part
  }
  // MurmurHash3's fmix64.
  hash = ((hash ^ (hash >> 33n)) * 0xff51_afd7_ed55_8ccdn) & WORD;
  hash = ((hash ^ (hash >> 33n)) * 0xc4ce_b9fe_1a85_ec53n) & WORD;
  return (hash ^ (hash >> 33n)).toString(16).padStart(16, '0');
}
