/**
 * Runs the pure controller: feeds it events in order, executes its effects through `Effects`, sets the
 * one timer it asks for. Events that arise while effects are executed wait their turn.
 */
import {
  type ControllerOptions,
  createController,
  current,
  step,
  view,
} from '../paths/controller.ts';
import { type ControllerMemory, isUnremarkable, remember } from '../paths/memory.ts';
import type { PathEffect, PathEvent, PathView } from '../paths/model.ts';
import type { ControllerState } from '../paths/state.ts';
import type { Clock, Timer } from '../ports/clock.ts';

export class ControllerDriver {
  readonly #clock: Clock;
  readonly #execute: (effect: PathEffect) => void;
  readonly #catchUp: () => void;
  #state: ControllerState;
  #events: PathEvent[] = [];
  #stepping = false;
  /**
   * The first tick has come: everything that has to be fenced is known. Events before it wait, for a path must
   * not be chosen while debts of former nodes are still being collected.
   */
  #begun = false;
  #timer: Timer | undefined;
  #stopped = false;

  /** @param catchUp called before events are taken in: it may have one that comes first. */
  constructor(
    clock: Clock,
    options: ControllerOptions,
    execute: (effect: PathEffect) => void,
    catchUp: () => void,
  ) {
    this.#clock = clock;
    this.#execute = execute;
    this.#catchUp = catchUp;
    this.#state = createController(options, clock.now());
  }

  get current(): string | undefined {
    return current(this.#state);
  }

  /** The path pinned by the operator, if any. */
  get pinned(): string | undefined {
    return this.#state.pin;
  }

  /** What it knows, for the process after this one. */
  memory(): ControllerMemory {
    return remember(this.#state, this.#clock.now());
  }

  /** There is nothing in the memory that is worth keeping. */
  get isUnremarkable(): boolean {
    return isUnremarkable(this.#state, this.#clock.now());
  }

  view(): readonly PathView[] {
    return view(this.#state);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  dispatch(event: PathEvent): void {
    if (!this.#stepping) this.#catchUp();
    this.#events.push(event);
    this.#begun ||= event.kind === 'tick';
    if (this.#stepping || !this.#begun) return;
    this.#stepping = true;
    try {
      this.#drain();
    } finally {
      this.#stepping = false;
    }
  }

  #drain(): void {
    for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
      if (this.#stopped) return;
      const now = this.#clock.now();
      const { state, effects, wakeAt } = step(this.#state, event, now);
      this.#state = state;
      this.#timer?.cancel();
      this.#timer =
        wakeAt === undefined
          ? undefined
          : this.#clock.after(Math.max(0, wakeAt - now), () => this.dispatch({ kind: 'tick' }));
      for (const effect of effects) this.#execute(effect);
    }
  }
}
