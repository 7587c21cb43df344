/**
 * A character device in the event loop of Node. `net.Socket` takes a descriptor of a pipe or a socket
 * only, but the handle of a pipe (libuv's, behind each socket of a path) takes any that can be polled.
 * Node does not document this handle: here is all that is known of it, its test
 * (`test/unit/host/block/polled-file.test.ts`) fails when Node changes it, and fuse-trial.ts tries it at
 * the start of the process.
 *
 * - The descriptor is libuv's from `open` on: it is non-blocking (so is its open file, for whoever shares
 *   it), and closing the handle closes it, at once.
 * - libuv repeats a read after EINTR, and waits after EAGAIN. Any other error ends the reading for good:
 *   `readStart` says ENOTCONN then. Another `open` of the same descriptor makes it readable again, but
 *   not in the callback of the error: there the descriptor is still in use (EEXIST).
 * - `net.Socket` destroys itself after an error and at the end of a file, which would close the
 *   descriptor. So the class here does not: its owner decides.
 * - A descriptor that cannot be polled at all (an ordinary file) would abort the process.
 */
import { Socket, type SocketConstructorOpts } from 'node:net';
import { getSystemErrorName } from 'node:util';

export interface PolledFileOwner {
  /** Where the next read puts its data. */
  readonly buffer: Buffer;
  /** A read has put so many bytes at the start of the buffer. */
  received(size: number): void;
  /** A read has failed, with `EOF` at the end of the file. Nothing more is read before `restart`. */
  failed(error: NodeJS.ErrnoException): void;
  /** After `close`: libuv has let go of the buffer. */
  ended(): void;
}

export interface PolledFile {
  /** Reads again after an error, from a later callback than that of the error. Throws. */
  restart(): void;
  /** Closes the descriptor at once. */
  close(): void;
}

/** Reads the descriptor from now on; it belongs to the file. Throws, and then it does not. */
export type Poll = (fd: number, owner: PolledFileOwner) => PolledFile;

/** What is used of libuv's handle. Both answer 0, or an error number below it. */
interface PipeHandle {
  open(fd: number): number;
  readStart(): number;
}
type PipeClass = new (type: number) => PipeHandle;

/** `PipeConstants.SOCKET`. */
const SOCKET = 0;

let pipeClass: PipeClass | undefined;

/** A socket makes the handle of a pipe when it connects to a path, which here can be none. */
function findPipeClass(): PipeClass {
  if (pipeClass !== undefined) return pipeClass;
  const socket = new Socket();
  socket.on('error', () => undefined);
  socket.connect({ path: '/dev/null/none' });
  const handle = (socket as unknown as { readonly _handle: object })._handle;
  pipeClass = handle.constructor as PipeClass;
  socket.destroy();
  return pipeClass;
}

class PolledSocket extends Socket implements PolledFile {
  readonly #fd: number;
  readonly #handle: PipeHandle;
  readonly #owner: PolledFileOwner;

  constructor(fd: number, handle: PipeHandle, owner: PolledFileOwner) {
    const onread = {
      // Asked for at first, and after each callback.
      buffer: () => owner.buffer,
      callback: (size: number) => {
        owner.received(size);
        return true;
      },
    };
    const options = { handle, onread, manualStart: true, writable: false };
    super(options as unknown as SocketConstructorOpts);
    this.#fd = fd;
    this.#handle = handle;
    this.#owner = owner;
    this.on('close', () => owner.ended());
  }

  start(): void {
    check('readStart', this.#handle.readStart());
  }

  restart(): void {
    check('open', this.#handle.open(this.#fd));
    this.start();
  }

  /** By Node, after an error and at the end of the file. */
  override destroy(error?: Error): this {
    const end = Object.assign(new Error('EOF: end of file, read'), { code: 'EOF' });
    if (!this.destroyed) this.#owner.failed(error ?? end);
    return this;
  }

  close(): void {
    super.destroy();
  }
}

function check(call: string, result: number): void {
  if (result === 0) return;
  const code = getSystemErrorName(result);
  throw Object.assign(new Error(`${code}: ${call} of the pipe handle`), { code });
}

export function pollFile(fd: number, owner: PolledFileOwner): PolledFile {
  const handle = new (findPipeClass())(SOCKET);
  check('open', handle.open(fd));
  const socket = new PolledSocket(fd, handle, owner);
  socket.start();
  return socket;
}
