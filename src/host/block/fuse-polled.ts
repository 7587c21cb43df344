/**
 * /dev/fuse in the event loop: no thread waits, and a request is in the main thread when it is read.
 *
 * A turn of the loop reads a batch of at most BATCH_REQUESTS, so that the sockets of the paths and the
 * other devices have their turn too: libuv reads the first request, and the others are read until there is
 * none (EAGAIN), or until as many are under way as there were when the last batch ended so: whoever
 * keeps 32 under way has no 33rd. "None" costs as much as half a request, an exception; a guess that was
 * wrong leaves the rest to the next turn. What the batch causes at the sessions goes out at its end
 * (../batch.ts). Held memory stops no batch: the kernel was told what it may have outstanding (D68).
 *
 * The event loop gets the descriptor when it is mounted, and not before: epoll registers with the
 * connection, which is there only then, and an epoll that took the descriptor earlier is never woken by
 * it (fs/fuse/dev.c, fuse_dev_poll). Until then it is read every few milliseconds; the answer is EPERM.
 * mount(8) looks at the mount before it ends, so its end is too late.
 *
 * No error ends the device by itself: fuse-read-errors.ts decides which does.
 */
import { closeSync, constants, readSync, writeSync } from 'node:fs';
import { RECEIVE_BYTES } from '../../protocol/fuse/wire.ts';
import { beginBatch, endBatch } from '../batch.ts';
import type { ChannelKind, ChannelOptions, FuseChannel, FuseRequests } from './fuse-channel.ts';
import { afterReadError } from './fuse-read-errors.ts';
import { type Poll, type PolledFile, type PolledFileOwner, pollFile } from './polled-file.ts';

/** Requests of one turn of the event loop. */
const BATCH_REQUESTS = 32;

export class PolledChannel implements FuseChannel, PolledFileOwner {
  readonly #requests: FuseRequests;
  readonly #options: ChannelOptions;
  readonly #poll: Poll;
  readonly #closed = Promise.withResolvers<undefined>();
  #fd: number;
  /** Once it is mounted. The descriptor is libuv's from then on. */
  #file: PolledFile | undefined;
  #buffer: Buffer;
  #mounting = true;
  /** Failed reads since the last request. */
  #errors = 0;
  /** Requests under way when there was none to be read; it falls one by one. At least 1. */
  #depth = 1;

  /** @param fd must not block. */
  constructor(fd: number, requests: FuseRequests, options: ChannelOptions, poll: Poll = pollFile) {
    this.#requests = requests;
    this.#options = options;
    this.#poll = poll;
    this.#fd = fd;
    this.#buffer = options.pool.receiveBuffer();
    setTimeout(this.#readAgain);
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

  // ------------------------------------------------------------------------- from the event loop

  get buffer(): Buffer {
    return this.#buffer;
  }

  received(size: number): void {
    beginBatch();
    try {
      this.#take(size);
      this.#readOn();
    } finally {
      endBatch();
    }
  }

  failed(error: NodeJS.ErrnoException): void {
    const afterMs = this.#judge(error);
    // Never in this callback: see polled-file.ts.
    if (afterMs !== undefined) setTimeout(this.#readAgain, afterMs);
  }

  ended(): void {
    this.#options.pool.releaseReceiveBuffer(this.#buffer);
    this.#closed.resolve(undefined);
  }

  // ---------------------------------------------------------------------------------- helpers

  #take(size: number): void {
    this.#errors = 0;
    this.#buffer = this.#requests.received(this.#buffer, size);
  }

  #readOn(): void {
    for (let more = BATCH_REQUESTS - 1; more > 0 && this.#mayBeMore; more--) {
      const size = this.#readNow();
      if (typeof size !== 'number') {
        // Whatever else it was: libuv reads on, and what lasts comes back as its error.
        if (size.code !== 'EAGAIN') this.#judge(size);
        else this.#depth = Math.max(1, this.#requests.underWay, this.#depth - 1);
        return;
      }
      this.#take(size);
    }
  }

  /** Also beyond the depth: then it has grown, and is not known. */
  get #mayBeMore(): boolean {
    const { underWay } = this.#requests;
    return underWay > 0 && underWay !== this.#depth;
  }

  /** The size of the request that was read, or why there is none. */
  #readNow(): number | NodeJS.ErrnoException {
    const { stackTraceLimit } = Error;
    // "None now" is an exception: without a stack it takes 1.4 us, with one 3.4.
    Error.stackTraceLimit = 0;
    try {
      return readSync(this.#fd, this.#buffer, 0, RECEIVE_BYTES, null);
    } catch (cause) {
      return cause as NodeJS.ErrnoException;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  }

  /** Milliseconds until it is read again; undefined when that was the end. */
  #judge({ code, message }: NodeJS.ErrnoException): number | undefined {
    const { mountPoint, log } = this.#options;
    const next = afterReadError(code, this.#mounting, ++this.#errors);
    const failed = `reading /dev/fuse for ${mountPoint} failed: ${message}`;
    if (next.kind === 'end') {
      if (!next.expected) log(failed);
      this.#end();
      return undefined;
    }
    if (next.log) log(`${failed}; it is read again`);
    return next.afterMs;
  }

  readonly #readAgain = (): void => {
    if (this.#file === undefined) {
      const size = this.#readNow();
      if (typeof size === 'number') this.#take(size);
      else if (size.code !== 'EAGAIN') {
        this.failed(size);
        return;
      }
    }
    try {
      // From now on a buffer that is handed over is exchanged by the handle, which asks for another.
      if (this.#file === undefined) this.#file = this.#poll(this.#fd, this);
      else this.#file.restart();
    } catch (cause) {
      this.failed(cause as NodeJS.ErrnoException);
    }
  };

  /** First of all nothing is written to the number any more: closed, it may be another file's. */
  #end(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (this.#file !== undefined) {
      this.#file.close();
      return;
    }
    closeSync(fd);
    this.ended();
  }
}

export const polledChannel: ChannelKind = {
  flags: constants.O_RDWR | constants.O_NONBLOCK,
  start: (fd, requests, options) => new PolledChannel(fd, requests, options),
};
