/**
 * One attempt at one portal: name resolution, TCP connect, login. What happens first of success,
 * redirect, failure, timeout and abort is its result.
 *
 * A name is resolved at every attempt and nothing of it is kept: what a target's name means may change
 * while it is away. All its addresses, of both families, are tried in the resolver's order until one
 * accepts the connection; each gets an equal share of the time that is left. Node's own "happy
 * eyeballs" was turned down: it gives an address 250 ms, too little for a busy or distant target, and
 * its error tells only of the first address. An address that accepts is the one: a failed login there
 * is the answer of the attempt.
 *
 * The socket reads into one preallocated buffer (`onread`) that is parsed in place. Node cannot set
 * TCP_USER_TIMEOUT, so the kernel does not notice a dead peer: the volume's deadlines and `abort` (RST)
 * bound the wait.
 */
import { connect as connectSocket, type Socket } from 'node:net';
import { err, ok, type Result } from '../../base/result.ts';
import type { Portal, TransportFailure } from '../../ports/session.ts';
import { formatPortal, type TargetAddress } from '../../protocol/iscsi/address.ts';
import { Framer } from '../../protocol/iscsi/framer.ts';
import {
  type LoggedIn,
  Login,
  type LoginOptions,
  type LoginStep,
} from '../../protocol/iscsi/login.ts';
import { socketFailure } from './initiator-errors.ts';
import { resolveHost } from './resolve-host.ts';

/**
 * One for all connections: what is read is consumed before the read returns (framer.ts), so none of
 * them ever finds there what another has left. A buffer for each would be 256 KiB for every path of
 * every volume, and as much garbage for every attempt to reach a dead portal.
 */
const RECEIVE_BUFFER = Buffer.allocUnsafeSlow(256 * 1024);
const KEEP_ALIVE_DELAY_MS = 10_000;

/** A connection that has just left the login phase. */
export interface Connection {
  readonly socket: Socket;
  /** Its sink must be replaced before the callback returns: what follows the login is there already. */
  readonly framer: Framer;
  readonly login: LoggedIn;
  /** The address that it leads to. */
  readonly portal: Portal;
}

export interface AttemptOptions {
  /** Host name or address, and port. */
  readonly portal: Portal;
  readonly login: LoginOptions;
  /** Why an address of the portal may not be connected to; undefined: it may. Default: any may. */
  readonly refusal?: ((address: string) => string | undefined) | undefined;
  /** For all of it. */
  readonly timeoutMs: number;
  /** For the TCP connection, all addresses together; default: no limit of its own. */
  readonly connectTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type Arrival<T> =
  | { readonly kind: 'session'; readonly session: T }
  | {
      readonly kind: 'redirect';
      readonly address: TargetAddress;
      readonly permanent: boolean;
      /** The address that said so. */
      readonly from: string;
    };

/** `take` makes a session of the connection, synchronously. */
export function attemptLogin<T>(
  options: AttemptOptions,
  take: (connection: Connection) => T,
): Promise<Result<Arrival<T>, TransportFailure>> {
  return new Promise((finish) => {
    new Attempt(options, take, finish);
  });
}

class Attempt<T> {
  readonly #options: AttemptOptions;
  readonly #take: (connection: Connection) => T;
  readonly #report: (result: Result<Arrival<T>, TransportFailure>) => void;
  readonly #deadline: number;
  readonly #timer: NodeJS.Timeout;
  #connectTimer: NodeJS.Timeout | undefined;
  #socket: Socket | undefined;
  #phase: 'resolving' | 'connecting' | 'login' = 'resolving';
  #over = false;

  constructor(
    options: AttemptOptions,
    take: (connection: Connection) => T,
    report: (result: Result<Arrival<T>, TransportFailure>) => void,
  ) {
    this.#options = options;
    this.#take = take;
    this.#report = report;
    const { timeoutMs, signal, portal } = options;
    this.#deadline = performance.now() + timeoutMs;
    this.#timer = setTimeout(() => {
      this.#fail({ kind: 'timeout', detail: this.#whatIsLate(timeoutMs) });
    }, timeoutMs);
    if (signal?.aborted === true) this.#onAbort();
    else {
      signal?.addEventListener('abort', this.#onAbort);
      void this.#reach(portal);
    }
  }

  async #reach({ host, port }: Portal): Promise<void> {
    const addresses = await resolveHost(host);
    if (this.#isOver()) return;
    if (!addresses.ok) {
      this.#fail(addresses.error);
      return;
    }
    const refused = addresses.value.map((address) => this.#options.refusal?.(address));
    const why = refused.find((reason) => reason !== undefined);
    if (why !== undefined) {
      this.#fail({ kind: 'login-rejected', detail: `login: ${why}` });
      return;
    }
    this.#phase = 'connecting';
    const { timeoutMs, connectTimeoutMs = timeoutMs } = this.#options;
    const start = performance.now();
    const until = Math.min(this.#deadline, start + connectTimeoutMs);
    const failures: TransportFailure[] = [];
    for (const [index, address] of addresses.value.entries()) {
      const left = addresses.value.length - index;
      const limitMs = Math.ceil((until - performance.now()) / left);
      const opened = await this.#open({ host: address, port }, limitMs);
      if (opened.ok || this.#isOver()) return;
      failures.push(opened.error);
    }
    this.#fail(summary(failures));
  }

  /** Resolves well when the connection stands and login has begun. */
  #open(portal: Portal, limitMs: number): Promise<Result<void, TransportFailure>> {
    return new Promise((resolve) => {
      let framer: Framer | undefined;
      const socket = connectSocket({
        ...portal,
        autoSelectFamily: false,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
        onread: {
          buffer: () => framer?.readInto(RECEIVE_BUFFER) ?? RECEIVE_BUFFER,
          callback: (length, chunk): boolean => {
            framer?.push(chunk as Buffer, length);
            return true;
          },
        },
      });
      this.#socket = socket;
      const finish = (opened: Result<void, TransportFailure>): void => {
        clearTimeout(this.#connectTimer);
        socket.off('error', onError);
        resolve(opened);
      };
      const onError = (error: Error): void => {
        const failure = socketFailure(error, false);
        finish(err({ ...failure, detail: `${failure.detail} (${formatPortal(portal)})` }));
      };
      socket.on('error', onError);
      // The error listener of all time: a socket that dies later must not crash the process.
      socket.on('error', ignore);
      socket.once('connect', () => {
        finish(ok(undefined));
        if (!this.#over) framer = this.#logIn(socket, portal);
      });
      this.#connectTimer = setTimeout(() => {
        socket.destroy();
        const detail = `no TCP connection to ${formatPortal(portal)} within ${limitMs} ms`;
        finish(err({ kind: 'timeout', detail }));
      }, limitMs);
    });
  }

  #logIn(socket: Socket, portal: Portal): Framer {
    this.#phase = 'login';
    const onError = (error: Error): void => this.#fail(socketFailure(error, true));
    const onGone = (): void => {
      this.#fail({ kind: 'reset', detail: 'the target closed the connection during login' });
    };
    const onStep = (step: LoginStep): void => {
      if (this.#over) return;
      switch (step.kind) {
        case 'send':
          socket.write(step.pdu);
          return;
        case 'failed':
          this.#fail(step.failure);
          return;
        case 'redirect': {
          const { address, permanent } = step;
          this.#finish();
          socket.destroy();
          this.#report(ok({ kind: 'redirect', address, permanent, from: portal.host }));
          return;
        }
        case 'done':
          this.#finish();
          socket.off('error', onError);
          socket.off('close', onGone);
          socket.off('end', onGone);
          const connection = { socket, framer, login: step.session, portal };
          this.#report(ok({ kind: 'session', session: this.#take(connection) }));
          return;
      }
    };
    const login = new Login(
      this.#options.login,
      (into, at) => {
        framer.receiveInto(into, at);
      },
      onStep,
    );
    const framer = new Framer(login);
    socket.on('error', onError);
    socket.on('close', onGone);
    socket.on('end', onGone);
    socket.write(login.start());
    return framer;
  }

  #whatIsLate(timeoutMs: number): string {
    const portal = formatPortal(this.#options.portal);
    switch (this.#phase) {
      case 'resolving':
        return `${this.#options.portal.host} not resolved within ${timeoutMs} ms: check the node's DNS`;
      case 'connecting':
        return `no TCP connection to ${portal} within ${timeoutMs} ms`;
      case 'login':
        return `connected to ${portal}, but no login within ${timeoutMs} ms: the target hangs`;
    }
  }

  readonly #onAbort = (): void => {
    this.#fail({ kind: 'aborted', detail: 'connection attempt cancelled' });
  };

  /** A method, so that the compiler does not take an answer from before an await for granted. */
  #isOver(): boolean {
    return this.#over;
  }

  #fail(failure: TransportFailure): void {
    if (this.#over) return;
    this.#finish();
    // A socket that is still connecting would wait for the connection before it resets.
    if (this.#phase === 'login') this.#socket?.resetAndDestroy();
    else this.#socket?.destroy();
    this.#report(err(failure));
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#connectTimer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
  }
}

function ignore(): void {}

/**
 * What several addresses came to. "Refused" only if every one refuses: one that is silent may be the
 * target.
 */
function summary(failures: readonly TransportFailure[]): TransportFailure {
  const first = failures.find(({ kind }) => kind !== 'refused') ?? failures[0];
  if (first === undefined) return { kind: 'unreachable', detail: 'the name has no address' };
  return { kind: first.kind, detail: failures.map(({ detail }) => detail).join('; ') };
}
