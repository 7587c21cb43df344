/**
 * Inputs from samples: a sample of the corpus, changed a few times by chance. The same seed gives the same
 * input for the same corpus. Most inputs stay close to a valid one, for those get past the first checks
 * of a decoder; one in sixteen is noise from the start.
 */
import { Prng } from '../../src/base/prng.ts';

const MAX_BYTES = 8192;
/** Values at the edge of something. */
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x20, 0x2f, 0x3a, 0x3d, 0x40];

export function inputOf(corpus: readonly Buffer[], seed: number): Buffer {
  const prng = new Prng(seed);
  if (prng.below(16) === 0) return noise(prng, prng.below(200));
  let bytes = Buffer.from(corpus[prng.below(corpus.length)]!);
  // Once in a while a sample as it is.
  const times = prng.below(1 << (1 + prng.below(4)));
  for (let count = 0; count < times; count++) bytes = change(bytes, corpus, prng);
  return bytes.subarray(0, MAX_BYTES);
}

function noise(prng: Prng, length: number): Buffer<ArrayBuffer> {
  return Buffer.from(Uint8Array.from({ length }, () => prng.below(256)));
}

function change(
  bytes: Buffer<ArrayBuffer>,
  corpus: readonly Buffer[],
  prng: Prng,
): Buffer<ArrayBuffer> {
  const at = prng.below(bytes.length + 1);
  const length = prng.below(1 << (1 + prng.below(6)));
  const before = bytes.subarray(0, at);
  const behind = bytes.subarray(at);
  switch (prng.below(9)) {
    case 0: // a bit
      if (at < bytes.length) bytes[at]! ^= 1 << prng.below(8);
      return bytes;
    case 1: // a byte
      if (at < bytes.length) bytes[at] = prng.below(256);
      return bytes;
    case 2: // an edge value
      if (at < bytes.length) bytes[at] = EDGES[prng.below(EDGES.length)]!;
      return bytes;
    case 3: // a number of two or four bytes, off by little
      return number(bytes, at, prng);
    case 4:
      return Buffer.concat([before, noise(prng, length), behind]);
    case 5:
      return Buffer.concat([before, behind.subarray(length)]);
    case 6: // the same again
      return Buffer.concat([before, behind.subarray(0, length), behind]);
    case 7:
      return Buffer.from(before);
    default: {
      const other = corpus[prng.below(corpus.length)]!;
      return Buffer.concat([before, other.subarray(prng.below(other.length + 1))]);
    }
  }
}

function number(bytes: Buffer<ArrayBuffer>, at: number, prng: Prng): Buffer<ArrayBuffer> {
  const off = prng.below(9) - 4;
  if (prng.below(2) === 0 && at + 2 <= bytes.length) {
    bytes.writeUInt16BE((bytes.readUInt16BE(at) + off) & 0xffff, at);
  } else if (at + 4 <= bytes.length) {
    bytes.writeUInt32BE((bytes.readUInt32BE(at) + off) >>> 0, at);
  }
  return bytes;
}

/** The smallest input found that still fails, by leaving out ever smaller parts and by zeroing. */
export function shrink(input: Buffer, fails: (candidate: Buffer) => boolean): Buffer {
  let best = Buffer.from(input);
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : size >> 1) {
    for (let at = 0; at < best.length;) {
      const candidate = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (fails(candidate)) best = candidate;
      else at += size;
    }
  }
  for (let at = 0; at < best.length; at++) {
    const candidate = Buffer.from(best);
    candidate[at] = 0;
    if (fails(candidate)) best = candidate;
  }
  return best;
}
