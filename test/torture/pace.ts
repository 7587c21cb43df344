/** How long the storage behind all gateways takes: healthy, and now and then very slow. */
import type { Prng } from '../../src/base/prng.ts';

/** WRITE (16), WRITE SAME (16); SYNCHRONIZE CACHE (16), (10). */
const WRITES = new Set([0x8a, 0x93]);
const FLUSHES = new Set([0x91, 0x35]);

export type Milliseconds = readonly [least: number, most: number];

export class Pace {
  #writes: Milliseconds = [0, 0];
  #flushes: Milliseconds = [0, 0];

  /** From now on. What it has begun takes as long as it would have. */
  slow(writes: Milliseconds, flushes: Milliseconds): void {
    this.#writes = writes;
    this.#flushes = flushes;
  }

  heal(): void {
    this.slow([0, 0], [0, 0]);
  }

  /** What a command takes that comes now, ms. */
  of(opcode: number, prng: Prng): number {
    const [least, most] = WRITES.has(opcode)
      ? this.#writes
      : FLUSHES.has(opcode)
        ? this.#flushes
        : [0, 0];
    return most === 0 ? 0 : least + prng.below(most - least + 1);
  }
}
