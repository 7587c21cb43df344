/**
 * A BlockSource in RAM for tests and the benchmark: counts what it is asked, can be slow, can fail,
 * can hold everything back. Completes asynchronously, as ports/block.ts demands.
 */
import type { BlockSource, IoError, IoKind, IoRequest } from '../../src/ports/block.ts';

export interface RamOptions {
  readonly sizeBytes: number;
  readonly blockSize?: 512 | 4096;
  readonly readOnly?: boolean;
  readonly canDiscard?: boolean;
  readonly canWriteZeroes?: boolean;
  readonly volatileCache?: boolean;
}

export class RamSource implements BlockSource {
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  readonly volatileCache: boolean;
  sizeBytes: number;
  readonly counts: Record<IoKind, number> = {
    read: 0,
    write: 0,
    flush: 0,
    discard: 0,
    'write-zeroes': 0,
  };
  /** Requests whose offset, length or buffer broke the contract. */
  readonly violations: string[] = [];
  /** Answer requests of these kinds with an error. */
  readonly failing = new Map<IoKind, IoError>();
  /** Milliseconds each request takes. */
  delayMs = 0;
  /** While true requests are kept in `heldBack` and not answered. */
  hold = false;
  readonly heldBack: IoRequest[] = [];
  largestRequestBytes = 0;
  #memory: Buffer;

  constructor(options: RamOptions) {
    this.sizeBytes = options.sizeBytes;
    this.blockSize = options.blockSize ?? 512;
    this.readOnly = options.readOnly ?? false;
    this.canDiscard = options.canDiscard ?? true;
    this.canWriteZeroes = options.canWriteZeroes ?? true;
    this.volatileCache = options.volatileCache ?? true;
    this.#memory = Buffer.alloc(options.sizeBytes);
  }

  get memory(): Buffer {
    return this.#memory;
  }

  grow(sizeBytes: number): void {
    const larger = Buffer.alloc(sizeBytes);
    this.#memory.copy(larger);
    this.#memory = larger;
    this.sizeBytes = sizeBytes;
  }

  submit(request: IoRequest): void {
    this.counts[request.kind]++;
    this.#check(request);
    if (this.hold) this.heldBack.push(request);
    else if (this.delayMs > 0) setTimeout(() => this.#execute(request), this.delayMs);
    else setImmediate(() => this.#execute(request));
  }

  /** Answers that many of those held back, and holds on. */
  answer(count: number): void {
    for (const request of this.heldBack.splice(0, count)) this.#execute(request);
  }

  /** Answers everything held back. */
  letGo(): void {
    this.hold = false;
    for (const request of this.heldBack.splice(0)) this.#execute(request);
  }

  #check({ kind, offset, length, data }: IoRequest): void {
    this.largestRequestBytes = Math.max(this.largestRequestBytes, length);
    const aligned = offset % this.blockSize === 0 && length % this.blockSize === 0;
    const inside = offset + length <= this.sizeBytes;
    const carried = kind === 'read' || kind === 'write' ? data?.length === length : !data;
    const empty = kind === 'flush' ? length === 0 : length > 0;
    if (aligned && inside && carried && empty) return;
    this.violations.push(`${kind} ${offset}+${length}, ${String(data?.length)} bytes of data`);
  }

  #execute({ kind, offset, length, data, done }: IoRequest): void {
    const error = this.failing.get(kind);
    if (error === undefined) {
      if (kind === 'read' && data) this.#memory.copy(data, 0, offset, offset + length);
      if (kind === 'write' && data) data.copy(this.#memory, offset);
      if (kind === 'discard' || kind === 'write-zeroes') {
        this.#memory.fill(0, offset, offset + length);
      }
    }
    done(error);
  }
}
