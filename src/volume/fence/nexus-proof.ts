/**
 * Whether a portal leads to where the session that was left has been (D14). Where addresses are fixed (policy
 * `portals: fixed`) it does. Where they float (VRRP, a Service, a load balancer) another gateway may have the
 * address by now: reinstatement there finds no old session and says nothing about it (RFC 7143 6.3.5: a login
 * with TSIH 0 is answered alike whether or not there was a session), and a reset there ends nothing of it.
 *
 * What proves it is the key that the old session has registered, and no other login: a device server that
 * shows it is the one that has the session's commands. It is looked for before the new session registers,
 * and taken away by that, so that where the unit is reserved the old session is refused from then on; the
 * LOGICAL UNIT RESET comes after it.
 */
import { err, ok, type Result } from '../../base/result.ts';
import type { Session, TransportFailure } from '../../ports/session.ts';
import type { CommandContext } from '../unit/command.ts';
import { answerText, type PathFault } from '../unit/probe-answer.ts';
import { readKeys } from '../unit/reserve-commands.ts';

const FLOATING = 'portals: floating';

/** Nothing could prove it, so nothing is tried. */
export function unprovable(): TransportFailure {
  const detail = `${FLOATING}: the session that was left had registered no key that could prove where it was`;
  return { kind: 'protocol', detail };
}

/** The address leads to a device server that does not know the session. */
function unproved(): TransportFailure {
  const detail =
    `${FLOATING}: the portal does not show the key of the session that was left: its address may have ` +
    'moved to another gateway';
  return { kind: 'protocol', detail };
}

export interface NexusProofOptions {
  /** Addresses may move; false: nothing has to be proved. */
  readonly isFloating: () => boolean;
  readonly open: (session: Session, deadlineMs: number) => CommandContext;
  /** Registers the session; the error says why it cannot be. */
  readonly join: (session: Session, deadlineMs: number) => Promise<Result<void, PathFault>>;
}

export class NexusProof {
  readonly #options: NexusProofOptions;
  /** A login at a gateway that does not know the session that was left. */
  #stranger: Session | undefined;

  constructor(options: NexusProofOptions) {
    this.#options = options;
  }

  /** Why a login would prove nothing; `current`: the session that there is. */
  refusal(key: string | undefined, current: Session | undefined): TransportFailure | undefined {
    if (!this.#options.isFloating()) return undefined;
    if (key === undefined) return unprovable();
    // As long as that login lasts the address has not moved back.
    return current !== undefined && current === this.#stranger ? unproved() : undefined;
  }

  /**
   * Found there the old session loses its registration to the new one, before a reset ends what it has begun.
   * Where it is not found the login stays, and a probe finds out what it leads to.
   */
  async prove(
    session: Session,
    key: string | undefined,
    stepMs: number,
  ): Promise<Result<void, TransportFailure>> {
    const { isFloating, open, join } = this.#options;
    if (!isFloating()) return ok(undefined);
    const keys = await readKeys(open(session, stepMs));
    if (!keys.ok) return err({ kind: 'timeout', detail: `${FLOATING}: ${keys.error.detail}` });
    if (key === undefined || !keys.value.includes(key)) {
      this.#stranger = session;
      return err(unproved());
    }
    const joined = await join(session, stepMs);
    if (joined.ok) return joined;
    session.abort('fence failed: cannot be registered');
    return err({ kind: 'protocol', detail: answerText(joined.error) });
  }
}
