/**
 * What a fence asks of a logical unit through one session: that every task has ended, and that its write
 * cache is empty. A target that falls silent is left fast, whatever its commands may take.
 */
import { err, type Result } from '../../base/result.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Session, TransportFailure } from '../../ports/session.ts';
import type { CommandContext } from './command.ts';
import { emptyCache } from './empty-cache.ts';
import type { PathFault } from './probe-answer.ts';
import { unanswered, whileAnswering } from './while-answering.ts';

/**
 * Limits of one rung, ms. A login, and every sign of life after it, has `stepMs`: a silent portal is left
 * that fast, whatever its commands may take.
 */
export interface FenceLimits {
  readonly stepMs: number;
  readonly resetMs: number;
  readonly flushMs: number;
}

type Done = Result<void, TransportFailure>;

export interface UnitResetOptions {
  readonly clock: Clock;
  readonly open: (session: Session, deadlineMs: number) => CommandContext;
  /** Registers the session; the error says why it cannot be. */
  readonly join: (session: Session, deadlineMs: number) => Promise<Result<void, PathFault>>;
}

export class UnitReset {
  readonly #options: UnitResetOptions;

  constructor(options: UnitResetOptions) {
    this.#options = options;
  }

  /** LOGICAL UNIT RESET, then SYNCHRONIZE CACHE. */
  endTasks(session: Session, { stepMs, resetMs, flushMs }: FenceLimits): Promise<Done> {
    const work = async (): Promise<Done> => {
      const reset = await session.resetLogicalUnit(resetMs);
      return reset.ok ? this.#emptyCache(session, flushMs) : reset;
    };
    return this.#whileAnswering(session, stepMs, work());
  }

  /** SYNCHRONIZE CACHE. */
  flush(session: Session, { stepMs, flushMs }: FenceLimits): Promise<Done> {
    return this.#whileAnswering(session, stepMs, this.#emptyCache(session, flushMs));
  }

  async #whileAnswering(session: Session, stepMs: number, work: Promise<Done>): Promise<Done> {
    const { clock } = this.#options;
    const done = await whileAnswering(session, { clock, stepMs }, work);
    return done === 'silent' ? unanswered(stepMs) : done;
  }

  async #emptyCache(session: Session, timeoutMs: number): Promise<Done> {
    const { open, join } = this.#options;
    let emptied = await emptyCache(open(session, timeoutMs));
    if (!emptied.ok && emptied.error.kind === 'reservation-conflict') {
      // The unit is reserved, and for some targets a new session is not registered.
      await join(session, timeoutMs);
      emptied = await emptyCache(open(session, timeoutMs));
    }
    return emptied.ok ? emptied : err({ kind: 'timeout', detail: emptied.error.detail });
  }
}
