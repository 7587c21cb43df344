/**
 * Serves /dev/fuse for one volume: a directory with the one file `disk` (protocol/fuse), whose
 * reads and writes become requests to a BlockSource.
 *
 * Requests come through a channel (fuse-channel.ts). Replies are written synchronously: a write to
 * /dev/fuse never blocks, it hands the data to the waiting request.
 *
 * Memory: the channel reads into one receive buffer. A WRITE's payload must stay untouched until the
 * source is done with it, so a small one is copied to a slab of its size and the receive buffer is used
 * again, and a large one keeps the receive buffer while the channel gets another (`HAND_OVER_BYTES`,
 * by measurement).
 *
 * Reading never stops while data is held back, however much: /dev/fuse is one queue, and a GETATTR
 * (`stat`, every mkfs and losetup of the node) behind data that is not read would hang with it. What
 * bounds memory is told to the kernel: at most MAX_BACKGROUND requests of MAX_IO_BYTES, 16 MiB a volume,
 * and fewer where many volumes share the memory (unanswered-data.ts). Everything beyond waits in the kernel,
 * which is the back-pressure that block devices are used to, and lets requests without data pass.
 *
 * A READ takes its slab when its data arrives (LateBuffer): the reply is
 * written as soon as the data is whole, so the slab that was given back last, still in the processor's
 * cache, serves the next answer. One slab for each READ under way would go through memory.
 *
 * End: unmounting (after the loop device has let go of the file) or `umount -f` (aborts the connection,
 * also one in use) makes every read fail with ENODEV; then the channel closes the descriptor.
 *
 * Replies to a connection that is gone fail and are dropped; requests that the source still has
 * stay its own until it is done with them.
 */
import type { FileHandle } from 'node:fs/promises';
import { assert } from '../../base/assert.ts';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import type { BlockSource, ExportError, IoError, IoRequest } from '../../ports/block.ts';
import { type LateBuffer, READ_TAILROOM } from '../../ports/read-buffer.ts';
import { FuseResponse, respond, respondToMalformed } from '../../protocol/fuse/one-file.ts';
import {
  REPLY_BYTES,
  encodeHeader,
  encodeStatus,
  encodeWritten,
  putMaxBackground,
} from '../../protocol/fuse/reply.ts';
import { FuseRequest, decodeRequest } from '../../protocol/fuse/request.ts';
import {
  DISK_NODE,
  Errno,
  Opcode,
  OUT_HEADER_BYTES,
  WRITE_DATA_OFFSET,
} from '../../protocol/fuse/wire.ts';
import { exec } from '../exec.ts';
import type { BufferPool, Slab } from './fuse-buffers.ts';
import type { ChannelKind, FuseChannel, FuseRequests } from './fuse-channel.ts';
import { abortAtExit, forgetAtExit } from './fuse-exit.ts';
import { polledChannel } from './fuse-polled.ts';
import { LowDescriptor } from './low-descriptor.ts';
import type { UnansweredShare } from './unanswered-data.ts';

/**
 * Writes from this size on are not copied: the receive buffer is handed over. Measured: up to 128 KiB
 * the two cannot be told apart, and a copied one keeps its own size of memory.
 */
const HAND_OVER_BYTES = 192 * 1024;

const MOUNT_OPTIONS = 'rootmode=40000,user_id=0,group_id=0,allow_other,nosuid,nodev,noexec,noatime';

export interface FuseServerOptions {
  /** Existing, empty directory. */
  readonly mountPoint: string;
  /** Shown as the source in mount tables. No commas or spaces. */
  readonly name: string;
  readonly source: BlockSource;
  readonly pool: BufferPool;
  /** How much of the process's memory it may hold. */
  readonly share: UnansweredShare;
  /** How /dev/fuse is read; in the event loop where nothing is said. */
  readonly channel?: ChannelKind;
  /** One line about something unexpected. */
  readonly log?: (message: string) => void;
}

const ERRNO_OF: Readonly<Record<IoError, number>> = {
  EIO: Errno.EIO,
  ENOSPC: Errno.ENOSPC,
  EINVAL: Errno.EINVAL,
  EOPNOTSUPP: Errno.EOPNOTSUPP,
  EROFS: Errno.EROFS,
};

/** A request on its way through the source. */
class PendingIo implements IoRequest, LateBuffer {
  readonly kind: IoRequest['kind'];
  readonly offset: number;
  readonly length: number;
  readonly tailroom: number | undefined;
  readonly fua = false;
  readonly done: (error: IoError | undefined) => void;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  /**
   * Where the data is: a slab, which a read takes late, or a receive buffer that was handed over.
   */
  slab: Slab | undefined;
  readonly handedOver: Buffer | undefined;
  readonly #payload: Buffer | undefined;
  #server: FuseServer | undefined;

  constructor(
    server: FuseServer,
    request: FuseRequest,
    response: FuseResponse,
    slab: Slab | undefined,
    handedOver: Buffer | undefined,
  ) {
    const { action, length } = response;
    assert(action !== 'none' && action !== 'reply', 'an I/O action');
    this.kind = action;
    this.offset = request.offset;
    this.length = length;
    this.uniqueLow = request.uniqueLow;
    this.uniqueHigh = request.uniqueHigh;
    this.slab = slab;
    this.handedOver = handedOver;
    this.#payload =
      handedOver?.subarray(WRITE_DATA_OFFSET, WRITE_DATA_OFFSET + length) ?? slab?.data(length);
    this.tailroom = action === 'read' ? READ_TAILROOM : undefined;
    this.#server = server;
    this.done = (error): void => {
      // A source that reports twice must not free the buffers of another request.
      const owner = this.#server;
      this.#server = undefined;
      owner?.complete(this, error);
    };
  }

  get data(): Buffer | undefined {
    return this.kind === 'read' ? this.buffer() : this.#payload;
  }

  /** What it holds of memory, or may take late. */
  get dataBytes(): number {
    return this.kind === 'read' || this.kind === 'write' ? this.length : 0;
  }

  get late(): LateBuffer | undefined {
    return this.kind === 'read' ? this : undefined;
  }

  /** The destination of a read; its slab stays with the request until that is answered. */
  buffer(): Buffer {
    assert(this.#server !== undefined, 'an answered read has no buffer');
    this.slab ??= this.#server.takeSlab(this.length);
    return this.slab.data(this.length);
  }
}

/** That of /dev/fuse, and a lower one for the device. */
export type DescriptorPair = Pick<LowDescriptor, 'above' | 'open' | 'release'>;

/** A mounted file system of one volume. Made by `startFuseServer`. */
export class FuseServer implements FuseRequests {
  readonly mountPoint: string;
  readonly #source: BlockSource;
  readonly #pool: BufferPool;
  readonly #share: UnansweredShare;
  readonly #log: (message: string) => void;
  readonly #channel: FuseChannel;
  /** Scratch objects, filled again by each request. */
  readonly #request = new FuseRequest();
  readonly #response = new FuseResponse();
  readonly #reply = Buffer.alloc(REPLY_BYTES);
  readonly #low: DescriptorPair;
  #underWay = 0;
  #openFiles = 0;
  #failing = false;

  constructor(options: FuseServerOptions, low: DescriptorPair) {
    const { mountPoint, source, pool, share, log = (): void => undefined } = options;
    this.mountPoint = mountPoint;
    this.#source = source;
    this.#pool = pool;
    this.#share = share;
    this.#log = log;
    this.#low = low;
    const { start } = options.channel ?? polledChannel;
    this.#channel = start(low.above, this, { mountPoint, pool, log });
    void this.#channel.closed.then(() => low.release());
  }

  /** Resolves when nothing is read any more and the descriptor is closed. */
  get closed(): Promise<undefined> {
    return this.#channel.closed;
  }

  /** How often the file is open: once by the loop device, for as long as it is behind it. */
  get openFiles(): number {
    return this.#openFiles;
  }

  /** Opens the loop device on this server's file, so that the end of this process does not wait for the device. */
  async openDevice(path: string): Promise<FileHandle> {
    const file = await this.#low.open(path);
    if (file.fd > this.#low.above) {
      this.#log(
        `no low descriptor was free for ${path}: killed with unwritten data of it in the kernel's cache, this ` +
          `process would not end before \`umount -f ${this.mountPoint}\``,
      );
    }
    return file;
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** mount(8) has succeeded, or has not: then nothing is read any more. */
  mountEnded(): void {
    this.#channel.mountEnded();
  }

  /** From now on every I/O request is answered with EIO at once. */
  fail(): void {
    this.#failing = true;
  }

  received(buffer: Buffer, size: number): Buffer {
    const request = this.#request;
    const response = this.#response;
    const malformed = decodeRequest(buffer, size, request);
    if (malformed !== undefined) {
      this.#log(`request of ${size} bytes, opcode ${request.opcode}: ${malformed}`);
      const replyBytes = respondToMalformed(malformed, request, this.#reply);
      if (replyBytes !== undefined) this.#send(this.#reply, replyBytes);
      return buffer;
    }
    respond(request, buffer, this.#source, this.#reply, response);
    if (request.opcode === Opcode.init) putMaxBackground(this.#reply, this.#share.limit);
    if (request.node === DISK_NODE) this.#countOpens(request);
    if (this.#failing && response.action !== 'none' && response.action !== 'reply') {
      this.#send(this.#reply, encodeStatus(this.#reply, request, Errno.EIO));
      return buffer;
    }
    switch (response.action) {
      case 'none':
        break;
      case 'reply':
        this.#send(this.#reply, response.replyBytes);
        break;
      case 'write':
        return this.#takeWrite(buffer, response.length);
      case 'read':
      case 'flush':
      case 'discard':
      case 'write-zeroes':
        this.#submit(undefined, undefined);
    }
    return buffer;
  }

  #countOpens({ opcode }: FuseRequest): void {
    const isGood = this.#reply.readInt32LE(4) === 0;
    if (opcode === Opcode.open && isGood) this.#openFiles++;
    if (opcode === Opcode.release) this.#openFiles--;
  }

  #takeWrite(buffer: Buffer, length: number): Buffer {
    if (length >= HAND_OVER_BYTES) {
      const next = this.#pool.receiveBuffer();
      this.#submit(undefined, buffer);
      return next;
    }
    const slab = this.#pool.slab(length);
    buffer.copy(slab.bytes, OUT_HEADER_BYTES, WRITE_DATA_OFFSET, WRITE_DATA_OFFSET + length);
    this.#submit(slab, undefined);
    return buffer;
  }

  #submit(slab: Slab | undefined, handedOver: Buffer | undefined): void {
    const io = new PendingIo(this, this.#request, this.#response, slab, handedOver);
    this.#underWay++;
    this.#share.take(io.dataBytes);
    this.#source.submit(io);
  }

  takeSlab(length: number): Slab {
    return this.#pool.slab(length);
  }

  /** Called by a request when the source is done with it. */
  complete(io: PendingIo, outcome: IoError | undefined): void {
    const { slab, handedOver, uniqueLow, uniqueHigh } = io;
    // A read that is good without having asked for its memory: there is nothing that could be shown.
    const error = io.kind === 'read' && slab === undefined ? (outcome ?? 'EIO') : outcome;
    if (error !== undefined) {
      const errno = ERRNO_OF[error];
      encodeHeader(this.#reply, OUT_HEADER_BYTES, errno, uniqueLow, uniqueHigh);
      this.#send(this.#reply, OUT_HEADER_BYTES);
    } else if (io.kind === 'read' && slab !== undefined) {
      const length = OUT_HEADER_BYTES + io.length;
      this.#send(slab.bytes, encodeHeader(slab.bytes, length, 0, uniqueLow, uniqueHigh));
    } else if (io.kind === 'write') {
      this.#send(this.#reply, encodeWritten(this.#reply, uniqueLow, uniqueHigh, io.length));
    } else {
      encodeHeader(this.#reply, OUT_HEADER_BYTES, 0, uniqueLow, uniqueHigh);
      this.#send(this.#reply, OUT_HEADER_BYTES);
    }
    this.#underWay--;
    this.#share.give(io.dataBytes);
    if (slab !== undefined) this.#pool.release(slab);
    if (handedOver !== undefined) this.#pool.releaseReceiveBuffer(handedOver);
  }

  #send(bytes: Buffer, length: number): void {
    try {
      this.#channel.write(bytes, length);
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      // ENOENT: the request was interrupted; ENODEV, EPERM: the connection is gone. The answer is not
      // awaited any more.
      if (code === 'ENOENT' || code === 'ENODEV' || code === 'EPERM') return;
      this.#log(`replying on /dev/fuse for ${this.mountPoint} failed: ${message}`);
    }
  }
}

/** Mounts the file system and serves it until it is unmounted. */
export async function startFuseServer(
  options: FuseServerOptions,
): Promise<Result<FuseServer, ExportError>> {
  const { flags } = options.channel ?? polledChannel;
  let low: LowDescriptor;
  try {
    low = LowDescriptor.below('/dev/fuse', flags);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const isBusy = code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM';
    if (isBusy) return err({ kind: 'io', detail: `cannot open /dev/fuse: ${message}` });
    const detail = `cannot open /dev/fuse (${message}); load the fuse module`;
    return err({ kind: 'unsupported', detail });
  }
  const server = new FuseServer(options, low);
  abortAtExit(options.mountPoint);
  void server.closed.then(() => forgetAtExit(options.mountPoint));
  const mountOptions = `fd=3,${MOUNT_OPTIONS}`;
  const args = ['-i', '-t', 'fuse', '-o', mountOptions, options.name, options.mountPoint];
  const mounted = await exec('mount', args, { extraFds: [low.above] });
  server.mountEnded();
  if (mounted.code === 0) return ok(server);
  // It may have got as far as mounting before it failed.
  await unmountFuse(options.mountPoint, { force: true });
  await server.closed;
  const reason = mounted.failure ?? mounted.stderr.trim();
  return err({ kind: 'io', detail: `cannot mount ${options.mountPoint}: ${reason}` });
}

/**
 * Unmounts a FUSE file system. `force` aborts the connection first (umount2(2) MNT_FORCE): everything
 * pending and later fails, even if the mount itself has to stay because a process uses it.
 */
export async function unmountFuse(
  mountPoint: string,
  options: { readonly force: boolean },
): Promise<Result<void, ExportError>> {
  // -c: the path is canonical, and looking at it might wait for a server that does not answer.
  const args = options.force ? ['-i', '-c', '-f', mountPoint] : ['-i', '-c', mountPoint];
  const done = await exec('umount', args);
  if (done.code === 0) return ok(undefined);
  const reason = done.failure ?? done.stderr.trim();
  const kind = /busy/.test(reason) ? 'busy' : 'io';
  return err({ kind, detail: `cannot unmount ${mountPoint}: ${reason}` });
}
