/**
 * How one path logs in: with the volume's credentials and digests of that moment, never again with
 * credentials that were just refused (login-gate.ts), and so that a login under way can be stopped.
 */
import { assert } from '../../base/assert.ts';
import { err, ok, type Result } from '../../base/result.ts';
import type { Policy } from '../../paths/policy.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  ChapCredentials,
  Initiator,
  Portal,
  Session,
  SessionTarget,
  TransportFailure,
} from '../../ports/session.ts';
import { formatPortal } from '../../protocol/iscsi/address.ts';
import { LoginGate } from './login-gate.ts';

export type LoginParameters = Pick<Policy, 'headerDigest' | 'dataDigest'>;

export interface PathLoginOptions {
  readonly target: SessionTarget;
  readonly isid: string;
  readonly initiatorName: string;
  readonly clock: Clock;
  readonly initiator: Initiator;
  /** Asked at each login; undefined: no CHAP. */
  readonly credentials: () => ChapCredentials | undefined;
  readonly policy: () => LoginParameters;
}

export class PathLogin {
  readonly #options: PathLoginOptions;
  readonly #gate: LoginGate;
  /** Invariant: one at a time, for two logins of one ISID would reinstate each other. */
  #underWay: AbortController | undefined;

  constructor(options: PathLoginOptions) {
    this.#options = options;
    this.#gate = new LoginGate(options.isid);
  }

  /** Connects and logs in, at the configured portal or at `at`. One at a time: the ISID is one. */
  async connect(timeoutMs: number, at?: Portal): Promise<Result<Session, TransportFailure>> {
    const { initiator, initiatorName, isid, clock } = this.#options;
    const chap = this.#options.credentials();
    const refused = this.#gate.check(chap, clock.now());
    if (refused !== undefined) return err(refused);
    assert(this.#underWay === undefined, 'one login of a path at a time');
    const controller = new AbortController();
    this.#underWay = controller;
    const { signal } = controller;
    const target = { ...this.#options.target, ...at };
    const credentials = chap === undefined ? {} : { credentials: chap };
    const { headerDigest, dataDigest } = this.#options.policy();
    const wanted = { ...credentials, headerDigest, dataDigest };
    const options = { target, initiatorName, isid, timeoutMs, signal, ...wanted };
    const connected = await initiator.connect(options);
    this.#underWay = undefined;
    if (!connected.ok) return err(this.#gate.failed(connected.error, chap, clock.now()));
    this.#gate.succeeded();
    return ok(connected.value);
  }

  /** Stops a login that is under way; later ones are not affected. */
  abort(): void {
    this.#underWay?.abort();
  }
}

/** Where the old session was is where its commands are: a reset elsewhere proves nothing. */
export function astray(at: Portal | undefined, is: Portal): string | undefined {
  if (at === undefined || (at.host === is.host && at.port === is.port)) return undefined;
  return `writes are at ${formatPortal(at)}, which redirects to ${formatPortal(is)}`;
}
