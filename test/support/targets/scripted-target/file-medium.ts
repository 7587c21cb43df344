/**
 * A medium that several processes share: the demo's three gateways to one disk. Writes are in the page cache
 * when they are answered, so a killed process loses none; the disk's own write cache must be off, or each
 * gateway would see its own.
 */
import { fstatSync, openSync, readSync, writeSync } from 'node:fs';
import type { Medium } from './disk.ts';

export class FileMedium implements Medium {
  readonly sizeBytes: number;
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'r+');
    this.sizeBytes = fstatSync(this.#fd).size;
  }

  read(offset: number, length: number): Buffer {
    const data = Buffer.alloc(length);
    for (let at = 0; at < length;) {
      const count = readSync(this.#fd, data, at, length - at, offset + at);
      if (count === 0) break; // a hole at the end reads as zeros
      at += count;
    }
    return data;
  }

  write(offset: number, data: Buffer): void {
    for (let at = 0; at < data.length;) {
      at += writeSync(this.#fd, data, at, data.length - at, offset + at);
    }
  }
}
