/**
 * The unflushed-write log (D25): what a target has acknowledged and may still lose, because no flush has
 * covered it. Write policy `log` keeps every data-changing request here, with a payload of its own, until
 * a SYNCHRONIZE CACHE that was issued after its acknowledgement has succeeded.
 *
 * Kept is everything, commands with FUA and those that write zeros too: what is replayed must not undo
 * what came after it. So an entry is dropped only together with every older one (one queue, in the order
 * of acknowledgement, cut at a mark), and a replay is the newest acknowledged content and nothing else:
 * `take` leaves out of every entry what a newer one has overwritten. Both are acknowledged, in this
 * order, since the ledger never lets two overlapping ones out together. Without that a crash of ours in
 * the middle of a replay would leave an older block where a newer one was stable already.
 */
import { assert } from '../../base/assert.ts';
import type { Policy } from '../../paths/policy.ts';
import { Ranges } from './ranges.ts';

/** A data-changing request, without its answer. */
export interface DataChange {
  readonly kind: 'write' | 'discard' | 'write-zeroes';
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
  /** Payload of a write; the log's own. */
  readonly data: Buffer | undefined;
}

interface Kept extends DataChange {
  /** It was on stable storage when it was acknowledged. */
  readonly stable: boolean;
}

/** Bounds of what may be unflushed. */
export interface LogLimits {
  /** Payload. */
  readonly bytes: number;
  readonly count: number;
}

/** The bounds that a policy sets now; undefined: write policy `through`. */
export function logLimits(
  policy: Pick<Policy, 'writePolicy' | 'writeLogBytes' | 'writeLogCount'>,
): LogLimits | undefined {
  const { writePolicy, writeLogBytes, writeLogCount } = policy;
  return writePolicy === 'log' ? { bytes: writeLogBytes, count: writeLogCount } : undefined;
}

/** What a volume that fails leaves unflushed, to follow the reason why; '' for nothing. */
export function unflushedText(count: number): string {
  if (count === 0) return '';
  return `; ${String(count)} acknowledged ${count === 1 ? 'write was' : 'writes were'} not flushed`;
}

export class WriteLog {
  /** In the order of acknowledgement. */
  #kept: Kept[] = [];
  /** How many were dropped or taken since the beginning: the number of the oldest one kept. Only grows. */
  #gone = 0;
  /** Payload of those kept. */
  #bytes = 0;
  /** Those that are not on stable storage, as far as is known. Invariant: 0 … all of them. */
  #unstable = 0;

  get count(): number {
    return this.#kept.length;
  }

  /** Payload kept, bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What a SYNCHRONIZE CACHE that is issued now will cover: hand it to `flushed`. */
  get mark(): number {
    return this.#gone + this.#kept.length;
  }

  /** The target has acknowledged it. */
  append(change: DataChange, stable = false): void {
    const isWhole = change.kind !== 'write' || change.data?.length === change.length;
    assert(isWhole, 'a write is kept with all of its payload');
    this.#kept.push({ ...change, stable });
    this.#bytes += change.data?.length ?? 0;
    if (!stable) this.#unstable++;
  }

  /** Everything up to the mark is on stable storage. Returns the newest of it; undefined: nothing. */
  flushed(mark: number): DataChange | undefined {
    assert(mark <= this.mark, 'a flush covers nothing that was acknowledged after it was issued');
    const dropped = this.#drop(Math.max(0, mark - this.#gone));
    // What is left was kept for the sake of what has gone.
    if (this.#unstable === 0) this.#drop(this.#kept.length);
    return dropped;
  }

  /** The oldest ones; returns the newest of them. */
  #drop(count: number): DataChange | undefined {
    const dropped = this.#kept.splice(0, count);
    this.#gone += dropped.length;
    for (const { data, stable } of dropped) {
      this.#bytes -= data?.length ?? 0;
      if (!stable) this.#unstable--;
    }
    const isCounted = this.#unstable >= 0 && this.#unstable <= this.#kept.length;
    assert(isCounted && this.#bytes >= 0, 'the log has counted what it keeps');
    return dropped.at(-1);
  }

  /** What has to be issued again, no two parts overlapping, oldest first. The log is empty then. */
  take(): readonly DataChange[] {
    const parts: DataChange[] = [];
    const newer = new Ranges();
    for (const change of this.#kept.toReversed()) {
      const left = newer.add(change.offset, change.offset + change.length);
      for (const [start, end] of left.toReversed()) parts.push(cut(change, start, end));
    }
    this.#gone += this.#kept.length;
    this.#kept = [];
    this.#bytes = 0;
    this.#unstable = 0;
    return parts.reverse();
  }

  /** Whether anything kept touches these bytes. */
  touches(offset: number, length: number): boolean {
    return this.#kept.some((change) => {
      return change.offset < offset + length && offset < change.offset + change.length;
    });
  }
}

function cut(change: DataChange, start: number, end: number): DataChange {
  const { kind, offset, data } = change;
  const part = data?.subarray(start - offset, end - offset);
  return { kind, offset: start, length: end - start, data: part };
}
