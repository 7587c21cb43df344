/**
 * The medium behind a logical unit, with a volatile write cache in front of it. `dropCache` is what a
 * power failure does: acknowledged writes that nobody flushed are gone.
 */
export interface Medium {
  readonly sizeBytes: number;
  read(offset: number, length: number): Buffer;
  write(offset: number, data: Buffer): void;
}

export class MemoryMedium implements Medium {
  readonly bytes: Buffer;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.alloc(sizeBytes);
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  read(offset: number, length: number): Buffer {
    return Buffer.from(this.bytes.subarray(offset, offset + length));
  }

  write(offset: number, data: Buffer): void {
    data.copy(this.bytes, offset);
  }
}

export interface DiskOptions {
  readonly blockSize?: 512 | 4096;
  /** WCE=1: writes without FUA stay in the cache until SYNCHRONIZE CACHE. */
  readonly writeCache?: boolean;
}

/** Offsets count logical blocks. */
export class Disk {
  readonly medium: Medium;
  readonly blockSize: number;
  writeCache: boolean;
  readonly #cache = new Map<number, Buffer>();

  constructor(medium: Medium, options: DiskOptions = {}) {
    this.medium = medium;
    this.blockSize = options.blockSize ?? 512;
    this.writeCache = options.writeCache ?? false;
  }

  get blocks(): number {
    return Math.floor(this.medium.sizeBytes / this.blockSize);
  }

  /** Blocks that a power failure would lose. */
  get dirty(): number {
    return this.#cache.size;
  }

  read(lba: number, blocks: number): Buffer {
    const data = this.medium.read(lba * this.blockSize, blocks * this.blockSize);
    if (this.#cache.size === 0) return data;
    for (let index = 0; index < blocks; index++) {
      this.#cache.get(lba + index)?.copy(data, index * this.blockSize);
    }
    return data;
  }

  /** `data` may end within a block: the rest of that block is not changed. */
  write(lba: number, data: Buffer, fua = false): void {
    if (!this.writeCache || fua) {
      const count = Math.ceil(data.length / this.blockSize);
      for (let index = 0; index < count && this.#cache.size > 0; index++) {
        this.#cache.delete(lba + index);
      }
      this.medium.write(lba * this.blockSize, data);
      return;
    }
    for (let at = 0; at < data.length; at += this.blockSize) {
      const block = this.read(lba + at / this.blockSize, 1);
      data.copy(block, 0, at, at + this.blockSize);
      this.#cache.set(lba + at / this.blockSize, block);
    }
  }

  fill(lba: number, blocks: number, block: Buffer): void {
    const most = Math.max(1, Math.floor((1 << 20) / this.blockSize));
    for (let at = 0; at < blocks; at += most) {
      const count = Math.min(most, blocks - at);
      this.write(lba + at, Buffer.alloc(count * this.blockSize, block));
    }
  }

  flush(): void {
    for (const [lba, block] of this.#cache) this.medium.write(lba * this.blockSize, block);
    this.#cache.clear();
  }

  /** The power fails: what was not flushed is lost. */
  dropCache(): void {
    this.#cache.clear();
  }
}
