/**
 * A seeded source of chance: splitmix32. The pure parts have no randomness of their own. A part that
 * needs some (a probe's rotating LBA, a simulated world) is given such a source, so that a run can be
 * repeated from its seed. Not for secrets: the edges use the system's generator for those.
 */
import { assert } from './assert.ts';

export class Prng {
  private state: number;

  /** Equal seeds give equal sequences; only the low 32 bits count. */
  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** Uniform in 0 .. 2^32-1. */
  next(): number {
    this.state = (this.state + 0x9e3779b9) >>> 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** Uniform in 0 .. limit-1; limit is 1 .. 2^32. The bias is below limit / 2^32. */
  below(limit: number): number {
    assert(limit >= 1 && limit <= 2 ** 32, 'limit of Prng.below is 1 .. 2^32');
    return Math.floor((this.next() / 2 ** 32) * limit);
  }
}
