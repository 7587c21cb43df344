/**
 * Which targets does a portal have? A discovery session: login without a target name, SendTargets,
 * logout (RFC 7143 4.3). For people at a command line, not for the data path: paths are configured.
 *
 * A redirect is not followed: a portal that sends a discovery elsewhere says where, and the caller may
 * ask there.
 */
import { randomInt } from 'node:crypto';
import { err, ok, type Result } from '../../base/result.ts';
import type { ChapCredentials, Portal, TransportFailure } from '../../ports/session.ts';
import { formatPortal } from '../../protocol/iscsi/address.ts';
import { checkSecrets } from '../../protocol/iscsi/chap.ts';
import {
  type DiscoveryStep,
  SendTargets,
  type TargetEntry,
} from '../../protocol/iscsi/send-targets.ts';
import { createChapCrypto } from './chap-crypto.ts';
import { socketFailure } from './initiator-errors.ts';
import { attemptLogin, type Connection } from './login-attempt.ts';

export interface DiscoverOptions {
  /** Host name, IPv4 or IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly initiatorName: string;
  /** Six bytes as 12 hex digits; not that of a path: the target may end a session of the same ISID. */
  readonly isid: string;
  readonly credentials?: ChapCredentials;
  /** Ask for one target only; default: all that the portal tells of. */
  readonly targetName?: string;
  /** Bound for everything but the logout, which is not waited for longer than LOGOUT_MS. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface DiscoveredPortal extends Portal {
  /** Target Portal Group Tag; undefined: the target did not say. */
  readonly tpgt: number | undefined;
}

export interface DiscoveredTarget {
  readonly targetName: string;
  readonly portals: readonly DiscoveredPortal[];
}

const LOGOUT_MS = 500;

/** Targets in the order in which the portal names them. */
export async function discoverTargets(
  options: DiscoverOptions,
): Promise<Result<readonly DiscoveredTarget[], TransportFailure>> {
  const { host, port, initiatorName, isid, credentials, timeoutMs, signal } = options;
  const checked = credentials === undefined ? ok([]) : checkSecrets(credentials);
  if (!checked.ok) return err({ kind: 'authentication', detail: checked.error });
  const deadline = performance.now() + timeoutMs;
  const login = {
    initiatorName,
    targetName: undefined,
    isid: Buffer.from(isid, 'hex'),
    cmdSn: randomInt(0x1_0000_0000),
    authentication:
      credentials === undefined ? undefined : { secrets: credentials, crypto: createChapCrypto() },
  };
  const attempt = { portal: { host, port }, login, timeoutMs, signal };
  const arrival = await attemptLogin(
    attempt,
    (connection) => new Discovery(connection, options.targetName ?? 'All'),
  );
  if (!arrival.ok) return arrival;
  if (arrival.value.kind === 'redirect') {
    const where = formatPortal(arrival.value.address);
    return err({ kind: 'login-rejected', detail: `login: target moved to ${where}: ask there` });
  }
  const discovery = arrival.value.session;
  const found = await discovery.result(deadline - performance.now(), signal);
  if (!found.ok) return found;
  return ok(found.value.map((entry) => located(entry, { host, port })));
}

function located({ targetName, addresses }: TargetEntry, asked: Portal): DiscoveredTarget {
  // RFC 7143 Appendix C: no address means that of the discovery session.
  const portals = addresses.length > 0 ? addresses : [{ ...asked, tpgt: undefined }];
  return { targetName, portals };
}

class Discovery {
  readonly #connection: Connection;
  readonly #core: SendTargets;
  #finish: (result: Result<readonly TargetEntry[], TransportFailure>) => void = () => undefined;
  readonly #result: Promise<Result<readonly TargetEntry[], TransportFailure>>;
  #over = false;

  constructor(connection: Connection, what: string) {
    this.#connection = connection;
    this.#result = new Promise((resolve) => (this.#finish = resolve));
    const { socket, framer, login } = connection;
    this.#core = new SendTargets(
      login,
      (into, at) => {
        framer.receiveInto(into, at);
      },
      this.#onStep,
    );
    framer.sink = this.#core;
    socket.on('error', (error) => {
      this.#fail(socketFailure(error, true));
    });
    const onGone = (): void => {
      this.#fail({ kind: 'reset', detail: 'the target closed the connection during discovery' });
    };
    socket.on('end', onGone);
    socket.on('close', onGone);
    socket.write(this.#core.start(what));
  }

  /** Resolves when the list is there, or the failure. */
  async result(
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Result<readonly TargetEntry[], TransportFailure>> {
    const onAbort = (): void => {
      this.#fail({ kind: 'aborted', detail: 'discovery cancelled' });
    };
    const timer = setTimeout(() => {
      this.#fail({ kind: 'timeout', detail: 'logged in, but no list of targets in time' });
    }, timeoutMs);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort);
    const result = await this.#result;
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    return result;
  }

  readonly #onStep = (step: DiscoveryStep): void => {
    const { socket } = this.#connection;
    switch (step.kind) {
      case 'send':
        socket.write(step.pdu);
        return;
      case 'failed':
        this.#fail({ kind: 'protocol', detail: step.detail });
        return;
      case 'done':
        this.#over = true;
        this.#finish(ok(step.targets));
        socket.write(this.#core.logout());
        // The answer is in; a target that does not let us go is left.
        setTimeout(() => socket.destroy(), LOGOUT_MS).unref();
        return;
      case 'left':
        socket.destroy();
        return;
    }
  };

  #fail(failure: TransportFailure): void {
    if (this.#over) {
      this.#connection.socket.destroy();
      return;
    }
    this.#over = true;
    this.#connection.socket.resetAndDestroy();
    this.#finish(err(failure));
  }
}
