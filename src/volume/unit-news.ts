/**
 * What the logical unit tells by itself, on whatever command it comes, and what follows from it (D29, D43):
 *
 *   deferred errors            acknowledged writes are lost: the volume fails
 *   2A/03, 2A/04, 2A/05        our keys were taken: looked into, unless it is all over
 *   29/xx, 2F/00               commands of this nexus have ended: a new login, and all of them again
 *   3F/0E, 3F/03, 2A/xx        not what it was: read again before the next write
 *   RESERVATION CONFLICT       somebody else has it, or the target has lost our key
 *
 * Nothing here is a verdict on a path.
 */
import type { Cause } from '../paths/model.ts';
import type { Clock } from '../ports/clock.ts';
import type { Sense, Session } from '../ports/session.ts';
import type { Dispatcher } from './io/dispatch.ts';
import {
  asksForIdentity,
  deferredText,
  endsOutstanding,
  tellsOfLoss,
  tellsWeAreFenced,
} from './unit/outcome.ts';
import type { PathBoard } from './link/path-board.ts';
import type { Duty, Reservations } from './reserve/reservations.ts';
import type { Switcher } from './switch/switcher.ts';

/** Refused again so soon after a new login, although everything is ours: somebody is in our way. */
const CONFLICT_AGAIN_MS = 1_000;

interface Parts {
  readonly clock: Clock;
  readonly dispatcher: Dispatcher;
  readonly board: PathBoard;
  readonly switcher: Switcher;
  readonly reservations: Reservations;
}

/** The end of the volume. */
interface Failing {
  hasFailed(): boolean;
  fail(why: string): void;
}

export class UnitNews {
  readonly #parts: Parts;
  readonly #duty: () => Duty;
  readonly #failing: Failing;
  readonly #isAsked: () => boolean;
  #lastConflict = -Infinity;
  /** Session whose conflict is, or was, looked into. */
  #conflicted: Session | undefined;

  /** `isAsked`: keys that are gone make this node ask for its claim. */
  constructor(parts: Parts, duty: () => Duty, failing: Failing, isAsked: () => boolean) {
    this.#parts = parts;
    this.#isAsked = isAsked;
    this.#duty = duty;
    this.#failing = failing;
  }

  /** A unit attention, or a deferred error, on any path. */
  attention(path: string | undefined, sense: Sense): void {
    const { board, dispatcher, reservations, switcher } = this.#parts;
    const { route, ledger } = dispatcher;
    if (path === undefined || this.#failing.hasFailed()) return;
    if (tellsOfLoss(sense)) {
      this.#failing.fail(`acknowledged writes are lost: ${path} has a ${deferredText(sense)}`);
      return;
    }
    const session = board.link(path)?.verified?.session;
    const registered = session !== undefined && reservations.has(session);
    if (tellsWeAreFenced(sense)) {
      // A login may see what was said to the one before it: it registers anew in a moment.
      if (registered) void this.#inspect(path);
      else if (session !== undefined || this.#duty() === 'none') {
        this.#failing.fail('another node took the volume: reservation preempted');
      }
      return;
    }
    if (registered && endsOutstanding(sense)) {
      // Its power may be gone, and every key with it: not one write until they were looked at.
      const waits = path === route?.path && this.#isAsked();
      if (waits) dispatcher.freeze();
      void this.#inspect(path).then(() => {
        if (waits) switcher.recheck();
      });
    }
    if (path !== route?.path || board.link(path)?.verified === undefined) {
      // A login sees the attentions of its own new nexus: nothing was outstanding on it.
    } else if (endsOutstanding(sense) && ledger.issued + ledger.log.count > 0) {
      // What was acknowledged and not flushed may be gone as well.
      dispatcher.distrust();
      const detail = 'the target has ended the commands of this nexus (unit attention)';
      const cause: Cause = { kind: 'connection-reset', detail };
      switcher.restart(path, cause);
    } else if (asksForIdentity(sense)) switcher.recheck();
  }

  /**
   * A command of ours was refused for a reservation. Nothing goes out on the current path until it is
   * known whose it is.
   */
  conflict(path: string | undefined, detail: string): void {
    const { board, dispatcher, reservations } = this.#parts;
    const session = path === undefined ? undefined : board.link(path)?.verified?.session;
    const registered = session !== undefined && reservations.has(session);
    if (path === undefined || !registered) {
      this.#failing.fail(`another node took the volume: ${detail}`);
      return;
    }
    // Of many commands that are refused at once the first asks.
    if (this.#conflicted === session) return;
    this.#conflicted = session;
    if (path === dispatcher.route?.path) dispatcher.freeze();
    void this.#inspect(path, detail);
  }

  /** Keys have changed, or may have. `conflict`: a command was refused for it. */
  async #inspect(path: string, conflict?: string): Promise<void> {
    const { board, clock, reservations } = this.#parts;
    const session = board.link(path)?.verified?.session;
    const finding = await reservations.inspect(path);
    if (this.#failing.hasFailed() || session !== board.link(path)?.verified?.session) return;
    const now = clock.now();
    const again = conflict !== undefined && now - this.#lastConflict < CONFLICT_AGAIN_MS;
    if (conflict !== undefined) this.#lastConflict = now;
    if (finding === 'fenced' || (finding === 'fine' && again)) {
      this.#failing.fail(`another node took the volume: ${conflict ?? 'reservation preempted'}`);
    } else if (finding === 'lost' || conflict !== undefined) {
      this.#relogin(path, conflict ?? 'the target has lost our registration');
    }
  }

  /** A new login registers anew; what was refused is sent again. */
  #relogin(path: string, detail: string): void {
    const { board, dispatcher, switcher } = this.#parts;
    if (path !== dispatcher.route?.path) void board.sever(path, detail);
    else switcher.restart(path, { kind: 'connection-reset', detail });
  }
}
