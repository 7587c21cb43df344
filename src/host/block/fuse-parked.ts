/**
 * /dev/fuse read by threads: each outstanding read(2) parks a thread of libuv's pool (fuse-threads.ts has
 * how many there must be). The way for a Node that does not let the descriptor into its event loop
 * (fuse-polled.ts); it goes with the next release.
 *
 * Only the kernel can wake a parked reader. Unmounting, or `umount -f`, makes every read fail with
 * ENODEV; then the descriptor is closed. A process that calls process.exit() before that would hang for
 * ever in libuv's thread join: see fuse-exit.ts.
 */
import { closeSync, constants, read, writeSync } from 'node:fs';
import { RECEIVE_BYTES } from '../../protocol/fuse/wire.ts';
import type { ChannelKind, ChannelOptions, FuseChannel, FuseRequests } from './fuse-channel.ts';
import { afterReadError } from './fuse-read-errors.ts';
import { FUSE_READERS_PER_VOLUME } from './fuse-threads.ts';

/** One thread's view. */
interface Reader {
  buffer: Buffer;
  /** Failed reads since the last request. */
  errors: number;
}

export class ParkedChannel implements FuseChannel {
  readonly #requests: FuseRequests;
  readonly #options: ChannelOptions;
  readonly #closed = Promise.withResolvers<undefined>();
  #fd: number;
  #liveReaders = FUSE_READERS_PER_VOLUME;
  #mounting = true;

  constructor(fd: number, requests: FuseRequests, options: ChannelOptions) {
    this.#requests = requests;
    this.#options = options;
    this.#fd = fd;
    for (let count = 0; count < FUSE_READERS_PER_VOLUME; count++) {
      this.#read({ buffer: options.pool.receiveBuffer(), errors: 0 });
    }
  }

  get closed(): Promise<undefined> {
    return this.#closed.promise;
  }

  mountEnded(): void {
    this.#mounting = false;
  }

  write(bytes: Buffer, length: number): void {
    if (this.#fd !== -1) writeSync(this.#fd, bytes, 0, length);
  }

  #read(reader: Reader): void {
    read(this.#fd, reader.buffer, 0, RECEIVE_BYTES, null, (error, size) => {
      if (error === null) {
        reader.errors = 0;
        reader.buffer = this.#requests.received(reader.buffer, size);
        this.#read(reader);
        return;
      }
      this.#readFailed(reader, error);
    });
  }

  #readFailed(reader: Reader, { code, message }: NodeJS.ErrnoException): void {
    const { mountPoint, log } = this.#options;
    const next = afterReadError(code, this.#mounting, ++reader.errors);
    const failed = `reading /dev/fuse for ${mountPoint} failed: ${message}`;
    if (next.kind === 'end') {
      if (!next.expected) log(failed);
      this.#readerEnded(reader);
      return;
    }
    if (next.log) log(`${failed}; it is read again`);
    if (next.afterMs === 0) this.#read(reader);
    else setTimeout(() => this.#read(reader), next.afterMs);
  }

  #readerEnded(reader: Reader): void {
    this.#options.pool.releaseReceiveBuffer(reader.buffer);
    this.#liveReaders--;
    if (this.#liveReaders > 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
    this.#closed.resolve(undefined);
  }
}

export const parkedChannel: ChannelKind = {
  flags: constants.O_RDWR,
  start: (fd, requests, options) => new ParkedChannel(fd, requests, options),
};
