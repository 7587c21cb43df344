/**
 * The iSCSI initiator: from a target's name and address to a Session. Sockets live in
 * login-attempt.ts and initiator-session.ts; what is said over them is protocol/iscsi's business. Here
 * is what an attempt does around a login: credentials, and following redirects.
 *
 * A redirect (RFC 7143 11.13.5, class 1) is followed at once, with the same ISID and everything proved
 * anew at each hop, at most MAX_HOPS times, never to a portal that has already sent us on, and all of it
 * within the one timeout. After a temporary one (0101) the next attempt asks the configured portal again.
 * Addresses that only this node can reach are not followed (announced-address.ts). A permanent one (0102)
 * is remembered, in memory only, and forgotten as soon as the new portal does not serve. The
 * configuration is the operator's; a wrong redirect must have no lasting effect.
 */
import { randomInt } from 'node:crypto';
import { connect as connectSocket } from 'node:net';
import { err, ok, type Result } from '../../base/result.ts';
import type {
  ConnectOptions,
  Initiator,
  Portal,
  Session,
  SessionTarget,
  TransportFailure,
} from '../../ports/session.ts';
import { formatPortal } from '../../protocol/iscsi/address.ts';
import { type ChapCrypto, checkSecrets } from '../../protocol/iscsi/chap.ts';
import type { LoginOptions } from '../../protocol/iscsi/login.ts';
import type { SessionOffers, SessionParameters } from '../../protocol/iscsi/negotiation.ts';
import type { AsyncMessage } from '../../protocol/iscsi/receive.ts';
import { refusalOf } from './announced-address.ts';
import { createChapCrypto } from './chap-crypto.ts';
import { socketFailure } from './initiator-errors.ts';
import { SocketSession } from './initiator-session.ts';
import { type Arrival, attemptLogin } from './login-attempt.ts';
import { resolveHost } from './resolve-host.ts';

/** Redirects that one login follows. */
const MAX_HOPS = 4;
/** Permanent redirects that are remembered; more targets than a node has paths. */
const MAX_MOVED = 4096;

export interface InitiatorEvents {
  /** The target sent an Asynchronous Message: for the log; the session has acted on it already. */
  readonly asynchronous?: (target: SessionTarget, message: AsyncMessage) => void;
  /** What was agreed on with the target: for the log. */
  readonly loggedIn?: (target: SessionTarget, parameters: SessionParameters) => void;
  /** Something that works and should be better: for the log. No secrets. */
  readonly warning?: (target: SessionTarget, text: string) => void;
}

/** `offers` replaces defaults of what every login offers. */
export function createInitiator(
  events: InitiatorEvents = {},
  offers: Partial<SessionOffers> = {},
): Initiator {
  const initiator = new SocketInitiator(events, offers);
  return { connect: (options) => initiator.connect(options), knock };
}

interface Moved extends Portal {
  /** The address of the configured portal that sent us there first. */
  readonly origin: string;
}

class SocketInitiator {
  readonly #events: InitiatorEvents;
  readonly #offers: Partial<SessionOffers>;
  readonly #crypto: ChapCrypto = createChapCrypto();
  /** Where targets have moved for good, by `keyOf`. */
  readonly #moved = new Map<string, Moved>();

  constructor(events: InitiatorEvents, offers: Partial<SessionOffers>) {
    this.#events = events;
    this.#offers = offers;
  }

  async connect(options: ConnectOptions): Promise<Result<Session, TransportFailure>> {
    const login = this.#loginOptions(options);
    if (!login.ok) return login;
    const deadline = performance.now() + options.timeoutMs;
    const key = keyOf(options.target);
    const moved = this.#moved.get(key);
    if (moved !== undefined) {
      const there = await this.#follow(options, login.value, deadline, moved);
      if (there.ok || there.error.kind === 'aborted') return there;
      this.#moved.delete(key);
      if (deadline <= performance.now()) return there;
    }
    return this.#follow(options, login.value, deadline);
  }

  #loginOptions(options: ConnectOptions): Result<LoginOptions, TransportFailure> {
    const { target, initiatorName, isid, credentials } = options;
    const { headerDigest = 'none', dataDigest = 'none' } = options;
    const checked = credentials === undefined ? ok([]) : checkSecrets(credentials);
    if (!checked.ok) return err({ kind: 'authentication', detail: checked.error });
    for (const text of checked.value) this.#events.warning?.(target, text);
    return ok({
      initiatorName,
      targetName: target.targetName,
      isid: Buffer.from(isid, 'hex'),
      cmdSn: randomInt(0x1_0000_0000),
      offers: { ...this.#offers, headerDigest, dataDigest },
      authentication:
        credentials === undefined ? undefined : { secrets: credentials, crypto: this.#crypto },
    });
  }

  /** Logs in at the configured portal, or at the one it has moved to, and wherever that sends us. */
  async #follow(
    options: ConnectOptions,
    login: LoginOptions,
    deadline: number,
    moved?: Moved,
  ): Promise<Result<Session, TransportFailure>> {
    let portal: Portal = moved ?? options.target;
    let origin = moved?.origin;
    const route = [formatPortal(portal)];
    for (;;) {
      const arrival = await this.#attempt(options, login, deadline, { portal, origin });
      if (!arrival.ok) {
        if (route.length === 1) return arrival;
        const { kind, detail } = arrival.error;
        return err({ kind, detail: `${detail} (redirected ${route.join(' -> ')})` });
      }
      if (arrival.value.kind === 'session') return ok(arrival.value.session);
      const { address, permanent, from } = arrival.value;
      origin ??= from;
      const next = formatPortal(address);
      const loop = route.includes(next);
      route.push(next);
      if (loop) return lost(`redirected in a circle: ${route.join(' -> ')}`);
      if (route.length > MAX_HOPS + 1) {
        return lost(`redirected more than ${MAX_HOPS} times: ${route.join(' -> ')}`);
      }
      portal = { host: address.host, port: address.port };
      if (permanent) this.#remember(keyOf(options.target), { ...portal, origin });
    }
  }

  #attempt(
    options: ConnectOptions,
    login: LoginOptions,
    deadline: number,
    { portal, origin }: { readonly portal: Portal; readonly origin: string | undefined },
  ): Promise<Result<Arrival<Session>, TransportFailure>> {
    const { target, signal, connectTimeoutMs } = options;
    const timeoutMs = Math.max(1, Math.ceil(deadline - performance.now()));
    const refusal =
      origin === undefined ? undefined : (address: string) => refusalOf(address, origin);
    const attempt = { portal, login, refusal, timeoutMs, connectTimeoutMs, signal };
    return attemptLogin<Session>(attempt, (connection) => {
      this.#events.loggedIn?.(target, connection.login.parameters);
      return new SocketSession(
        connection,
        target.lun,
        (message) => {
          this.#events.asynchronous?.(target, message);
        },
        options.fastAbort,
      );
    });
  }

  #remember(key: string, portal: Moved): void {
    this.#moved.delete(key);
    this.#moved.set(key, portal);
    for (const oldest of this.#moved.keys()) {
      if (this.#moved.size <= MAX_MOVED) break;
      this.#moved.delete(oldest);
    }
  }
}

function keyOf(target: SessionTarget): string {
  return `${formatPortal(target)} ${target.targetName}`;
}

function lost(detail: string): { readonly ok: false; readonly error: TransportFailure } {
  return err({ kind: 'login-rejected', detail: `login: ${detail}` });
}

type Knocked = 'accepted' | 'refused' | 'silent';

async function knock(target: SessionTarget, timeoutMs: number): Promise<Knocked> {
  const late = new Promise<undefined>((resolve) => {
    setTimeout(resolve, timeoutMs, undefined).unref();
  });
  const addresses = await Promise.race([resolveHost(target.host), late]);
  if (addresses?.ok !== true || addresses.value.length === 0) return 'silent';
  const { port } = target;
  const answers = await Promise.all(
    addresses.value.map((host) => knockAt({ host, port }, timeoutMs)),
  );
  if (answers.includes('accepted')) return 'accepted';
  return answers.includes('silent') ? 'silent' : 'refused';
}

async function knockAt(portal: Portal, timeoutMs: number): Promise<Knocked> {
  return await new Promise((resolve) => {
    const socket = connectSocket({ ...portal, autoSelectFamily: false });
    const answer = (result: Knocked): void => {
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
