/**
 * Cuts a TCP byte stream into PDUs (RFC 7143 11.1), in place: chunks come from one reused receive
 * buffer, a header is handed on where it lies, and data is copied once, straight to where it
 * belongs. Long data is not even copied: when the rest of a data segment is known to come next,
 * `readInto` names the command's own buffer as the place to read to, and, where the memory behind it is
 * the command's as well, a little more: then the next header comes with the same read, and a stream of
 * long segments takes one read for each.
 *
 * Only a header that is split over two chunks goes through a scratch. The sink sees the header
 * before the data, checks it and says where the data goes (a read command's own buffer, at Buffer
 * Offset). Collecting chunks with Buffer.concat and slicing was rejected: it copies everything
 * twice.
 *
 * Additional header segments are skipped: none is defined for target PDUs that we can be sent.
 *
 * With digests, the sink hears of a header after its digest was found right, and of a PDU's end after the
 * data's was. Data is summed as it passes, still in the processor's cache, into the buffer of a command
 * that has not ended. So no command is answered with bytes whose digest was wrong.
 */
import { get24 } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import { READ_TAILROOM } from '../../ports/read-buffer.ts';
import { BHS_LENGTH, Field, paddingOf } from './bhs.ts';
import { DIGEST_LENGTH, type Digests, hasDigest } from './digest.ts';

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

/** A digest that does not fit what it is for. */
export type Damage = 'header digest' | 'data digest';

const PART_HEADER = 0;
/** Additional segments and digest of a header that is split; else they are part of the header. */
const PART_HEADER_REST = 1;
const PART_AHS = 2;
const PART_DATA = 3;
const PART_PADDING = 4;
const PART_DATA_DIGEST = 5;

/** Data that is read past the receive buffer: less is not worth a read of its own. */
const DIRECT = 8192;
/**
 * Behind data segments from this length on, reads are short, so that little of the next is copied.
 * Processor time of a 64 KiB read, 32 under way: copied 38 us, with a read each for header and data 34
 * to 38, with the next header in the read of the data (READ_TAILROOM) 30 to 33 in the same rounds.
 */
const LONG = 32_768;
const SHORT_READ = 4096;

const LONGEST_HEADER = BHS_LENGTH + 255 * 4 + DIGEST_LENGTH;

export class Framer {
  /** May be replaced while a PDU is being completed: login hands over to the session. */
  sink: PduSink;
  /** Within `push`: more may come of what has arrived already. */
  busy = false;
  /** Called at the end of each `push`. */
  onPushed: () => void = () => undefined;
  #stopped = false;
  #part = PART_HEADER;
  /** Bytes of the current part that are still to come. */
  #missing = BHS_LENGTH;
  readonly #scratch = Buffer.allocUnsafeSlow(LONGEST_HEADER);
  /** Bytes in the scratch. */
  #have = 0;
  #ahsLength = 0;
  #dataLength = 0;
  #into: Buffer | undefined;
  #intoAt = 0;
  /** Bytes behind the end of `#into` that may be overwritten. */
  #tailroom = 0;
  #headerDigest = false;
  #dataDigest: Digests['dataCrc'] | undefined;
  #onDamage: (damage: Damage) => void = () => undefined;
  /** CRC of the data segment so far. */
  #crc = 0;
  /** The part of a command's own buffer that was given to be read into. */
  #direct: Buffer | undefined;
  /** What was read behind the data: moved here before the command is over and its buffer gone. */
  readonly #spill = Buffer.allocUnsafeSlow(READ_TAILROOM);
  #shortRead: Buffer | undefined;

  constructor(sink: PduSink) {
    this.sink = sink;
  }

  /**
   * From the next PDU on. `onDamage` is called at most once; nothing is delivered any more then.
   */
  useDigests(digests: Digests, onDamage: (damage: Damage) => void): void {
    this.#headerDigest = digests.header;
    this.#dataDigest = digests.data ? digests.dataCrc : undefined;
    this.#onDamage = onDamage;
  }

  /**
   * Called by the sink from within `header`: data goes to `buffer` from `at`; what does not fit is
   * dropped. Until the PDU is complete the `tailroom` bytes behind `buffer` in its ArrayBuffer may be
   * overwritten too, and so may what `buffer` holds behind the data.
   */
  receiveInto(buffer: Buffer, at: number, tailroom = 0): void {
    this.#into = buffer;
    this.#intoAt = at;
    this.#tailroom = tailroom;
  }

  /**
   * Where to read to next: `general`, or a part of it, or the place where the data that must come next
   * belongs. What was read goes to `push`.
   */
  readInto(general: Buffer): Buffer {
    const into = this.#into;
    this.#direct = undefined;
    if (this.#part === PART_DATA && this.#missing >= DIRECT && into !== undefined) {
      const end = this.#intoAt + this.#missing;
      if (end <= into.length) return (this.#direct = this.#place(into, end));
    }
    if (this.#dataLength < LONG) return general;
    if (this.#shortRead?.buffer !== general.buffer) {
      this.#shortRead = general.subarray(0, SHORT_READ);
    }
    return this.#shortRead;
  }

  /**
   * The first `length` bytes of `chunk` have arrived. The chunk is not referenced after the call.
   */
  push(chunk: Buffer, length: number): void {
    this.busy = true;
    if (chunk === this.#direct) this.#placed(chunk, length);
    else this.#cut(chunk, length);
    this.busy = false;
    this.onPushed();
  }

  /** From where the next data belongs to its end, and some room for what follows, if there is any. */
  #place(into: Buffer, end: number): Buffer {
    const most = Math.min(end + READ_TAILROOM, into.length + this.#tailroom);
    if (most <= into.length) return into.subarray(this.#intoAt, most);
    return Buffer.from(into.buffer, into.byteOffset + this.#intoAt, most - this.#intoAt);
  }

  /** Data that was read to where it belongs, and the beginning of what follows. */
  #placed(chunk: Buffer, count: number): void {
    if (this.#stopped) return;
    const length = Math.min(count, this.#missing);
    const behind = count - length;
    // First of all: once the PDU is complete, the buffer is its owner's again.
    if (behind > 0) chunk.copy(this.#spill, 0, length, count);
    if (this.#dataDigest !== undefined) this.#crc = this.#dataDigest(chunk, this.#crc, 0, length);
    this.#intoAt += length;
    this.#missing -= length;
    if (this.#missing === 0) this.#nextPart();
    if (behind > 0) this.#cut(this.#spill, behind);
  }

  #cut(chunk: Buffer, length: number): void {
    let at = 0;
    while (at < length && !this.#stopped) {
      if (this.#part <= PART_HEADER_REST) {
        at = this.#takeHeader(chunk, at, length);
      } else {
        const count = Math.min(this.#missing, length - at);
        this.#take(chunk, at, count);
        at += count;
        this.#missing -= count;
        if (this.#missing === 0) this.#nextPart();
      }
    }
  }

  #takeHeader(chunk: Buffer, at: number, length: number): number {
    const available = length - at;
    if (this.#have === 0 && available >= BHS_LENGTH) {
      const whole = BHS_LENGTH + this.#rest(chunk, at);
      if (available >= whole) {
        this.#begin(chunk, at);
        return at + whole;
      }
    }
    const count = Math.min(this.#missing, available);
    chunk.copy(this.#scratch, this.#have, at, at + count);
    this.#have += count;
    this.#missing -= count;
    if (this.#missing > 0) return at + count;
    if (this.#part === PART_HEADER) {
      this.#part = PART_HEADER_REST;
      this.#missing = this.#rest(this.#scratch, 0);
    }
    if (this.#missing === 0) this.#begin(this.#scratch, 0);
    return at + count;
  }

  /** Bytes behind the 48 that must be there before the header can be believed. */
  #rest(bhs: Uint8Array, at: number): number {
    if (!this.#headerDigest) return 0;
    return (bhs[at + Field.TOTAL_AHS_LENGTH] as number) * 4 + DIGEST_LENGTH;
  }

  #begin(bhs: Uint8Array, at: number): void {
    if (this.#headerDigest) {
      const end = at + BHS_LENGTH + this.#rest(bhs, at) - DIGEST_LENGTH;
      if (!hasDigest(bhs, end, crc32c(bhs, 0, at, end))) {
        this.#damaged('header digest');
        return;
      }
      this.#ahsLength = 0; // taken together with the header
    } else {
      this.#ahsLength = (bhs[at + Field.TOTAL_AHS_LENGTH] as number) * 4;
    }
    this.#dataLength = get24(bhs, at + Field.DATA_SEGMENT_LENGTH);
    this.#into = undefined;
    if (!this.sink.header(bhs, at, this.#dataLength)) {
      this.#stopped = true;
      return;
    }
    this.#part = PART_HEADER_REST;
    this.#nextPart();
  }

  /** Enters the next part that is not empty; after the last one the PDU is complete. */
  #nextPart(): void {
    if (this.#part === PART_HEADER_REST) {
      this.#part = PART_AHS;
      this.#missing = this.#ahsLength;
      if (this.#missing > 0) return;
    }
    if (this.#part === PART_AHS) {
      this.#part = PART_DATA;
      this.#missing = this.#dataLength;
      this.#crc = 0;
      if (this.#missing > 0) return;
    }
    if (this.#part === PART_DATA) {
      this.#part = PART_PADDING;
      this.#missing = paddingOf(this.#dataLength);
      if (this.#missing > 0) return;
    }
    if (this.#part === PART_PADDING && this.#dataDigest !== undefined && this.#dataLength > 0) {
      this.#part = PART_DATA_DIGEST;
      this.#missing = DIGEST_LENGTH;
      return;
    }
    if (this.#part === PART_DATA_DIGEST && !hasDigest(this.#scratch, 0, this.#crc)) {
      this.#damaged('data digest');
      return;
    }
    this.#part = PART_HEADER;
    this.#missing = BHS_LENGTH;
    this.#have = 0;
    if (!this.sink.complete()) this.#stopped = true;
  }

  #take(chunk: Buffer, at: number, count: number): void {
    const end = at + count;
    if (this.#part === PART_DATA_DIGEST) {
      chunk.copy(this.#scratch, DIGEST_LENGTH - this.#missing, at, end);
      return;
    }
    if (this.#part === PART_AHS) return;
    if (this.#dataDigest !== undefined) this.#crc = this.#dataDigest(chunk, this.#crc, at, end);
    // Buffer.copy stops at the end of the destination, so an oversized segment cannot overrun it.
    const into = this.#into;
    if (this.#part !== PART_DATA || into === undefined || this.#intoAt >= into.length) return;
    chunk.copy(into, this.#intoAt, at, end);
    this.#intoAt += count;
  }

  #damaged(damage: Damage): void {
    this.#stopped = true;
    this.#onDamage(damage);
  }
}
