/**
 * Gives up commands that a path has not answered for too long while it answers others (D31, D32): the target has
 * lost the command, or is slower than expected. The way that disturbs least and works:
 *
 *   first     ABORT TASK on its session, then ABORT TASK SET, then LOGICAL UNIT RESET; what has ended is sent
 *             again on the same path, in its place. Only the target's word that it has ended counts
 *             (outcome `ended`): "task does not exist" leaves open what becomes of it.
 *   second    another path, if one is fit to take over: a failover, with its fence.
 *   later     as the first and the second time again, then as the first for ever. So a request costs two
 *             failovers at most, and each try waits twice as long (flights.ts).
 *
 * A target may be at work on a command that it is asked to abort, and answers when it is done (tgt): ABORT
 * TASK has as long as the command itself had, for nothing else is disturbed meanwhile. Where nothing ends it,
 * the path is left, or logged in to anew if there is no other.
 */
import type { Policy } from '../../paths/policy.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Session } from '../../ports/session.ts';
import type { Route } from './dispatch.ts';
import { type AgeParameters, ageOf, type Flight, type Flights } from './flights.ts';
import type { AgeSignal } from './io-signal.ts';

export interface AgeOptions {
  readonly clock: Clock;
  readonly dispatcher: { readonly flights: Flights; readonly route: Route | undefined };
  readonly policy: () => AgeParameters & Pick<Policy, 'resetTimeoutMs'>;
  /** LOGICAL UNIT RESET ends no commands of another initiator. */
  readonly isAlone: () => boolean;
  /** There is another path that is fit to take over from this one. */
  readonly mayTakeOver: (path: string) => boolean;
}

/** A try of this number ends with a change of path. */
const LEAVES_AFTER: ReadonlySet<number> = new Set([2, 4]);
const LOOKS = 8;

export class CommandAge {
  readonly #options: AgeOptions;
  readonly #emit: (signal: AgeSignal) => void;
  #timer: Timer | undefined;
  /** What is being given up on this session. */
  #session: Session | undefined;

  constructor(options: AgeOptions, emit: (signal: AgeSignal) => void) {
    this.#options = options;
    this.#emit = emit;
    this.#arm();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    const { clock, policy } = this.#options;
    const periodMs = Math.max(10, Math.min(1_000, policy().commandTimeoutMs / LOOKS));
    this.#options.dispatcher.flights.looked(periodMs);
    this.#timer = clock.after(periodMs, () => {
      this.#look();
      if (this.#timer !== undefined) this.#arm();
    });
  }

  #look(): void {
    const { clock, dispatcher, policy } = this.#options;
    const { flights, route } = dispatcher;
    if (route === undefined || this.#session === route.session) return;
    const overdue = flights.overdue(policy());
    const oldest = overdue[0];
    if (oldest === undefined) return;
    const patienceMs = flights.limitMs(oldest.errand.isQuick, policy());
    for (const age of new Set(overdue.map(({ errand }) => errand.age))) age.givenUp++;
    const tries = Math.max(...overdue.map(({ errand }) => errand.age.givenUp));
    const ageMs = ageOf(oldest, clock.now());
    const { path } = route;
    this.#emit({ kind: 'given-up', path, command: oldest.errand.what(), ageMs });
    const seconds = String(Math.round(ageMs / 1000));
    const detail = `"${oldest.errand.what()}" was not answered for ${seconds} s, other commands are`;
    if (LEAVES_AFTER.has(tries) && this.#leave(path, detail)) return;
    this.#session = route.session;
    void this.#giveUp(route, overdue, { patienceMs, detail }).finally(() => {
      this.#session = undefined;
    });
  }

  async #giveUp(
    { path, session }: Route,
    overdue: readonly Flight[],
    { patienceMs, detail }: { readonly patienceMs: number; readonly detail: string },
  ): Promise<void> {
    const { dispatcher, policy, isAlone } = this.#options;
    const { resetTimeoutMs } = policy();
    const isLeft = (): boolean => dispatcher.route?.session !== session;
    const isOver = (): boolean =>
      isLeft() || !overdue.some((flight) => dispatcher.flights.has(flight));
    const limitMs = Math.max(patienceMs, resetTimeoutMs);
    await Promise.all(overdue.map((flight) => session.abortTask(flight, limitMs)));
    if (isOver()) return;
    await session.abortTaskSet(resetTimeoutMs);
    if (isOver()) return;
    if (isAlone()) await session.resetLogicalUnit(resetTimeoutMs);
    if (isOver()) return;
    if (this.#leave(path, detail)) return;
    this.#emit({ kind: 'overdue', path, detail, goesOn: 'after-a-login' });
  }

  /** Leaves the path for another one; false: there is none that could take over. */
  #leave(path: string, detail: string): boolean {
    if (!this.#options.mayTakeOver(path)) return false;
    this.#emit({ kind: 'overdue', path, detail, goesOn: 'on-another-path' });
    return true;
  }
}
