/**
 * Keeps a path from logging in with credentials that were just refused. A probe (every second) or a fence
 * (four times a second) that asks gets the refusal again without a packet: a target that counts
 * failed logins locks the account, and one that logs them is flooded. Other credentials open the gate at
 * once; else it opens after a minute and a bit. The bit differs by path and try, so that many volumes do
 * not log in at the same moment.
 */
import type { Instant } from '../../base/brand.ts';
import { hash32 } from '../../base/hash.ts';
import type { ChapCredentials, TransportFailure } from '../../ports/session.ts';

const PAUSE_MS = 60_000;
const JITTER_MS = 15_000;

export class LoginGate {
  /** Spreads; any text that is the path's own. */
  readonly #key: string;
  #refused:
    | {
        readonly failure: TransportFailure;
        readonly credentials: string;
        readonly until: Instant;
      }
    | undefined;
  #refusals = 0;

  constructor(key: string) {
    this.#key = key;
  }

  /** The refusal that still stands for these credentials, if one does. */
  check(credentials: ChapCredentials | undefined, now: Instant): TransportFailure | undefined {
    const refused = this.#refused;
    if (refused === undefined || now >= refused.until) return undefined;
    return refused.credentials === identify(credentials) ? refused.failure : undefined;
  }

  /** A login has succeeded. */
  succeeded(): void {
    this.#refused = undefined;
  }

  /** A login has failed. The value: what to tell of it. */
  failed(
    failure: TransportFailure,
    credentials: ChapCredentials | undefined,
    now: Instant,
  ): TransportFailure {
    if (failure.kind !== 'authentication') return failure;
    this.#refusals++;
    const pause = PAUSE_MS + (hash32(this.#key, this.#refusals) % JITTER_MS);
    const detail = `${failure.detail}; next try in a minute, or with other credentials`;
    const told: TransportFailure = { kind: 'authentication', detail };
    const until = (now + pause) as Instant;
    this.#refused = { failure: told, credentials: identify(credentials), until };
    return told;
  }
}

/** Kept in memory only, beside the credentials themselves. */
function identify(credentials: ChapCredentials | undefined): string {
  return JSON.stringify(credentials ?? null);
}
