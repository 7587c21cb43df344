/**
 * A 32-bit hash of short texts and numbers, for spreading: ties between equal paths (rendezvous
 * hashing), jitters. Deterministic on every machine, so that a decision can be replayed from a log.
 *
 * FNV-1a over the UTF-16 code units, then the finalizer of MurmurHash3: FNV alone leaves the high
 * bits of short, similar inputs ("p0", "p1") nearly equal. No cryptographic strength whatsoever.
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
