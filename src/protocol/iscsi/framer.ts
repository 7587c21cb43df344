/**
 * Cuts a TCP byte stream into PDUs (RFC 7143 11.1), in place: chunks come from one reused receive
 * buffer, a header is handed on where it lies, and data is copied once, straight to where it
 * belongs.
 *
 * Only a header that is split over two chunks goes through a scratch. The sink sees the header
 * before the data, checks it and says where the data goes (a read command's own buffer, at Buffer
 * Offset). Collecting chunks with Buffer.concat and slicing was rejected: it copies everything
 * twice.
 *
 * Additional header segments are skipped: none is defined for target PDUs that we can be sent.
 * Digests would be two more parts, after the header (with AHS) and after the padding; both are
 * negotiated to None, so there are none.
 */
import { get24 } from '../../base/bytes.ts';
import { BHS_LENGTH, Field, paddingOf } from './bhs.ts';

export interface PduSink {
  /**
   * A header lies at bhs[at .. at+48), valid during the call only. The sink calls
   * `framer.receiveInto` if it wants the data segment; otherwise that is skipped. False: stop, the
   * connection is over.
   */
  header(bhs: Uint8Array, at: number, dataLength: number): boolean;
  /** The PDU of the last `header` call is complete, its data in place. False: stop. */
  complete(): boolean;
}

const PART_HEADER = 0;
const PART_AHS = 1;
const PART_DATA = 2;
const PART_PADDING = 3;

export class Framer {
  /** May be replaced while a PDU is being completed: login hands over to the session. */
  sink: PduSink;
  #stopped = false;
  #part = PART_HEADER;
  /** Bytes of the current part that are still to come. */
  #missing = BHS_LENGTH;
  readonly #scratch = Buffer.allocUnsafeSlow(BHS_LENGTH);
  #ahsLength = 0;
  #dataLength = 0;
  #into: Buffer | undefined;
  #intoAt = 0;

  constructor(sink: PduSink) {
    this.sink = sink;
  }

  /**
   * Called by the sink from within `header`: data goes to `buffer` from `at`; what does not fit is
   * dropped.
   */
  receiveInto(buffer: Buffer, at: number): void {
    this.#into = buffer;
    this.#intoAt = at;
  }

  /**
   * The first `length` bytes of `chunk` have arrived. The chunk is not referenced after the call.
   */
  push(chunk: Buffer, length: number): void {
    let at = 0;
    while (at < length && !this.#stopped) {
      if (this.#part === PART_HEADER) {
        at = this.#takeHeader(chunk, at, length);
      } else {
        const count = Math.min(this.#missing, length - at);
        if (this.#part === PART_DATA) this.#store(chunk, at, count);
        at += count;
        this.#missing -= count;
        if (this.#missing === 0) this.#nextPart();
      }
    }
  }

  #takeHeader(chunk: Buffer, at: number, length: number): number {
    const available = length - at;
    if (this.#missing === BHS_LENGTH && available >= BHS_LENGTH) {
      this.#begin(chunk, at);
      return at + BHS_LENGTH;
    }
    const count = Math.min(this.#missing, available);
    chunk.copy(this.#scratch, BHS_LENGTH - this.#missing, at, at + count);
    this.#missing -= count;
    if (this.#missing === 0) this.#begin(this.#scratch, 0);
    return at + count;
  }

  #begin(bhs: Uint8Array, at: number): void {
    this.#ahsLength = (bhs[at + Field.TOTAL_AHS_LENGTH] as number) * 4;
    this.#dataLength = get24(bhs, at + Field.DATA_SEGMENT_LENGTH);
    this.#into = undefined;
    if (!this.sink.header(bhs, at, this.#dataLength)) {
      this.#stopped = true;
      return;
    }
    this.#missing = 0;
    this.#nextPart();
  }

  /** Enters the next part that is not empty; after the last one the PDU is complete. */
  #nextPart(): void {
    if (this.#part === PART_HEADER) {
      this.#part = PART_AHS;
      this.#missing = this.#ahsLength;
      if (this.#missing > 0) return;
    }
    if (this.#part === PART_AHS) {
      this.#part = PART_DATA;
      this.#missing = this.#dataLength;
      if (this.#missing > 0) return;
    }
    if (this.#part === PART_DATA) {
      this.#part = PART_PADDING;
      this.#missing = paddingOf(this.#dataLength);
      if (this.#missing > 0) return;
    }
    this.#part = PART_HEADER;
    this.#missing = BHS_LENGTH;
    if (!this.sink.complete()) this.#stopped = true;
  }

  #store(chunk: Buffer, at: number, count: number): void {
    // Buffer.copy stops at the end of the destination, so an oversized segment cannot overrun it.
    const into = this.#into;
    if (into === undefined || this.#intoAt >= into.length) return;
    chunk.copy(into, this.#intoAt, at, at + count);
    this.#intoAt += count;
  }
}
