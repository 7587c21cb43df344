/**
 * A sample of recent acknowledged writes, to be read back through other paths (D3): the proof, beyond equal
 * identifiers, that a path leads to the same blocks.
 *
 * A sample is one block's checksum. It is taken when the write is on stable storage, at most one in
 * `everyMs`, so that its price stays out of the data path. Any later request that may change the block
 * drops the sample when it is submitted, before it can reach a target: a sample that is still there
 * after it was read back is a fair judgement. That holds where one node writes: of a volume that several
 * nodes write no samples are taken (`capacity` 0), for a standby that shows the write of another node
 * would be banned for a stale copy.
 */
import type { Instant } from '../../base/brand.ts';
import { crc32c } from '../../base/crc32c.ts';
import type { IoRequest } from '../../ports/block.ts';

export interface WriteSample {
  /** Byte offset of the sampled block. */
  readonly offset: number;
  readonly checksum: number;
}

export class RecentWrites {
  readonly #blockSize: number;
  readonly #capacity: number;
  readonly #everyMs: number;
  readonly #samples: WriteSample[] = [];
  #lastAt = Number.NEGATIVE_INFINITY;
  #turn = 0;

  constructor(blockSize: number, capacity = 16, everyMs = 20) {
    this.#blockSize = blockSize;
    this.#capacity = capacity;
    this.#everyMs = everyMs;
  }

  /** A data-changing request was submitted: what it touches is no longer known. */
  forget(request: IoRequest): void {
    const samples = this.#samples;
    for (let i = samples.length - 1; i >= 0; i--) {
      const sample = samples[i];
      if (sample === undefined) continue;
      const apart =
        sample.offset >= request.offset + request.length ||
        request.offset >= sample.offset + this.#blockSize;
      if (!apart) samples.splice(i, 1);
    }
  }

  /**
   * A write was acknowledged and is on stable storage. `overlapped` tells that another one on the same blocks is already on
   * its way (it called `forget` before this sample existed).
   */
  note(request: Pick<IoRequest, 'offset' | 'data'>, now: Instant, overlapped: boolean): void {
    if (now - this.#lastAt < this.#everyMs || overlapped || request.data === undefined) return;
    if (this.#capacity === 0) return;
    this.#lastAt = now;
    const checksum = crc32c(request.data.subarray(0, this.#blockSize));
    if (this.#samples.length >= this.#capacity) this.#samples.shift();
    this.#samples.push({ offset: request.offset, checksum });
  }

  /** One sample, a different one each time; undefined when there is none. */
  pick(): WriteSample | undefined {
    if (this.#samples.length === 0) return undefined;
    return this.#samples[this.#turn++ % this.#samples.length];
  }

  /** The newest samples, at most `count`. */
  newest(count: number): readonly WriteSample[] {
    return this.#samples.slice(-count);
  }

  /** Whether what was read back agrees; undefined when the sample is outdated and proves nothing. */
  agrees(sample: WriteSample, block: Buffer): boolean | undefined {
    if (!this.#samples.includes(sample)) return undefined;
    return crc32c(block) === sample.checksum;
  }
}
