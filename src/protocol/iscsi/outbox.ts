/**
 * What is to be sent: headers from a preallocated ring, payloads as they lie in their owners'
 * buffers, in batches. One batch is what the shell hands to its socket in one go (one writev). A
 * header slot is free again when its batch has left the process, and so is the payload: see
 * `flushed`.
 *
 * Headers that follow each other without payload (a run of reads) go out as one slice of the ring.
 * An own buffer for each header was rejected: twice the vectors, and garbage.
 */
import { assert } from '../../base/assert.ts';
import { crc32c } from '../../base/crc32c.ts';
import { BHS_LENGTH, paddingOf } from './bhs.ts';
import { DIGEST_LENGTH, type Digests, putDigest } from './digest.ts';

/** More than the usual window of 128 commands with their Data-Outs; 96 KiB. A power of two. */
const SLOTS = 2048;
/** Up to three bytes of padding and the digest. */
const TRAILER = 8;
const PADDING = Buffer.alloc(3);

export class Outbox {
  readonly slab: Buffer;
  /** Bytes from one slot to the next. */
  readonly #stride: number;
  readonly #headerDigest: boolean;
  readonly #dataDigest: Digests['dataCrc'] | undefined;
  readonly #trailers: Buffer;
  /** The last header has no digest yet. */
  #unsealed = false;
  /** The open batch, in order. The shell writes these and calls `takeBatch`. */
  #buffers: Buffer[] = [];
  /** Counts of slots handed out and given back, ever. */
  #used = 0;
  #freed = 0;
  /** First slot of the run of headers that is not in `#buffers` yet. */
  #runStart = 0;
  #payloadBytes = 0;
  #bytes = 0;
  /** Batches not flushed yet: value of `#used` at their end, and whether they carry payload. */
  readonly #ends = new Float64Array(SLOTS);
  readonly #carriesPayload = new Uint8Array(SLOTS);
  /** Number of the open batch, and of the last one that has left. Numbers never repeat. */
  openBatch = 1;
  flushedBatch = 0;

  constructor(digests: Digests) {
    this.#headerDigest = digests.header;
    this.#dataDigest = digests.data ? digests.dataCrc : undefined;
    this.#stride = BHS_LENGTH + (digests.header ? DIGEST_LENGTH : 0);
    this.slab = Buffer.allocUnsafeSlow(SLOTS * this.#stride);
    this.#trailers = digests.data ? Buffer.allocUnsafeSlow(SLOTS * TRAILER) : PADDING;
  }

  get full(): boolean {
    // One batch needs one slot at least, so the tables of batches cannot overflow either.
    return this.#used - this.#freed >= SLOTS;
  }

  /** Bytes in the open batch. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Place in `slab` for the next header. Not to be called when full. */
  header(): number {
    assert(!this.full, 'outbox overflow');
    if (this.#unsealed) this.#seal();
    const slot = this.#used & (SLOTS - 1);
    if (slot === 0) this.#endRun(); // the ring wraps: the next slot is not adjacent
    this.#used++;
    this.#unsealed = this.#headerDigest;
    this.#bytes += this.#stride;
    return slot * this.#stride;
  }

  /** Data segment of the last header: payload[start, end), not copied; plus padding and digest. */
  payload(payload: Buffer, start: number, end: number): void {
    const length = end - start;
    this.#endRun();
    this.#buffers.push(length === payload.length ? payload : payload.subarray(start, end));
    const padding = paddingOf(length);
    if (this.#dataDigest !== undefined) {
      this.#buffers.push(this.#trailer(this.#dataDigest(payload, 0, start, end), padding));
    } else if (padding > 0) {
      this.#buffers.push(PADDING.subarray(0, padding));
    }
    this.#payloadBytes += length;
    this.#bytes += length + padding;
  }

  /**
   * Closes the batch and returns its buffers in order; empty: nothing to send, no batch was closed.
   */
  takeBatch(): Buffer[] {
    this.#endRun();
    const buffers = this.#buffers;
    if (buffers.length === 0) return buffers;
    this.#buffers = [];
    this.#ends[this.openBatch & (SLOTS - 1)] = this.#used;
    this.#carriesPayload[this.openBatch & (SLOTS - 1)] = this.#payloadBytes > 0 ? 1 : 0;
    this.#payloadBytes = 0;
    this.#bytes = 0;
    this.openBatch++;
    return buffers;
  }

  /** The oldest batch has left the process. True: it carried payload. */
  flushed(): boolean {
    assert(this.flushedBatch + 1 < this.openBatch, 'no batch to flush');
    this.flushedBatch++;
    const index = this.flushedBatch & (SLOTS - 1);
    this.#freed = this.#ends[index] as number;
    return this.#carriesPayload[index] === 1;
  }

  /** Padding and digest of the last header's data segment, whose CRC without padding is given. */
  #trailer(crc: number, padding: number): Buffer {
    const at = ((this.#used - 1) & (SLOTS - 1)) * TRAILER;
    const end = at + padding;
    this.#trailers.fill(0, at, end);
    putDigest(this.#trailers, end, crc32c(this.#trailers, crc, at, end));
    return this.#trailers.subarray(at, end + DIGEST_LENGTH);
  }

  #seal(): void {
    this.#unsealed = false;
    const at = ((this.#used - 1) & (SLOTS - 1)) * this.#stride;
    const end = at + BHS_LENGTH;
    putDigest(this.slab, end, crc32c(this.slab, 0, at, end));
  }

  #endRun(): void {
    if (this.#unsealed) this.#seal();
    if (this.#runStart === this.#used) return;
    const first = this.#runStart & (SLOTS - 1);
    const count = this.#used - this.#runStart;
    this.#buffers.push(this.slab.subarray(first * this.#stride, (first + count) * this.#stride));
    this.#runStart = this.#used;
  }
}
