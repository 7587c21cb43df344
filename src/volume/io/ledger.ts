/**
 * The one ledger of a volume: every request from its arrival to its answer, and the one order.
 *
 * The order (D20, D21, D26), as three rules that `mustWait` spells out:
 *   1. two overlapping requests of which at least one changes data are never outstanding together; the
 *      later one waits for the answer to the earlier. So a read returns what is stable (write policy
 *      `log`: what was acknowledged), never data that the target may still lose with its cache when this
 *      process has ended and cannot replay it. A later read never returns older data than an earlier one;
 *   2. a flush waits for every replay;
 *   3. nothing else waits: reads not for reads, nothing for a flush.
 *
 * There is no circle of waiting requests. A replay waits for older replays at most: when it was first
 * issued, no earlier request that it overlaps was left; and it keeps its room in the log. A flush waits
 * for replays alone. All other requests wait for earlier ones, and for room, which a flush makes.
 *
 * Replay is not a second code path. When a path is abandoned, its unanswered requests go back to
 * waiting, in the order they were submitted in, ahead of everything that came later; those that change
 * data are marked, and the rules do the rest.
 *
 * Worked timeline, write policy `through` (the writes A and B overlap, the read R overlaps B):
 *
 *   A arrives      no earlier request overlaps it: A is issued on p0
 *   B arrives      B overlaps A and changes data: B waits for the answer to A (rule 1)
 *   R arrives      R overlaps B: R waits for the answer to B (rule 1)
 *   p0 is left     A has no answer: A waits again, before B and R, and is marked as a replay
 *   F arrives      F is a flush: F waits for the replay of A (rule 2), not for B or R (rule 3)
 *   p1 is current  A is issued on p1; its answer lets B and F go, the answer to B lets R go
 *
 * Write policy `log`: what was acknowledged and not flushed is kept (write-log.ts) and comes back as
 * entries of its own, number 0: older than every request that is not answered yet, apart from each other,
 * and settled a second time without a second answer. Log and requests on their way into it share one
 * bound; what finds no room waits, and what overlaps it waits with it.
 *
 * Waiting is counted, not searched for: when a request arrives it is compared once with those before it,
 * a read with the live data-changing ones, these with everything live; each that it must wait for keeps
 * it in `dependents` and lets it go when settled. The compare is linear in their number (the kernel
 * bounds it to hundreds).
 */
import { assert } from '../../base/assert.ts';
import { Line, type LinePlace } from '../../base/line.ts';
import type { IoError, IoKind, IoRequest } from '../../ports/block.ts';
import type { Age, Errand } from './flights.ts';
import type { Piece } from './translate.ts';
import { type DataChange, type LogLimits, WriteLog } from './write-log.ts';

export class Entry implements Errand {
  readonly seq: number;
  readonly request: IoRequest;
  /** waiting: not sent, or to be sent again. issued: handed to a session. settled: answered. */
  state: 'waiting' | 'issued' | 'settled' = 'waiting';
  /** Times it was issued; callbacks of an earlier issue recognise themselves by it. */
  issues = 0;
  /** Commands of this issue whose outcome is not known. Invariant: 0 … `unfinished`. */
  unanswered = 0;
  /** Commands of this issue that have not ended: unanswered ones and those to be retried. Never below 0. */
  unfinished = 0;
  /** Commands of this issue that were not made yet: no more than a few are at the target at once. */
  rest: Iterator<Piece, void> | undefined;
  /**
   * A command of this issue was answered, but what it wrote may sit in the volatile cache of its path:
   * left behind there it would be destaged later, over newer data. As good as unanswered.
   */
  unflushed = false;
  /** Error of a command of this issue; the request is answered with it once all have ended. */
  error: IoError | undefined;
  /** Changes data and was issued on a path since abandoned: may or may not have been executed. */
  replayed = false;
  /** Answered before, and issued again because the target may have lost it: it must not fail. */
  readonly acknowledged: boolean;
  /** Issued under write policy `log`: the target's answer alone is the answer to the request. */
  logged = false;
  /** Counted against the bound of the log. */
  hasRoom = false;
  /** Earlier entries that must settle first: each has this one in its `dependents`. 0 when it is issued. */
  blockers = 0;
  readonly dependents: Entry[] = [];
  /** Among all entries of the ledger, and among those that change data: set by the ledger alone. */
  place: LinePlace<Entry> | undefined;
  placeAmongWrites: LinePlace<Entry> | undefined;
  /** Over all issues. */
  readonly age: Age = { since: undefined, givenUp: 0 };

  constructor(seq: number, request: IoRequest, acknowledged = false) {
    this.seq = seq;
    this.request = request;
    this.acknowledged = acknowledged;
    this.replayed = acknowledged;
  }

  get changesData(): boolean {
    return changesData(this.request.kind);
  }

  get isQuick(): boolean {
    return this.request.kind === 'read' || this.request.kind === 'write';
  }

  /** "write 4096+512", bytes, for people. */
  what(): string {
    const { kind, offset, length } = this.request;
    return `${kind} ${String(offset)}+${String(length)}`;
  }
}

export function changesData(kind: IoKind): boolean {
  return kind === 'write' || kind === 'discard' || kind === 'write-zeroes';
}

type Extent = Pick<IoRequest, 'offset' | 'length'>;

function overlap(a: Extent, b: Extent): boolean {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}

/** Whether `later` has to wait until `earlier` is settled. */
export function mustWait(later: Entry, earlier: Entry): boolean {
  if (later.request.kind === 'flush') return earlier.replayed;
  if (earlier.request.kind === 'flush') return false;
  if (!later.changesData && !earlier.changesData) return false;
  return overlap(later.request, earlier.request);
}

export class Ledger {
  /**
   * Not settled, in submission order. Invariant: a request is in the ledger once, from `admit` to `settle`.
   */
  readonly #live = new Line<Entry>();
  /** The data-changing part of `#live`. */
  readonly #writes = new Line<Entry>();
  /** Waiting and not blocked, to be issued in this order. Invariant: an entry is in it once at most. */
  #ready: Entry[] = [];
  #readyHead = 0;
  #nextSeq = 1;
  /** Live entries that are issued. Invariant: 0 … all of them. */
  #issued = 0;
  /** Found no room in the log; in the order in which they came. */
  #roomless: Entry[] = [];
  /** Room taken by entries that are not in the log yet, or not any more. Never below 0. */
  #roomBytes = 0;
  #roomCount = 0;
  readonly #limits: () => LogLimits | undefined;
  /** Acknowledged on the present path and not flushed. */
  readonly log = new WriteLog();

  /** @param limits bounds of the log; undefined: write policy `through`. Asked whenever it matters. */
  constructor(limits: () => LogLimits | undefined = () => undefined) {
    this.#limits = limits;
  }

  /** Takes a request in; it can be issued once `next` returns it. */
  admit(request: IoRequest): Entry {
    const entry = new Entry(this.#nextSeq++, request);
    this.#block(entry);
    this.#join(entry);
    if (entry.blockers === 0) this.#ready.push(entry);
    return entry;
  }

  #join(entry: Entry): void {
    entry.place = this.#live.join(entry);
    if (entry.changesData) entry.placeAmongWrites = this.#writes.join(entry);
  }

  /** False: it was not there. */
  #leave({ place, placeAmongWrites }: Entry): boolean {
    if (placeAmongWrites !== undefined) this.#writes.leave(placeAmongWrites);
    return place !== undefined && this.#live.leave(place);
  }

  /** The next entry that may be issued now, marked issued; undefined when all others must wait. */
  next(): Entry | undefined {
    const limits = this.#limits();
    let entry = this.#shift();
    while (entry !== undefined && !this.#takeRoom(entry, limits)) {
      this.#roomless.push(entry);
      entry = this.#shift();
    }
    if (entry === undefined) return undefined;
    const mayGo = entry.state === 'waiting' && entry.blockers === 0;
    assert(mayGo, 'an entry is issued once, when it waits for no other');
    entry.state = 'issued';
    entry.logged = limits !== undefined;
    entry.issues++;
    this.#issued++;
    return entry;
  }

  /** The next one that waits for no other. */
  #shift(): Entry | undefined {
    const entry = this.#ready[this.#readyHead];
    if (entry === undefined) return undefined;
    this.#readyHead++;
    if (this.#readyHead === this.#ready.length) {
      this.#ready.length = 0;
      this.#readyHead = 0;
    }
    return entry;
  }

  /**
   * The entry was answered; what waited for it may go. `keep`: what it wrote is not on stable storage
   * yet, or only that of older ones is not, so the log takes a copy, for the payload is its owner's again
   * as soon as it is told.
   */
  settle(entry: Entry, keep: 'no' | 'unstable' | 'stable' = 'no'): void {
    assert(entry.state === 'issued', 'only an issued entry is settled, and once');
    entry.state = 'settled';
    this.#issued--;
    const wasLive = this.#leave(entry);
    assert(wasLive, 'a request is in the ledger once, until it is settled');
    assert(this.#issued >= 0, 'no more are settled than were issued');
    if (keep !== 'no') this.#keep(entry, keep === 'stable');
    this.#leaveRoom(entry);
    for (const dependent of entry.dependents) {
      assert(dependent.blockers > 0, 'an entry waits as often as it is waited for');
      dependent.blockers--;
      if (dependent.blockers === 0) this.#ready.push(dependent);
    }
    entry.dependents.length = 0;
  }

  /**
   * The path they were issued on is abandoned: everything issued goes back to waiting. Call it only
   * when no callback of that path can come any more. A write that was answered but still waits for its
   * flush counts as a replay too: the new path may not show it. So does everything in the log. Returns
   * how many replays there are.
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
      entry.rest = undefined;
      entry.unflushed = false;
      entry.error = undefined;
    }
    this.#issued = 0;
    replays += this.#recall();
    this.#rebuild();
    return replays;
  }

  /** Everything in the log becomes entries to be issued, before all others. Returns how many. */
  #recall(): number {
    const recalled = this.log.take().map((change) => {
      return new Entry(0, { ...change, fua: false, done: () => undefined }, true);
    });
    if (recalled.length === 0) return 0;
    const live = [...recalled, ...this.#live];
    this.#live.clear();
    this.#writes.clear();
    for (const entry of live) this.#join(entry);
    for (const entry of recalled) this.#takeRoom(entry, undefined);
    return recalled.length;
  }

  /**
   * A SYNCHRONIZE CACHE issued when the log had this mark has succeeded. Returns the newest write that
   * it covers, if nothing has touched its blocks since.
   */
  flushed(mark: number): DataChange | undefined {
    const newest = this.log.flushed(mark);
    this.#readmit();
    if (newest?.data === undefined) return undefined;
    const { offset, length } = newest;
    if (this.log.touches(offset, length)) return undefined;
    for (const { request } of this.#writes) if (overlap(request, newest)) return undefined;
    return newest;
  }

  /** Acknowledged and not flushed: in the log, or being replayed. */
  get unflushed(): number {
    let count = this.log.count;
    for (const entry of this.#writes) if (entry.acknowledged) count++;
    return count;
  }

  /** The payload of these. */
  get unflushedBytes(): number {
    let { bytes } = this.log;
    for (const { acknowledged, request } of this.#writes) {
      if (acknowledged) bytes += request.data?.length ?? 0;
    }
    return bytes;
  }

  /** Whether a flush of our own is due: from half of the bound on, so that hardly anything ever waits. */
  get wantsFlush(): boolean {
    const { count, bytes } = this.log;
    if (count === 0) return false;
    const limits = this.#limits();
    if (limits === undefined || this.#roomless.length > 0) return true;
    return 2 * count >= limits.count || 2 * bytes >= limits.bytes;
  }

  /** Takes every entry out, in order, settled: the volume has failed and answers them all itself. */
  drain(): readonly Entry[] {
    const all = [...this.#live];
    for (const entry of all) entry.state = 'settled';
    this.#live.clear();
    this.#writes.clear();
    this.#ready = [];
    this.#readyHead = 0;
    this.#roomless = [];
    this.#issued = 0;
    this.log.take();
    return all;
  }

  /** Data-changing requests unanswered or unflushed: on the old path they may still take effect. */
  get unansweredWrites(): number {
    let count = this.log.count;
    for (const { state, unanswered, unflushed } of this.#writes) {
      if (state === 'issued' && (unanswered > 0 || unflushed)) count++;
    }
    return count;
  }

  /** Requests that are not answered yet. */
  get requests(): number {
    return this.#live.length - (this.unflushed - this.log.count);
  }

  /** Bytes of device that those of them that change data were to change; overlaps count twice. */
  get bytesToChange(): number {
    let bytes = 0;
    for (const { request, acknowledged } of this.#writes)
      if (!acknowledged) bytes += request.length;
    return bytes;
  }

  get issued(): number {
    return this.#issued;
  }

  get waiting(): number {
    return this.#live.length - this.#issued;
  }

  get size(): number {
    return this.#live.length;
  }

  /** Entries handed to a session and not settled. */
  *outstanding(): Iterable<Entry> {
    for (const entry of this.#live) if (entry.state === 'issued') yield entry;
  }

  #block(entry: Entry): void {
    const before = entry.changesData ? this.#live : this.#writes;
    for (let place = before.first; place !== undefined; place = place.next) {
      const earlier = place.item;
      if (earlier.seq < entry.seq && mustWait(entry, earlier)) {
        entry.blockers++;
        earlier.dependents.push(entry);
      }
    }
  }

  #keep({ request, acknowledged }: Entry, stable: boolean): void {
    const { kind, offset, length, data } = request;
    assert(kind !== 'read' && kind !== 'flush', 'only what changes data is kept');
    const own = acknowledged || data === undefined ? data : Buffer.from(data);
    this.log.append({ kind, offset, length, data: own }, stable);
  }

  /** Whether the entry may be issued: what will be kept must fit. One alone always fits. */
  #takeRoom(entry: Entry, limits: LogLimits | undefined): boolean {
    if (!entry.changesData || entry.hasRoom) return true;
    const length = entry.request.data?.length ?? 0;
    const count = this.log.count + this.#roomCount;
    const bytes = this.log.bytes + this.#roomBytes;
    if (limits !== undefined && count > 0) {
      const isFull = count >= limits.count || bytes + length > limits.bytes;
      if (isFull || this.#roomless.length > 0) return false;
    }
    entry.hasRoom = true;
    this.#roomCount++;
    this.#roomBytes += length;
    return true;
  }

  #leaveRoom(entry: Entry): void {
    if (!entry.hasRoom) return;
    entry.hasRoom = false;
    this.#roomCount--;
    this.#roomBytes -= entry.request.data?.length ?? 0;
    assert(this.#roomCount >= 0 && this.#roomBytes >= 0, 'room is given back once');
    this.#readmit();
  }

  /** There is room: those that found none are asked first. */
  #readmit(): void {
    if (this.#roomless.length === 0) return;
    this.#ready = [...this.#roomless, ...this.#ready.slice(this.#readyHead)];
    this.#readyHead = 0;
    this.#roomless = [];
  }

  /** Marks have changed: works out anew which entry waits for which. A flush waits for replays of any age. */
  #rebuild(): void {
    for (const entry of this.#live) {
      entry.blockers = 0;
      entry.dependents.length = 0;
    }
    this.#ready = [];
    this.#readyHead = 0;
    this.#roomless = [];
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
