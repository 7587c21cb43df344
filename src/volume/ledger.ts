/**
 * The one ledger of a volume: every request from its arrival to its answer, and the one order.
 *
 * The order (design: "one order"), as four rules that `mustWait` spells out:
 *   1. two overlapping data-changing requests are never outstanding together; the later one waits;
 *   2. a read that overlaps a write being replayed waits for it: before the write was lost somebody may
 *      have read its new data, and nobody may read the old data after that;
 *   3. a flush waits for every replay;
 *   4. nothing else waits.
 *
 * Replay is not a second code path. When a path is abandoned, its unanswered requests go back to
 * waiting, in the order they were submitted in, ahead of everything that came later; those that change
 * data are marked, and the rules do the rest.
 *
 * Waiting is counted, not searched for: when a request arrives it is compared once with the live
 * data-changing ones before it; each that it must wait for keeps it in `dependents` and lets it go
 * when settled. The compare is linear in the number of live writes (the kernel bounds it to hundreds).
 */
import { assert } from '../base/assert.ts';
import type { IoError, IoKind, IoRequest } from './ports.ts';

export class Entry {
  readonly seq: number;
  readonly request: IoRequest;
  /** waiting: not sent, or to be sent again. issued: handed to a session. settled: answered. */
  state: 'waiting' | 'issued' | 'settled' = 'waiting';
  /** Times it was issued; callbacks of an earlier issue recognise themselves by it. */
  issues = 0;
  /** Commands of this issue whose outcome is not known. */
  unanswered = 0;
  /** Commands of this issue that have not ended: unanswered ones and those to be retried. */
  unfinished = 0;
  /**
   * A command of this issue was answered, but what it wrote may sit in the volatile cache of its path:
   * left behind there it would be destaged later, over newer data. As good as unanswered.
   */
  unflushed = false;
  /** Error of a command of this issue; the request is answered with it once all have ended. */
  error: IoError | undefined;
  /** Changes data and was issued on a path since abandoned: may or may not have been executed. */
  replayed = false;
  /** Earlier entries that must settle first. */
  blockers = 0;
  readonly dependents: Entry[] = [];

  constructor(seq: number, request: IoRequest) {
    this.seq = seq;
    this.request = request;
  }

  get changesData(): boolean {
    return changesData(this.request.kind);
  }
}

export function changesData(kind: IoKind): boolean {
  return kind === 'write' || kind === 'discard' || kind === 'write-zeroes';
}

function overlap(a: IoRequest, b: IoRequest): boolean {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}

/** Whether `later` has to wait until `earlier` is settled. */
export function mustWait(later: Entry, earlier: Entry): boolean {
  if (!earlier.changesData) return false;
  if (later.request.kind === 'flush') return earlier.replayed;
  if (later.request.kind === 'read' && !earlier.replayed) return false;
  return overlap(later.request, earlier.request);
}

export class Ledger {
  /** Not settled, in submission order (a Set keeps insertion order). */
  readonly #live = new Set<Entry>();
  /** The data-changing part of `#live`. */
  readonly #writes = new Set<Entry>();
  /** Waiting and not blocked, to be issued in this order. */
  #ready: Entry[] = [];
  #readyHead = 0;
  #nextSeq = 1;
  #issued = 0;

  /** Takes a request in; it can be issued once `next` returns it. */
  admit(request: IoRequest): Entry {
    const entry = new Entry(this.#nextSeq++, request);
    this.#block(entry);
    this.#live.add(entry);
    if (entry.changesData) this.#writes.add(entry);
    if (entry.blockers === 0) this.#ready.push(entry);
    return entry;
  }

  /** The next entry that may be issued now, marked issued; undefined when all others must wait. */
  next(): Entry | undefined {
    const entry = this.#ready[this.#readyHead];
    if (entry === undefined) return undefined;
    this.#readyHead++;
    if (this.#readyHead === this.#ready.length) {
      this.#ready.length = 0;
      this.#readyHead = 0;
    }
    entry.state = 'issued';
    entry.issues++;
    this.#issued++;
    return entry;
  }

  /** The entry was answered; what waited for it may go. */
  settle(entry: Entry): void {
    assert(entry.state === 'issued', 'only an issued entry is settled, and once');
    entry.state = 'settled';
    this.#issued--;
    this.#live.delete(entry);
    this.#writes.delete(entry);
    for (const dependent of entry.dependents) {
      dependent.blockers--;
      if (dependent.blockers === 0) this.#ready.push(dependent);
    }
    entry.dependents.length = 0;
  }

  /**
   * The path they were issued on is abandoned: everything issued goes back to waiting. Call it only
   * when no callback of that path can come any more. A write that was answered but still waits for its
   * flush counts as a replay too: the new path may not show it. Returns how many replays there are.
   */
  abandon(): number {
    let replays = 0;
    for (const entry of this.#live) {
      if (entry.state !== 'issued') continue;
      if (entry.changesData) {
        entry.replayed = true;
        replays++;
      }
      entry.state = 'waiting';
      entry.unanswered = 0;
      entry.unfinished = 0;
      entry.unflushed = false;
      entry.error = undefined;
    }
    this.#issued = 0;
    this.#rebuild();
    return replays;
  }

  /** Takes every entry out, in order, settled: the volume has failed and answers them all itself. */
  drain(): readonly Entry[] {
    const all = [...this.#live];
    for (const entry of all) entry.state = 'settled';
    this.#live.clear();
    this.#writes.clear();
    this.#ready = [];
    this.#readyHead = 0;
    this.#issued = 0;
    return all;
  }

  /** Data-changing requests unanswered or unflushed: on the old path they may still take effect. */
  get unansweredWrites(): number {
    let count = 0;
    for (const { state, unanswered, unflushed } of this.#writes) {
      if (state === 'issued' && (unanswered > 0 || unflushed)) count++;
    }
    return count;
  }

  /** Bytes of device that the data-changing requests in here were to change; overlaps count twice. */
  get bytesToChange(): number {
    let bytes = 0;
    for (const { request } of this.#writes) bytes += request.length;
    return bytes;
  }

  get issued(): number {
    return this.#issued;
  }

  get waiting(): number {
    return this.#live.size - this.#issued;
  }

  get size(): number {
    return this.#live.size;
  }

  /** Entries handed to a session and not settled. */
  *outstanding(): Iterable<Entry> {
    for (const entry of this.#live) if (entry.state === 'issued') yield entry;
  }

  #block(entry: Entry): void {
    for (const earlier of this.#writes) {
      if (earlier.seq < entry.seq && mustWait(entry, earlier)) {
        entry.blockers++;
        earlier.dependents.push(entry);
      }
    }
  }

  /** Marks have changed: works out anew who waits for whom. A flush waits for replays of any age. */
  #rebuild(): void {
    for (const entry of this.#live) {
      entry.blockers = 0;
      entry.dependents.length = 0;
    }
    this.#ready = [];
    this.#readyHead = 0;
    for (const entry of this.#live) {
      if (entry.request.kind === 'flush') this.#blockFlush(entry);
      else this.#block(entry);
      if (entry.blockers === 0) this.#ready.push(entry);
    }
  }

  #blockFlush(flush: Entry): void {
    for (const write of this.#writes) {
      if (!write.replayed) continue;
      flush.blockers++;
      write.dependents.push(flush);
    }
  }
}
