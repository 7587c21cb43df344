/**
 * The bound of the unanswered data of all volumes of a process (D68): data that the kernel has handed
 * over, or has asked for, and that is not answered. Without a bound the outage of a rack would fill all
 * its volumes at the same time. The process would then be killed for lack of memory, and every filesystem
 * of the node would get EIO.
 *
 * The kernel is told for each volume how many requests for data it may have outstanding; the rest waits
 * in the kernel, and requests without data pass. All volumes have the same limit, the largest one (2 to
 * 64) with which the budget is kept whatever they do next: each volume counts with what it may ask for,
 * or with its unanswered data where that is more. So 16 volumes have 64 requests each, 100 have 10, and
 * each of them can make progress. A volume that comes while others have more than their part begins with
 * what they leave. As they are answered, the limit of all rises again.
 *
 * The limit is lowered before the memory is used, not when it is: what the kernel has handed out
 * cannot be given back, and it can hand out everything within a millisecond.
 *
 * Where the kernel takes no other limit than the first one (fuse-control.ts), that first one is the
 * part of a volume when as many are attached as there may ever be.
 *
 * Not counted: the log of write policy `log`, which has a bound of its own (`write-log-size`), and the
 * receive buffer of each volume (two where reads are parked).
 */
import { MAX_BACKGROUND, MAX_IO_BYTES } from '../../protocol/fuse/wire.ts';

/** Requests that a volume may always have: it goes on, however little memory there is. */
export const LEAST_REQUESTS = 2;

export const UNANSWERED_BYTES_MAX = 256 * 1024 * 1024;

export interface UnansweredDataOptions {
  readonly budgetBytes: number;
  /** As many volumes as there may be at the same time. */
  readonly volumesMax: number;
}

/** What one volume holds, and its limit. */
export class UnansweredShare {
  readonly #memory: UnansweredData;
  #unansweredBytes = 0;
  #limit: number;
  #isGone = false;
  /** Takes another limit to the kernel. Until there is one the limit is the first one. */
  #tell: ((requests: number) => void) | undefined;

  constructor(memory: UnansweredData, limit: number) {
    this.#memory = memory;
    this.#limit = limit;
  }

  /** Requests for data that the kernel may have outstanding. */
  get limit(): number {
    return this.#limit;
  }

  /** What it may hold when the others have this limit. */
  claimBytes(limit: number): number {
    if (this.#isGone) return this.#unansweredBytes;
    const own = this.#tell === undefined ? this.#limit : limit;
    return Math.max(own * MAX_IO_BYTES, this.#unansweredBytes);
  }

  /** The kernel has the first limit, and from now on `tell` takes others to it. */
  connect(tell: (requests: number) => void): void {
    this.#tell = tell;
    this.#memory.adjust();
  }

  adjust(limit: number): void {
    if (this.#tell === undefined || this.#isGone || limit === this.#limit) return;
    this.#limit = limit;
    this.#tell(limit);
  }

  take(bytes: number): void {
    this.#unansweredBytes += bytes;
    if (this.#isBeyond(this.#unansweredBytes)) this.#memory.adjust();
  }

  give(bytes: number): void {
    const before = this.#unansweredBytes;
    this.#unansweredBytes -= bytes;
    if (this.#isGone && this.#unansweredBytes === 0) this.#memory.forget(this);
    else if (this.#isBeyond(before)) this.#memory.adjust();
  }

  /** The kernel asks for nothing more. What is held counts until it is given back. */
  leave(): void {
    this.#isGone = true;
    if (this.#unansweredBytes === 0) this.#memory.forget(this);
    else this.#memory.adjust();
  }

  /** Up to its limit a volume counts with the limit: what it holds then changes nothing. */
  #isBeyond(bytes: number): boolean {
    return this.#isGone || bytes > this.#limit * MAX_IO_BYTES;
  }
}

/** The shares of all volumes of the process. */
export class UnansweredData {
  readonly #budgetBytes: number;
  readonly #volumesMax: number;
  readonly #shares = new Set<UnansweredShare>();

  constructor({ budgetBytes, volumesMax }: UnansweredDataOptions) {
    this.#budgetBytes = budgetBytes;
    this.#volumesMax = volumesMax;
  }

  /** A volume more. `isAdjustable`: its limit will be changed later, connect() follows. */
  join(isAdjustable: boolean): UnansweredShare {
    const share = new UnansweredShare(
      this,
      isAdjustable ? this.#limitThatFits(1) : this.#fixedLimit(),
    );
    this.#shares.add(share);
    this.adjust();
    return share;
  }

  forget(share: UnansweredShare): void {
    if (this.#shares.delete(share)) this.adjust();
  }

  /** Gives every volume the limit that fits now. */
  adjust(): void {
    const limit = this.#limitThatFits(0);
    for (const share of this.#shares) share.adjust(limit);
  }

  #fixedLimit(): number {
    const part = Math.floor(this.#budgetBytes / this.#volumesMax / MAX_IO_BYTES);
    return Math.min(MAX_BACKGROUND, Math.max(LEAST_REQUESTS, part));
  }

  /** With `more` volumes beside those that are there. */
  #limitThatFits(more: number): number {
    let [fits, tooMuch] = [LEAST_REQUESTS, MAX_BACKGROUND + 1];
    while (tooMuch - fits > 1) {
      const middle = (fits + tooMuch) >> 1;
      const bytes = this.#claimedBytes(middle) + more * middle * MAX_IO_BYTES;
      if (bytes <= this.#budgetBytes) fits = middle;
      else tooMuch = middle;
    }
    return fits;
  }

  #claimedBytes(limit: number): number {
    let bytes = 0;
    for (const share of this.#shares) bytes += share.claimBytes(limit);
    return bytes;
  }
}
