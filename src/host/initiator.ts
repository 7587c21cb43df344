/**
 * The iSCSI initiator: TCP connect, login, and out comes a Session. Sockets live here and in
 * initiator-session.ts; what is said over them is protocol/iscsi's business.
 *
 * The socket reads into one preallocated buffer (`onread`) that is parsed in place. Node cannot set
 * TCP_USER_TIMEOUT, so a dead peer is noticed by nobody below us: the volume's deadlines and
 * `abort` (RST) are what bounds that.
 */
import { randomInt } from 'node:crypto';
import { connect as connectSocket, type Socket } from 'node:net';
import { err, ok, type Result } from '../base/result.ts';
import { Framer } from '../protocol/iscsi/framer.ts';
import { Login, type LoggedIn, type LoginStep } from '../protocol/iscsi/login.ts';
import type { AsyncMessage } from '../protocol/iscsi/receive.ts';
import type {
  ConnectOptions,
  Initiator,
  Session,
  SessionTarget,
  TransportFailure,
} from '../volume/ports.ts';
import { socketFailure } from './initiator-errors.ts';
import { SocketSession } from './initiator-session.ts';

const RECEIVE_BUFFER = 256 * 1024;
const KEEP_ALIVE_DELAY_MS = 10_000;

export interface InitiatorEvents {
  /** The target sent an Asynchronous Message: for the log; the session has acted on it already. */
  readonly asynchronous?: (target: SessionTarget, message: AsyncMessage) => void;
}

export function createInitiator(events: InitiatorEvents = {}): Initiator {
  return {
    connect: (options) => connect(options, events),
    knock,
  };
}

/** One attempt: whatever happens first of login, failure, timeout and abort settles it. */
class Attempt {
  readonly #options: ConnectOptions;
  readonly #events: InitiatorEvents;
  readonly #settle: (result: Result<Session, TransportFailure>) => void;
  readonly #socket: Socket;
  readonly #framer: Framer;
  readonly #login: Login;
  readonly #timer: NodeJS.Timeout;
  #connected = false;
  #over = false;

  constructor(
    options: ConnectOptions,
    events: InitiatorEvents,
    settle: (result: Result<Session, TransportFailure>) => void,
  ) {
    const { target, initiatorName, isid, timeoutMs, signal } = options;
    const { headerDigest = 'none', dataDigest = 'none' } = options;
    this.#options = options;
    this.#events = events;
    this.#settle = settle;
    this.#login = new Login(
      { initiatorName, targetName: target.targetName, isid: Buffer.from(isid, 'hex') },
      randomInt(0x1_0000_0000),
      (into, at) => this.#framer.receiveInto(into, at),
      this.#onStep,
      { headerDigest, dataDigest },
    );
    this.#framer = new Framer(this.#login);
    this.#socket = this.#open(target);
    this.#timer = setTimeout(() => {
      const phase = this.#connected ? 'login' : 'connection';
      this.#fail({ kind: 'timeout', detail: `no ${phase} within ${timeoutMs} ms` });
    }, timeoutMs);
    signal?.addEventListener('abort', this.#onAbort);
  }

  #open(target: SessionTarget): Socket {
    const buffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER);
    const socket = connectSocket({
      host: target.host,
      port: target.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
      onread: {
        buffer,
        callback: (length): boolean => {
          this.#framer.push(buffer, length);
          return true;
        },
      },
    });
    socket.once('connect', this.#onConnect);
    socket.on('error', this.#onError);
    socket.on('close', this.#onGone);
    socket.on('end', this.#onGone);
    return socket;
  }

  readonly #onConnect = (): void => {
    this.#connected = true;
    if (!this.#over) this.#socket.write(this.#login.start());
  };

  readonly #onError = (error: Error): void => {
    this.#fail(socketFailure(error, this.#connected));
  };

  readonly #onGone = (): void => {
    this.#fail({ kind: 'reset', detail: 'target closed the connection during login' });
  };

  readonly #onAbort = (): void => {
    this.#fail({ kind: 'aborted', detail: 'connection attempt cancelled' });
  };

  readonly #onStep = (step: LoginStep): void => {
    if (this.#over) return;
    switch (step.kind) {
      case 'send':
        this.#socket.write(step.pdu);
        return;
      case 'failed':
        this.#fail(step.failure);
        return;
      case 'done':
        this.#succeed(step.session);
        return;
    }
  };

  #succeed(login: LoggedIn): void {
    this.#finish();
    const socket = this.#socket;
    socket.off('error', this.#onError);
    socket.off('close', this.#onGone);
    socket.off('end', this.#onGone);
    const { target } = this.#options;
    const session = new SocketSession(socket, this.#framer, login, target.lun, (message) => {
      this.#events.asynchronous?.(target, message);
    });
    this.#settle(ok(session));
  }

  /** The error listener stays: a socket that dies later must not crash the process. */
  #fail(failure: TransportFailure): void {
    if (this.#over) return;
    this.#finish();
    // A socket that is still connecting would wait for the connection before it resets.
    if (this.#connected) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
    this.#settle(err(failure));
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
  }
}

async function connect(
  options: ConnectOptions,
  events: InitiatorEvents,
): Promise<Result<Session, TransportFailure>> {
  if (options.signal?.aborted === true) {
    return err({ kind: 'aborted', detail: 'connection attempt cancelled' });
  }
  return await new Promise((resolve) => {
    new Attempt(options, events, resolve);
  });
}

async function knock(
  target: SessionTarget,
  timeoutMs: number,
): Promise<'accepted' | 'refused' | 'silent'> {
  return await new Promise((resolve) => {
    const socket = connectSocket({ host: target.host, port: target.port });
    const answer = (result: 'accepted' | 'refused' | 'silent'): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(answer, timeoutMs, 'silent');
    socket.once('connect', () => {
      answer('accepted');
    });
    socket.on('error', (error) => {
      answer(socketFailure(error, false).kind === 'refused' ? 'refused' : 'silent');
    });
  });
}
