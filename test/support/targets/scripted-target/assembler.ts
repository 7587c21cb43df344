/** Puts the initiator's byte stream together to PDUs, digests checked (RFC 7143 11.1, 11.2.3). */
import { digestOf } from './crc32c.ts';
import { BHS_BYTES, type Digests, Request } from './pdu.ts';

export class Assembler {
  /** In force from the next PDU on: may be set while a PDU is being handled. */
  digests: Digests = { header: false, data: false };
  #bytes = Buffer.alloc(0);

  /** Calls `take` for each PDU that is complete. */
  push(chunk: Uint8Array, take: (request: Request) => void): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (let request; (request = this.#next()) !== undefined;) take(request);
  }

  /** Bytes of a PDU that is not complete yet. */
  get pending(): number {
    return this.#bytes.length;
  }

  #next(): Request | undefined {
    const bytes = this.#bytes;
    if (bytes.length < BHS_BYTES) return undefined;
    const ahsEnd = BHS_BYTES + 4 * bytes[4]!;
    const headerEnd = ahsEnd + (this.digests.header ? 4 : 0);
    const length = bytes.readUIntBE(5, 3);
    const dataEnd = headerEnd + length + (-length & 3);
    const end = dataEnd + (this.digests.data && length > 0 ? 4 : 0);
    if (bytes.length < end) return undefined;
    this.#bytes = bytes.subarray(end);
    let bad: 'header' | 'data' | undefined;
    if (end > dataEnd && !matches(bytes.subarray(headerEnd, dataEnd), bytes, dataEnd)) bad = 'data';
    if (headerEnd > ahsEnd && !matches(bytes.subarray(0, ahsEnd), bytes, ahsEnd)) bad = 'header';
    return new Request(
      bytes.subarray(0, BHS_BYTES),
      bytes.subarray(BHS_BYTES, ahsEnd),
      bytes.subarray(headerEnd, headerEnd + length),
      bad,
    );
  }
}

function matches(covered: Buffer, bytes: Buffer, at: number): boolean {
  return digestOf(covered).equals(bytes.subarray(at, at + 4));
}
