/**
 * A switch, ordered and made: what was asked for, and the account of it that people see: the fence,
 * what was replayed, and how long requests went without an answer.
 */
import type { Cause, SwitchKind } from '../../paths/model.ts';
import type { Clock } from '../../ports/clock.ts';
import type { FenceRung, FenceUsed } from '../fence/fence.ts';
import type { Dispatcher } from '../io/dispatch.ts';

export interface SwitchOrder {
  readonly from: string | undefined;
  readonly to: string;
  readonly how: SwitchKind;
  readonly cause: Cause;
  /** Of our own: the nexus ended, not the path. The controller has not asked for it. */
  readonly restart?: true;
}

export interface SwitchReport extends SwitchOrder {
  readonly fence: FenceUsed;
  readonly at: Date;
  /** Data-changing requests issued again. */
  readonly replayed: number;
  /** Longest time without an answer while requests were waiting; known at the first answer. */
  gapMs: number;
}

/** Adds up, from one switch to the next, what the report of the next one tells. */
export class SwitchAccount {
  readonly #clock: Clock;
  readonly #dispatcher: Dispatcher;
  #replayed = 0;
  #fence: FenceUsed = 'not-needed';

  constructor(clock: Clock, dispatcher: Dispatcher) {
    this.#clock = clock;
    this.#dispatcher = dispatcher;
  }

  fenced(rung: FenceRung): void {
    this.#fence = rung;
  }

  replays(requests: number): void {
    this.#replayed += requests;
  }

  /** Closes the account, just before the new path gets what is waiting. */
  close(order: SwitchOrder): SwitchReport {
    const clock = this.#clock;
    const dispatcher = this.#dispatcher;
    const quietSince = Math.max(dispatcher.lastAnswer, dispatcher.busySince);
    const report: SwitchReport = {
      ...order,
      fence: this.#fence,
      at: clock.wallTime(),
      replayed: this.#replayed,
      gapMs: 0,
    };
    this.#replayed = 0;
    this.#fence = 'not-needed';
    if (dispatcher.ledger.size > 0) {
      // A switch that follows before the first answer does not end the gap of the one before it.
      const earlier = dispatcher.onNextAnswer;
      dispatcher.onNextAnswer = () => {
        report.gapMs = clock.now() - quietSince;
        earlier?.();
      };
    }
    return report;
  }
}
