/**
 * A node that is not the owner any more and does not know when to stop: it has been told so, its worker runs
 * on, and its pods write to it as before. None of that may reach the unit. The checker does not know these
 * writes: the other node's read of one is a violation like any other.
 */
import type { Prng } from '../../src/base/prng.ts';
import { DISOWNED_VALUES } from './gateway.ts';
import { BLOCK_SECTORS, type FromWorker } from './messages.ts';
import type { WorkerHandle } from './worker-handle.ts';

/** Of the blocks that everybody works on. */
const PLACES = 5;
const EVERY_MS = 20;
/** It is told at once, and has stopped by then. */
const TOLD_MS = 10_000;

export class Disowned {
  /** Whose record it has: nothing else may be started with it before it has ended. */
  readonly node: string;
  readonly #worker: WorkerHandle;
  readonly #prng: Prng;
  readonly #wroteWell: () => void;
  #timer: NodeJS.Timeout | undefined;
  #writes = 0;

  /** @param wroteWell one of its writes was answered well. */
  constructor(worker: WorkerHandle, node: string, prng: Prng, wroteWell: () => void) {
    this.node = node;
    this.#worker = worker;
    this.#prng = prng;
    this.#wroteWell = wroteWell;
  }

  /** Tells it that it is not the owner. Resolves when it has stopped, and goes on being written to. */
  async begin(): Promise<void> {
    const worker = this.#worker;
    const stopped = new Promise<boolean>((resolve) => {
      worker.hear = (message) => this.#hear(message, resolve);
      setTimeout(() => resolve(false), TOLD_MS);
      void worker.gone.then(() => resolve(false));
    });
    worker.tell({ kind: 'disown' });
    if (await stopped) this.#timer = setInterval(() => this.#write(), EVERY_MS);
    // One that does not answer is switched off before the volume goes elsewhere.
    else await this.end();
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#worker.alive) await this.#worker.kill();
  }

  #hear(message: FromWorker, stopped: (is: boolean) => void): void {
    if (message.kind === 'disowned') stopped(true);
    const isOurs = message.kind === 'done' && message.id < 0;
    if (isOurs && message.error === undefined) this.#wroteWell();
  }

  #write(): void {
    this.#writes++;
    const at = BLOCK_SECTORS * this.#prng.below(PLACES);
    const value = DISOWNED_VALUES + this.#writes;
    const io = { op: 'write', at, sectors: BLOCK_SECTORS, value, fua: true } as const;
    this.#worker.tell({ kind: 'io', id: -this.#writes, ...io });
  }
}
