/**
 * How a server gets its requests from /dev/fuse, and gives its replies. Two ways: fuse-polled.ts, and
 * fuse-parked.ts where Node does not let the descriptor into its event loop.
 *
 * A channel owns its descriptor: it closes it when the kernel says that the connection is gone, and writes
 * nothing to its number afterwards, which may be another file's by then.
 */
import type { BufferPool } from './fuse-buffers.ts';

/** What the requests are for. */
export interface FuseRequests {
  /** Requests that were received and are not answered yet, without those that are answered at once. */
  readonly underWay: number;
  /**
   * A request is in the first `size` bytes of `buffer`. Answers with the buffer to read the next one
   * into: another one where this one was kept.
   */
  received(buffer: Buffer, size: number): Buffer;
}

export interface FuseChannel {
  /** Resolves when nothing is read any more and the descriptor is closed. */
  readonly closed: Promise<undefined>;
  /** mount(8) has succeeded, or has not: from now on EPERM is the end. */
  mountEnded(): void;
  /** Throws what write(2) says. Without effect when the descriptor is closed. */
  write(bytes: Buffer, length: number): void;
}

export interface ChannelOptions {
  readonly mountPoint: string;
  readonly pool: BufferPool;
  /** One line about something unexpected. */
  readonly log: (message: string) => void;
}

/** A way to read /dev/fuse. */
export interface ChannelKind {
  /** Of open(2). */
  readonly flags: number;
  /**
   * The descriptor is read from now on: mount(8) looks at the new mount before it exits. No request comes
   * before this has returned.
   */
  readonly start: (fd: number, requests: FuseRequests, options: ChannelOptions) => FuseChannel;
}
