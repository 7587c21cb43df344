/**
 * A logged-in session on a socket: the shell around protocol/iscsi's FullFeature. This file decides about
 * the timing (one flush per event-loop turn, the keep-alive) and the buffers' lifetime (no command is
 * reported before the kernel has taken its payload, or the socket is closed).
 *
 * Writes are collected until the end of the batch of requests that cause them, or until setImmediate,
 * and go out corked, as one writev: that, not promises or copies, decides throughput (+40 % against a
 * write per PDU). With few commands under way there is nothing to collect, and what follows from a
 * chunk received goes out when the chunk is worked off: 10 to 20 % less processor time a command at
 * queue depth 1. Above HIGH_WATER bytes in the socket nothing new is put there, so that an `abort`
 * leaves little behind and memory stays bounded. It is not larger because Node tells only of whole
 * batches that the kernel has taken them: on a slow link that is the grain of `progress`.
 */
import type { Socket } from 'node:net';
import { err, ok, type Result } from '../../base/result.ts';
import type { Portal, ScsiCommand, Session, TransportFailure } from '../../ports/session.ts';
import type { Framer } from '../../protocol/iscsi/framer.ts';
import type { AsyncMessage } from '../../protocol/iscsi/receive.ts';
import {
  FullFeature,
  type SessionEnd,
  type SessionOwner,
} from '../../protocol/iscsi/full-feature.ts';
import { TaskFunction } from '../../protocol/iscsi/tasks.ts';
import { afterBatch } from '../batch.ts';
import { dataCrc32c } from './data-crc32c.ts';
import { socketFailure } from './initiator-errors.ts';
import type { Connection } from './login-attempt.ts';

const HIGH_WATER = 1024 * 1024;
/** Commands under way up to which a flush does not wait for others to join it. */
const FEW = 8;
const KEEP_ALIVE_MS = 5000;
/**
 * Time for commands under way and the logout itself when the target asks us to go (async event 1).
 */
const ASKED_TO_LEAVE_MS = 3000;

/**
 * Written behind a batch that waits for room, to be told when that has been taken. A callback with every
 * batch would be a turn of Node's tick queue for each.
 */
const NOTHING = Buffer.alloc(0);

/** Task Management Function Response (RFC 7143 11.6.1). */
const MANAGEMENT_RESPONSES = new Map<number, string>([
  [1, 'task does not exist'],
  [2, 'LUN does not exist'],
  [3, 'task still allegiant'],
  [4, 'task allegiance reassignment not supported'],
  [5, 'function not supported'],
  [6, 'function authorization failed'],
  [255, 'function rejected'],
]);

export class SocketSession implements Session, SessionOwner {
  readonly closed: Promise<TransportFailure>;
  readonly portal: Portal;
  readonly #socket: Socket;
  readonly #framer: Framer;
  readonly #core: FullFeature;
  readonly #onAsync: (message: AsyncMessage) => void;
  readonly #keepAlive: NodeJS.Timeout;
  #resolveClosed: (failure: TransportFailure) => void = () => undefined;
  #flushScheduled = false;
  /** The flush comes at the end of the chunk that is being worked off. */
  #flushWhenPushed = false;
  #socketClosed = false;
  #pdusAtLastTick = 0;
  /** Batches given to the socket, and how many of them it has confirmed. */
  #batches = 0;
  #confirmed = 0;
  /** Number of the first batch that the kernel has not taken at once. */
  #waitsFrom = Infinity;
  /** Commands that came after the end; they count as outstanding until reported. */
  #late = 0;
  /** Task management functions that wait for their answer. */
  readonly #onEnd = new Set<(failure: TransportFailure) => void>();

  /** Takes over socket and framer from the login. */
  constructor(
    { socket, framer, login, portal }: Connection,
    lun: number,
    onAsync: (message: AsyncMessage) => void,
    fastAbort?: boolean,
  ) {
    this.portal = portal;
    this.#socket = socket;
    this.#framer = framer;
    framer.onPushed = this.#onPushed;
    this.#onAsync = onAsync;
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    const dataCrc = login.parameters.dataDigest ? dataCrc32c() : undefined;
    this.#core = new FullFeature(framer, login, lun, this, { dataCrc, fastAbort });
    this.#keepAlive = setInterval(this.#tick, KEEP_ALIVE_MS).unref();
    socket.on('error', (error) => this.#core.fail(asEnd(socketFailure(error, true))));
    socket.on('end', () => {
      this.#core.fail({ kind: 'reset', detail: 'target closed the connection' });
    });
    socket.on('close', this.#onClose);
  }

  get outstanding(): number {
    return this.#core.outstanding + this.#late;
  }

  get progress(): number {
    return this.#core.progress;
  }

  get heard(): number {
    return this.#core.receiver.pdus;
  }

  ping(): void {
    this.#core.ping();
  }

  execute(command: ScsiCommand): void {
    if (this.#core.end === undefined) {
      this.#core.execute(command);
      return;
    }
    this.#late++;
    setImmediate(() => {
      this.#late--;
      command.done({ kind: 'lost' });
    });
  }

  resetLogicalUnit(timeoutMs: number): Promise<Result<void, TransportFailure>> {
    return this.#managed('LOGICAL UNIT RESET', timeoutMs, (onResponse) =>
      this.#core.manage(TaskFunction.LOGICAL_UNIT_RESET, onResponse),
    );
  }

  /** As `resetLogicalUnit`, for the commands of this session alone. */
  abortTaskSet(timeoutMs: number): Promise<Result<void, TransportFailure>> {
    return this.#managed('ABORT TASK SET', timeoutMs, (onResponse) =>
      this.#core.manage(TaskFunction.ABORT_TASK_SET, onResponse),
    );
  }

  /** As `resetLogicalUnit`, for one command, which must not have been answered. */
  abortTask(command: ScsiCommand, timeoutMs: number): Promise<Result<void, TransportFailure>> {
    return this.#managed('ABORT TASK', timeoutMs, (onResponse) =>
      this.#core.abortTask(command, onResponse),
    );
  }

  abort(reason: string): void {
    this.#core.fail({ kind: 'aborted', detail: reason });
  }

  /** Commands that the window has not let out yet are reported lost. */
  async logout(timeoutMs: number): Promise<void> {
    if (this.#core.end === undefined) {
      this.#core.logout();
      this.#abortAfter(timeoutMs, 'no answer to logout');
    }
    await this.closed;
  }

  // ------------------------------------------------------------------------- from the protocol

  wantFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    if (this.#framer.busy && this.#core.outstanding <= FEW) this.#flushWhenPushed = true;
    else afterBatch(this.#flush);
  }

  ended(end: SessionEnd): void {
    clearInterval(this.#keepAlive);
    this.#socket.resetAndDestroy();
    for (const tell of [...this.#onEnd]) tell(end);
  }

  asynchronous(message: AsyncMessage): void {
    this.#onAsync(message);
    if (message.event === 1 || message.event === 4) {
      this.#abortAfter(ASKED_TO_LEAVE_MS, 'target asked us to log out and did not answer');
    }
  }

  // ---------------------------------------------------------------------------------- helpers

  /** Kind `protocol` with the connection still up: the target answered that it did not do it. */
  async #managed(
    name: string,
    timeoutMs: number,
    begin: (onResponse: (response: number) => void) => boolean,
  ): Promise<Result<void, TransportFailure>> {
    const { end } = this.#core;
    if (end !== undefined) return err(end);
    return await new Promise((resolve) => {
      const finish = (result: Result<void, TransportFailure>): void => {
        clearTimeout(timer);
        this.#onEnd.delete(onEnd);
        resolve(result);
      };
      const onEnd = (failure: TransportFailure): void => finish(err(failure));
      const timer = setTimeout(() => {
        finish(err({ kind: 'timeout', detail: `no answer to ${name} within ${timeoutMs} ms` }));
      }, timeoutMs);
      this.#onEnd.add(onEnd);
      const queued = begin((response) => {
        const reason = MANAGEMENT_RESPONSES.get(response) ?? `response ${response}`;
        if (response === 0) finish(ok(undefined));
        else finish(err({ kind: 'protocol', detail: `${name}: ${reason}` }));
      });
      if (!queued) finish(err({ kind: 'protocol', detail: `${name}: not possible now` }));
    });
  }

  readonly #onPushed = (): void => {
    if (!this.#flushWhenPushed) return;
    this.#flushWhenPushed = false;
    this.#flush();
  };

  readonly #flush = (): void => {
    this.#flushScheduled = false;
    const socket = this.#socket;
    const buffers = this.#core.nextBatch(HIGH_WATER - socket.writableLength);
    const last = buffers.length - 1;
    if (last < 0) return;
    if (last > 0) socket.cork();
    for (const buffer of buffers) socket.write(buffer);
    if (last > 0) socket.uncork();
    this.#batches++;
    if (socket.writableLength === 0 && this.#confirmed === this.#batches - 1) {
      // The kernel has taken all of it already, as nearly always.
      this.#waitsFrom = Infinity;
      this.#onWritten();
      return;
    }
    if (socket.writableLength === 0) this.#waitsFrom = Infinity;
    else if (this.#waitsFrom === Infinity) this.#waitsFrom = this.#batches;
    socket.write(NOTHING, this.#onWritten);
  };

  /** Once for each batch, in order; with an error when the socket dies, then 'close' follows. */
  readonly #onWritten = (error?: Error | null): void => {
    this.#confirmed++;
    if (error === undefined || error === null) {
      this.#core.flushed(this.#confirmed >= this.#waitsFrom);
    }
  };

  readonly #tick = (): void => {
    if (this.#core.receiver.pdus === this.#pdusAtLastTick) this.#core.ping();
    this.#pdusAtLastTick = this.#core.receiver.pdus;
  };

  #abortAfter(delayMs: number, reason: string): void {
    const timer = setTimeout(() => {
      this.abort(reason);
    }, delayMs).unref();
    this.#onEnd.add(() => clearTimeout(timer));
  }

  readonly #onClose = (): void => {
    if (this.#socketClosed) return;
    this.#socketClosed = true;
    this.#core.fail({ kind: 'reset', detail: 'connection closed' });
    const end = this.#core.end ?? { kind: 'reset', detail: 'connection closed' };
    this.#core.abandon();
    this.#resolveClosed(end);
  };
}

/** Errors of an established connection; a refusal cannot be among them. */
function asEnd(failure: TransportFailure): SessionEnd {
  const { kind, detail } = failure;
  return { kind: kind === 'timeout' || kind === 'unreachable' ? kind : 'reset', detail };
}
