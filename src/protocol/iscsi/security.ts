/**
 * The security stage of a login (RFC 7143 6.3.2, 12.1): which method, and CHAP if it is that.
 *
 *   nothing to prove, nothing asked   AuthMethod=None
 *   we prove who we are               AuthMethod=CHAP,None: a target that does not ask is no danger
 *   the target has to as well         AuthMethod=CHAP, and no way around it
 *
 * A target that leaves the stage with an exchange unfinished has skipped authentication and is
 * refused, as is one that never began what was demanded of it.
 */
import { printable } from '../../base/printable.ts';
import { err, ok, type Result } from '../../base/result.ts';
import { ChapExchange, type ChapCrypto, type ChapSecrets } from './chap.ts';
import type { LoginFailure } from './login-status.ts';
import type { KeyValues, Pairs } from './text.ts';

export interface Authentication {
  readonly secrets: ChapSecrets;
  readonly crypto: ChapCrypto;
}

const WANTED =
  'the target wants CHAP and no credentials are set: give the volume a nodeStageSecretRef with ' +
  'node.session.auth.username and node.session.auth.password';

export interface SecurityStep {
  readonly pairs: Pairs;
  /** We are ready to leave the stage. */
  readonly transit: boolean;
}

export class Security {
  readonly #authentication: Authentication | undefined;
  #method: 'CHAP' | 'None' | undefined;
  #chap: ChapExchange | undefined;
  #answered = false;

  constructor(authentication: Authentication | undefined) {
    this.#authentication = authentication;
  }

  /** Our first key. */
  offer(): Pairs {
    return [['AuthMethod', this.#offered.join(',')]];
  }

  /** A proof of ours has been sent: a refusal is likely to mean that. */
  get proofSent(): boolean {
    return this.#answered;
  }

  /** What to do about a refusal. */
  get advice(): string {
    if (this.#authentication === undefined) return WANTED;
    return this.#chap?.advice ?? 'check the CHAP settings of the target';
  }

  /** AuthMethod and CHAP keys of one whole answer. `transit`: the target leaves the stage with it. */
  receive(keys: KeyValues, transit: boolean): Result<SecurityStep, LoginFailure> {
    const picked = keys.get('AuthMethod');
    if (picked !== undefined) {
      const taken = this.#pick(picked);
      if (!taken.ok) return err({ kind: 'authentication', detail: taken.error });
      if (this.#chap !== undefined && !transit) return this.#begin(this.#chap, keys);
    } else {
      const step = this.#exchange(keys, transit);
      if (!step.ok || !transit) return step;
    }
    return this.#leave();
  }

  get #offered(): readonly string[] {
    if (this.#authentication === undefined) return ['None'];
    return this.#authentication.secrets.target === undefined ? ['CHAP', 'None'] : ['CHAP'];
  }

  /** Takes the target's choice. */
  #pick(method: string): Result<void, string> {
    if (this.#method !== undefined) return err('login: AuthMethod chosen twice');
    if (!this.#offered.includes(method)) {
      if (this.#authentication === undefined) return err(`login: ${WANTED}`);
      const offered = this.#offered.join(',');
      return err(`login: the target answers AuthMethod=${printable(method, 40)} to ${offered}`);
    }
    if (method === 'CHAP' && this.#authentication !== undefined) {
      this.#method = 'CHAP';
      this.#chap = new ChapExchange(this.#authentication.secrets, this.#authentication.crypto);
    } else this.#method = 'None';
    return ok(undefined);
  }

  #begin(chap: ChapExchange, keys: KeyValues): Result<SecurityStep, LoginFailure> {
    for (const key of keys.keys()) {
      if (key.startsWith('CHAP_')) return refused(`${key} out of order`);
    }
    return ok({ pairs: chap.offer(), transit: false });
  }

  #exchange(keys: KeyValues, transit: boolean): Result<SecurityStep, LoginFailure> {
    if (this.#chap === undefined) {
      const stray = [...keys.keys()].find((key) => key.startsWith('CHAP_'));
      return stray === undefined
        ? ok({ pairs: [], transit: true })
        : refused(`${stray} out of order`);
    }
    if (transit && !this.#answered) return this.#leave();
    const pairs = this.#chap.receive(keys);
    if (!pairs.ok) return refused(pairs.error);
    this.#answered = true;
    return ok({ pairs: pairs.value, transit: true });
  }

  #leave(): Result<SecurityStep, LoginFailure> {
    const unproved =
      this.#chap === undefined
        ? this.#authentication?.secrets.target !== undefined
        : !this.#chap.satisfied;
    return unproved
      ? refused('the target skips authentication, which is demanded of it')
      : ok({ pairs: [], transit: true });
  }
}

function refused(why: string): Result<never, LoginFailure> {
  return err({ kind: 'authentication', detail: `login: CHAP: ${why}` });
}
