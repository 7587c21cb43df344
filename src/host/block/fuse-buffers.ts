/**
 * Buffers of the FUSE server: receive buffers (the kernel insists on room for its largest request,
 * a good 256 KiB) and slabs for the payload of one request.
 *
 * A fresh 256 KiB buffer per request would make the garbage collector the bottleneck, and one buffer
 * that is reused at once would be overwritten while a slow path still sends from it. So: slabs come
 * in a few sizes from free lists that all volumes of the process share, and the free lists are
 * bounded, so that what a burst needed goes back to the allocator. How much a volume may have in
 * flight is not decided here but told to the kernel (see fuse-server.ts).
 *
 * Data starts behind the room for a reply header: a READ is answered with one write(2) of header
 * and data, without copying and without an array of buffers. Behind it there is room for what the
 * initiator reads with the end of the data (ScsiCommand's `tailroom`); it never leaves the slab.
 */
import { READ_TAILROOM } from '../../ports/read-buffer.ts';
import { MAX_IO_BYTES, OUT_HEADER_BYTES, RECEIVE_BYTES } from '../../protocol/fuse/wire.ts';

/** Powers of two from 4 KiB to the largest request: at most half of a slab is unused. */
const SLAB_BYTES = Array.from(
  { length: Math.log2(MAX_IO_BYTES / 4096) + 1 },
  (_, index) => 4096 << index,
);

function sizeClassOf(length: number): number {
  return SLAB_BYTES.findIndex((size) => length <= size);
}

/** Room for one request's data, with space for the reply header in front of it and some behind. */
export class Slab {
  /** Reply header, data, tailroom. */
  readonly bytes: Buffer;
  readonly sizeClass: number;
  #view: Buffer;

  constructor(sizeClass: number) {
    const dataBytes = SLAB_BYTES[sizeClass] ?? 0;
    this.sizeClass = sizeClass;
    // Not from Buffer's own pool: a slab must not keep a neighbour alive, nor start at an odd
    // address.
    this.bytes = Buffer.allocUnsafeSlow(OUT_HEADER_BYTES + dataBytes + READ_TAILROOM);
    this.#view = this.bytes.subarray(OUT_HEADER_BYTES);
  }

  /** The first `length` bytes of the data; the view of the last length is kept. */
  data(length: number): Buffer {
    if (this.#view.length !== length) {
      this.#view = this.bytes.subarray(OUT_HEADER_BYTES, OUT_HEADER_BYTES + length);
    }
    return this.#view;
  }
}

/** Free lists of slabs and receive buffers, shared by the volumes of a process. */
export class BufferPool {
  readonly #slabs: Slab[][] = SLAB_BYTES.map(() => []);
  readonly #receive: Buffer[] = [];
  readonly #keepBytes: number;
  #keptBytes = 0;

  /** Keeps at most `keepBytes` of unused buffers. */
  constructor(keepBytes = 32 * 1024 * 1024) {
    this.#keepBytes = keepBytes;
  }

  /** Unused bytes kept for later. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** A slab for `length` bytes, at most MAX_IO_BYTES; its content is whatever was there before. */
  slab(length: number): Slab {
    const sizeClass = sizeClassOf(length);
    const slab = this.#slabs[sizeClass]?.pop();
    if (slab === undefined) return new Slab(sizeClass);
    this.#keptBytes -= slab.bytes.length;
    return slab;
  }

  /** Gives a slab back; its data must not be referred to any more. */
  release(slab: Slab): void {
    if (this.#keep(slab.bytes.length)) this.#slabs[slab.sizeClass]?.push(slab);
  }

  receiveBuffer(): Buffer {
    const buffer = this.#receive.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(RECEIVE_BYTES);
    this.#keptBytes -= buffer.length;
    return buffer;
  }

  releaseReceiveBuffer(buffer: Buffer): void {
    if (this.#keep(buffer.length)) this.#receive.push(buffer);
  }

  #keep(bytes: number): boolean {
    if (this.#keptBytes + bytes > this.#keepBytes) return false;
    this.#keptBytes += bytes;
    return true;
  }
}
