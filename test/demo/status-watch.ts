/**
 * Follows one volume's status: asks pathd again and again, tells of every switch, and lets the story
 * wait for a condition with a time limit and a message that says what was the case instead.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SwitchStatus, VolumeStatus } from '../../src/pathd/api.ts';
import { monotonicMs } from '../support/load/stamps-load.ts';

/** What is asked; src/pathd/pathd-client.ts is one. */
export interface StatusSource {
  status(volumeId?: string): Promise<readonly VolumeStatus[]>;
}

export interface SeenSwitch extends SwitchStatus {
  /** When it was done, ms of CLOCK_MONOTONIC (pathd tells wall-clock time; same machine). */
  readonly atMs: number;
}

export interface WatchListener {
  status(status: VolumeStatus): void;
  switched(seen: SeenSwitch): void;
}

const POLL_MS = 50;
/** Refused or unanswered questions in a row after which pathd counts as gone. */
const PATIENCE = 20;

export class StatusWatch {
  readonly #source: StatusSource;
  readonly #volumeId: string;
  readonly #listener: WatchListener;
  readonly #signal: AbortSignal;
  #latest: VolumeStatus | undefined;
  #failure: Error | undefined;
  #stopped = false;
  #polling: Promise<void> | undefined;

  constructor(
    source: StatusSource,
    volumeId: string,
    listener: WatchListener,
    signal: AbortSignal,
  ) {
    this.#source = source;
    this.#volumeId = volumeId;
    this.#listener = listener;
    this.#signal = signal;
  }

  start(): void {
    this.#polling ??= this.#poll();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#polling;
  }

  /** The last answer; undefined before the first. */
  get latest(): VolumeStatus | undefined {
    return this.#latest;
  }

  async #poll(): Promise<void> {
    let failures = 0;
    while (!this.#stopped && !this.#signal.aborted) {
      try {
        const [status] = await this.#source.status(this.#volumeId);
        failures = 0;
        if (status !== undefined) this.#take(status);
      } catch (error) {
        failures++;
        if (failures === PATIENCE) this.#failure = error as Error;
      }
      await sleep(POLL_MS);
    }
  }

  #take(status: VolumeStatus): void {
    const before = this.#latest;
    this.#latest = status;
    const { lastSwitch } = status;
    const count = (one: VolumeStatus): number => one.failovers + one.failbacks;
    if (before !== undefined && lastSwitch !== undefined && count(status) > count(before)) {
      const atMs = monotonicMs() - (Date.now() - lastSwitch.atUnixMs);
      this.#listener.switched({ ...lastSwitch, atMs });
    }
    this.#listener.status(status);
  }

  /** Waits until the status fulfils the condition; rejects with `what` and the state it was in. */
  async until(
    what: string,
    timeoutMs: number,
    condition: (status: VolumeStatus) => boolean,
  ): Promise<VolumeStatus> {
    const limit = monotonicMs() + timeoutMs;
    for (;;) {
      this.#signal.throwIfAborted();
      if (this.#failure !== undefined) {
        throw new Error(`pathd does not answer any more: ${this.#failure.message}`);
      }
      if (this.#latest !== undefined && condition(this.#latest)) return this.#latest;
      if (monotonicMs() > limit) {
        const seconds = (timeoutMs / 1000).toFixed(0);
        throw new Error(`waited ${seconds} s for ${what}; it is: ${describe(this.#latest)}`);
      }
      await sleep(POLL_MS / 2);
    }
  }
}

/** One line: "serving on p1; p0 down 25/100 (connection refused), p1 current 90/90". */
export function describe(status: VolumeStatus | undefined): string {
  if (status === undefined) return 'not attached';
  const paths = status.paths.map(({ name, state, weight, maxWeight, lastError }) => {
    const why = lastError === '' || state !== 'down' ? '' : ` (${lastError})`;
    return `${name} ${state} ${String(weight)}/${String(maxWeight)}${why}`;
  });
  const reason = status.reason === '' ? '' : ` (${status.reason})`;
  const current = status.currentPath === '' ? 'no path' : status.currentPath;
  return `${status.state}${reason} on ${current}; ${paths.join(', ')}`;
}
