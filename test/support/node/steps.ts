/**
 * The calls that a node service makes of the doubles around it, in their order, and what becomes of them: any
 * one may fail before or after it has taken effect, end the process there, or be kept waiting.
 */
export interface Fault {
  /** Which call, counted from 0. */
  readonly at: number;
  /** after: it has taken effect, and the answer says that it has not. */
  readonly when: 'before' | 'after';
  /** die: the process that called is gone, and never hears the answer. */
  readonly how: 'fail' | 'die';
}

export interface Step {
  readonly name: string;
  /** It changes something. */
  readonly isEffect: boolean;
  readonly mayFail: boolean;
}

/** The process that called is gone. */
export const DIED = 'died';

export class Steps {
  #list: Step[] = [];
  #faults: readonly Fault[] = [];
  #dies: (() => void) | undefined;
  readonly #gates = new Map<string, Promise<void>>();

  /** Counts from here on. */
  begin(...faults: readonly Fault[]): void {
    this.#list = [];
    this.#faults = faults;
  }

  get list(): readonly Step[] {
    return this.#list;
  }

  get effects(): readonly string[] {
    return this.#list.filter(({ isEffect }) => isEffect).map(({ name }) => name);
  }

  /** The next call of this name waits until the function that is returned is called. */
  hold(name: string): () => void {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#gates.set(
      name,
      promise.then(() => undefined),
    );
    return () => {
      this.#gates.delete(name);
      resolve(undefined);
    };
  }

  /** What becomes of a call: its own outcome, or `DIED`. */
  async outcome<T>(call: () => Promise<T>): Promise<PromiseSettledResult<T> | typeof DIED> {
    const died = new Promise<typeof DIED>((resolve) => {
      this.#dies = () => {
        resolve(DIED);
      };
    });
    const [settled] = await Promise.race([
      Promise.allSettled([call()]),
      died.then(() => [DIED] as const),
    ]);
    return settled;
  }

  /** Asks something. `failure` gives the answer that says that it has failed, or throws. */
  ask<T>(name: string, answer: () => T, failure: () => T): Promise<T> {
    return this.#run({ name, isEffect: false, mayFail: true }, answer, failure);
  }

  /** Changes something; without `failure` it never fails. */
  act<T>(name: string, effect: () => T | Promise<T>, failure?: () => T): Promise<T> {
    return this.#run({ name, isEffect: true, mayFail: failure !== undefined }, effect, failure);
  }

  async #run<T>(step: Step, effect: () => T | Promise<T>, failure?: () => T): Promise<T> {
    const at = this.#list.push(step) - 1;
    await this.#gates.get(step.name);
    const fault = this.#faults.find((one) => one.at === at);
    const spoilt = fault?.how === 'die' ? () => this.#die<T>() : failure;
    if (fault === undefined || spoilt === undefined) return effect();
    if (fault.when === 'after') await effect();
    return spoilt();
  }

  #die<T>(): Promise<T> {
    this.#dies?.();
    return new Promise<T>(() => undefined);
  }
}
