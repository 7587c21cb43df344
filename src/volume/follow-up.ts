/** Carries out what follows from the news of the logical unit; the tables are in unit-news.ts. */
import { assertNever } from '../base/assert.ts';
import type { Clock } from '../ports/clock.ts';
import type { Sense, Session } from '../ports/session.ts';
import type { Dispatcher } from './io/dispatch.ts';
import type { AnswerSignal } from './io/io-signal.ts';
import type { PathBoard } from './link/path-board.ts';
import type { RegistrySignal } from './reserve/reserve-signal.ts';
import type { Finding, Reservations } from './reserve/reservations.ts';
import type { Switcher } from './switch/switcher.ts';
import { deferredText } from './unit/outcome.ts';
import {
  type News,
  newsOf,
  type NewsStanding,
  type NewsStep,
  stepsAfter,
  stepsOf,
} from './unit-news.ts';

/** A conflict so soon after the one before it comes from outside. */
const CONFLICT_AGAIN_MS = 1_000;

export interface FollowUpOptions {
  readonly clock: Clock;
  readonly dispatcher: Dispatcher;
  readonly board: PathBoard;
  readonly switcher: Switcher;
  readonly reservations: Reservations;
  readonly hasFailed: () => boolean;
  /** Keys are wanted of each login. */
  readonly wantsKeys: () => boolean;
  /** Keys that are gone make this node ask for its claim. */
  readonly asksForClaim: () => boolean;
}

export type FollowUpSignal = Extract<
  AnswerSignal | RegistrySignal,
  { kind: 'writes-lost' | 'taken-over' }
>;

export class FollowUp {
  readonly #options: FollowUpOptions;
  readonly #emit: (signal: FollowUpSignal) => void;
  #lastConflict = -Infinity;
  /** Session whose conflict is, or was, looked into. */
  #conflicted: Session | undefined;

  constructor(options: FollowUpOptions, emit: (signal: FollowUpSignal) => void) {
    this.#options = options;
    this.#emit = emit;
  }

  /** A unit attention, or a deferred error, on any path. */
  attention(path: string, sense: Sense): void {
    const news = newsOf(sense);
    if (news === undefined || this.#options.hasFailed()) return;
    this.#carryOut(path, stepsOf(news, this.#standing(path)), detailOf(news, path, sense));
  }

  /**
   * A command of ours was refused for a reservation. Nothing goes out on the current path until it is
   * known whose it is.
   */
  conflict(path: string, detail: string): void {
    const steps = stepsOf('conflict', this.#standing(path));
    if (steps.includes('inspect')) this.#conflicted = this.#session(path);
    this.#carryOut(path, steps, detail, detail);
  }

  #session(path: string): Session | undefined {
    return this.#options.board.link(path)?.verified?.session;
  }

  #isCurrent(path: string): boolean {
    return this.#options.dispatcher.route?.path === path;
  }

  #standing(path: string): NewsStanding {
    const { dispatcher, reservations, wantsKeys, asksForClaim } = this.#options;
    const { ledger } = dispatcher;
    const session = this.#session(path);
    return {
      isCurrent: this.#isCurrent(path),
      isVerified: session !== undefined,
      isRegistered: session !== undefined && reservations.has(session),
      wantsKeys: wantsKeys(),
      asksForClaim: asksForClaim(),
      hasUnfinished: ledger.issued + ledger.log.count > 0,
      isLookedInto: session !== undefined && this.#conflicted === session,
    };
  }

  /** `refusal`: what a command of ours was refused with. */
  #carryOut(path: string, steps: readonly NewsStep[], detail: string, refusal?: string): void {
    const { board, dispatcher, switcher } = this.#options;
    for (const step of steps) {
      switch (step) {
        case 'writes-lost':
        case 'taken-over':
          this.#emit({ kind: step, detail });
          break;
        case 'freeze':
          dispatcher.freeze();
          break;
        case 'inspect':
          void this.#inspect(path, refusal);
          break;
        case 'inspect-then-recheck':
          void this.#inspect(path, refusal).then(() => switcher.recheck());
          break;
        case 'distrust':
          dispatcher.distrust();
          break;
        case 'restart':
          switcher.restart(path, { kind: 'connection-reset', detail });
          break;
        case 'sever':
          void board.sever(path, detail);
          break;
        case 'recheck':
          switcher.recheck();
          break;
        default:
          assertNever(step);
      }
    }
  }

  /** Keys have changed, or may have. */
  async #inspect(path: string, refusal: string | undefined): Promise<void> {
    const { clock, hasFailed, reservations } = this.#options;
    const session = this.#session(path);
    const finding = await reservations.inspect(path);
    if (hasFailed() || session !== this.#session(path)) return;
    const now = clock.now();
    const wasRefused = refusal !== undefined;
    const isAgain = wasRefused && now - this.#lastConflict < CONFLICT_AGAIN_MS;
    if (wasRefused) this.#lastConflict = now;
    const isCurrent = this.#isCurrent(path);
    const steps = stepsAfter({ finding, wasRefused, isAgain, isCurrent });
    this.#carryOut(path, steps, refusal ?? found(finding));
  }
}

function detailOf(news: News, path: string, sense: Sense): string {
  if (news === 'loss') return `${path} has a ${deferredText(sense)}`;
  if (news === 'keys-taken') return 'reservation preempted';
  return 'the target has ended the commands of this nexus (unit attention)';
}

function found(finding: Finding): string {
  return finding === 'preempted'
    ? 'reservation preempted'
    : 'the target has lost the registration of this node';
}
