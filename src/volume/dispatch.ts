/**
 * Carries requests between the ledger and the session of the current path. It holds the one token that
 * says where commands may go (`use`): every transmit goes through it, so a late callback cannot issue on
 * a path that was left.
 *
 * Held, it takes requests in and sends nothing. `abandon` gives everything unanswered back to the
 * ledger; what the ledger hands out next, in its order, is the replay.
 */
import type { Instant } from '../base/brand.ts';
import * as cdb from '../protocol/scsi/cdb.ts';
import { type Entry, Ledger } from './ledger.ts';
import type { LuFacts } from './lu.ts';
import { judge, type Verdict } from './outcome.ts';
import type { Clock, IoError, IoRequest, Sense, Session } from './ports.ts';
import type { RecentWrites } from './recent-writes.ts';
import type { InFlight } from './stall-watch.ts';
import { SyncGroup } from './sync-group.ts';
import { needsFlush, type Piece, translate } from './translate.ts';

/** Where commands go now. */
export interface Route {
  readonly path: string;
  readonly session: Session;
  readonly facts: LuFacts;
}

export interface DispatchEvents {
  /** An answer says that the logical unit cannot be reached this way. */
  pathFault(verdict: Extract<Verdict, { kind: 'path' }>): void;
  attention(sense: Sense): void;
  /** Another node took the volume. */
  fenced(detail: string): void;
}

const BUSY_MS_MIN = 8;
const BUSY_MS_MAX = 1_000;
/** Immediate retries of one command (unit attentions, aborted commands) before pauses are made. */
const RETRIES_AT_ONCE = 8;
/**
 * How often one command may be aborted (ABORTED COMMAND, TASK ABORTED) before its request is answered
 * with an error: 8 retries at once, then one a second for 30 s, which is what Linux gives a disk.
 *
 * Why an error and not a verdict on the path: "not every error is the path's". A path whose every command
 * is aborted fails its probes and is left within seconds, and the count starts anew on the next one.
 * What reaches this limit is a single command on a path that answers all others; moving it about would
 * take one path down after the other, and no request would be served any better. Unit attentions have
 * no limit: each is a piece of news, and a target runs out of them.
 */
const ABORTS_MAX = RETRIES_AT_ONCE + 30;

/** How often a command was sent again, and why. */
interface Tries {
  readonly busy: number;
  readonly attentions: number;
  readonly aborts: number;
}

const ABORTED: Verdict = { kind: 'error', error: 'EIO', detail: 'aborted again and again' };

const FIRST_TRY: Tries = { busy: 0, attentions: 0, aborts: 0 };

function busyPauseMs(tries: number): number {
  return Math.min(BUSY_MS_MAX, BUSY_MS_MIN * 2 ** Math.min(tries, 10));
}

function isQuick(request: IoRequest): boolean {
  return request.kind === 'read' || request.kind === 'write';
}

/** GOOD with less data than asked for is no answer to a read. */
function wholeRead(received: number, wanted: number): Verdict {
  if (received >= wanted) return { kind: 'good' };
  const detail = `${String(received)} of ${String(wanted)} bytes read`;
  return { kind: 'error', error: 'EIO', detail };
}

export class Dispatcher {
  readonly ledger = new Ledger();
  readonly #clock: Clock;
  readonly #recent: () => RecentWrites | undefined;
  readonly #events: DispatchEvents;
  readonly #sync: SyncGroup<Entry>;
  #route: Route | undefined;
  #held = true;
  /** Grows whenever commands sent before stop to count. */
  #epoch = 0;
  #onDrained: (() => void) | undefined;
  #failed = false;
  /** Not even retries go out: the identity of the logical unit is in doubt. */
  #frozen = false;
  #parked: (() => void)[] = [];
  /** Commands at the target, and those of them that ought to be quick (reads and writes). */
  #atTarget = 0;
  #quickAtTarget = 0;

  /** Requests answered with an error since attach. */
  ioErrors = 0;
  /** When the last request was answered; the ledger was empty before `busySince`. */
  lastAnswer: Instant;
  busySince: Instant;
  /** Called once at the next answer. */
  onNextAnswer: (() => void) | undefined;

  constructor(clock: Clock, recent: () => RecentWrites | undefined, events: DispatchEvents) {
    this.#clock = clock;
    this.#recent = recent;
    this.#events = events;
    this.lastAnswer = clock.now();
    this.busySince = this.lastAnswer;
    this.#sync = new SyncGroup<Entry>(
      (done) => this.#issueSync(done),
      (entry, verdict) => this.#flushed(entry, verdict),
    );
  }

  get held(): boolean {
    return this.#held;
  }

  get route(): Route | undefined {
    return this.#route;
  }

  /** What is at the target now, for the stall watch; a request that pauses (BUSY) is not. */
  inFlight(): InFlight | undefined {
    if (this.#atTarget === 0 || this.#route === undefined) return undefined;
    return { progress: this.#route.session.progress, slowOnly: this.#quickAtTarget === 0 };
  }

  submit(request: IoRequest): void {
    if (this.#failed) {
      this.ioErrors++;
      this.#clock.after(0, () => request.done('EIO'));
      return;
    }
    if (this.ledger.size === 0) this.busySince = this.#clock.now();
    const entry = this.ledger.admit(request);
    if (entry.changesData) this.#recent()?.forget(request);
    this.pump();
  }

  hold(): void {
    this.#held = true;
  }

  /** Holds, and keeps back retries as well (they are sent again with `resume`). */
  freeze(): void {
    this.#held = true;
    this.#frozen = true;
  }

  /** The token: from now on commands go here, starting with what waits. */
  release(route: Route): void {
    this.#route = route;
    this.#held = false;
    this.pump();
  }

  /** Takes back a hold that was for nothing: same path, same session. */
  resume(): void {
    this.#held = false;
    const parked = this.#thaw();
    for (const send of parked) send();
    this.pump();
  }

  /**
   * The path is left and none of its callbacks can come any more (its session is closed). Returns how
   * many data-changing requests will be issued again.
   */
  abandon(): number {
    this.#epoch++;
    this.#route = undefined;
    this.#thaw();
    this.#sync.reset();
    this.#atTarget = 0;
    this.#quickAtTarget = 0;
    return this.ledger.abandon();
  }

  /** Resolves when nothing is at the target any more; the dispatcher must be held. */
  drained(): Promise<void> {
    if (this.ledger.issued === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrained = resolve;
    });
  }

  /** Answers everything with an error, now and for ever. */
  fail(): void {
    this.#failed = true;
    this.#held = true;
    this.#epoch++;
    this.#sync.reset();
    for (const entry of this.ledger.drain()) {
      this.ioErrors++;
      entry.request.done('EIO');
    }
    this.#onDrained?.();
  }

  pump(): void {
    while (!this.#held && this.#route !== undefined) {
      const entry = this.ledger.next();
      if (entry === undefined) return;
      this.#issue(entry, this.#route);
    }
  }

  #issue(entry: Entry, route: Route): void {
    const { request } = entry;
    const pieces = translate(request, route.facts);
    entry.unfinished = pieces.length;
    entry.unanswered = pieces.length;
    if (pieces.length === 0) {
      this.#sync.join(entry);
      return;
    }
    for (const piece of pieces) this.#send(entry, piece, route, FIRST_TRY);
  }

  #send(entry: Entry, piece: Piece, route: Route, tries: Tries): void {
    const epoch = this.#epoch;
    const { cdb: bytes, dataIn, dataOut, tailroom } = piece;
    const quick = isQuick(entry.request) ? 1 : 0;
    this.#atTarget++;
    this.#quickAtTarget += quick;
    route.session.execute({
      cdb: bytes,
      ...(dataIn === undefined ? {} : { dataIn }),
      ...(dataOut === undefined ? {} : { dataOut }),
      tailroom,
      done: (outcome) => {
        if (epoch !== this.#epoch) return;
        let verdict = judge(outcome);
        if (verdict.kind === 'unknown') return; // unanswered until the path is abandoned
        entry.unanswered--;
        this.#atTarget--;
        this.#quickAtTarget -= quick;
        if (verdict.kind === 'good' && outcome.kind === 'status' && dataIn !== undefined) {
          verdict = wholeRead(outcome.received, dataIn.length);
        }
        this.#answered(entry, piece, route, tries, verdict);
      },
    });
  }

  #answered(entry: Entry, piece: Piece, route: Route, tries: Tries, verdict: Verdict): void {
    switch (verdict.kind) {
      case 'good':
        entry.unflushed = entry.changesData && needsFlush(entry.request, route.facts);
        this.#ended(entry, route);
        return;
      case 'unknown':
        return;
      case 'retry':
        this.#retry(entry, piece, route, tries, verdict.attention);
        return;
      case 'busy': {
        const next = { ...tries, busy: tries.busy + 1 };
        this.#again(entry, piece, route, next, busyPauseMs(tries.busy));
        return;
      }
      case 'path':
        this.#events.pathFault(verdict);
        return;
      case 'fenced':
        this.#events.fenced(verdict.detail);
        return;
      case 'error':
        entry.error ??= verdict.error;
        this.#ended(entry, route);
        return;
    }
  }

  #retry(entry: Entry, piece: Piece, route: Route, tries: Tries, attention?: Sense): void {
    if (attention !== undefined) this.#events.attention(attention);
    else if (tries.aborts >= ABORTS_MAX) {
      this.#answered(entry, piece, route, tries, ABORTED);
      return;
    }
    const next =
      attention === undefined
        ? { ...tries, aborts: tries.aborts + 1 }
        : { ...tries, attentions: tries.attentions + 1 };
    const atOnce = next.aborts <= RETRIES_AT_ONCE && next.attentions <= RETRIES_AT_ONCE;
    this.#again(entry, piece, route, next, atOnce ? 0 : BUSY_MS_MAX);
  }

  /** One command has ended. The request is answered when all have: until then its buffer is in use. */
  #ended(entry: Entry, route: Route): void {
    entry.unfinished--;
    if (entry.unfinished > 0) return;
    if (entry.error === undefined && needsFlush(entry.request, route.facts)) this.#sync.join(entry);
    else this.#finish(entry, entry.error);
  }

  /** Sends a piece again on the same path; its request keeps its place in the order. */
  #again(entry: Entry, piece: Piece, route: Route, tries: Tries, pauseMs: number): void {
    const epoch = this.#epoch;
    const send = (): void => {
      if (epoch !== this.#epoch || entry.state !== 'issued') return;
      if (this.#frozen) {
        this.#parked.push(send);
        return;
      }
      entry.unanswered++;
      this.#send(entry, piece, route, tries);
    };
    if (pauseMs === 0) send();
    else this.#clock.after(pauseMs, send);
  }

  #thaw(): readonly (() => void)[] {
    const parked = this.#parked;
    this.#parked = [];
    this.#frozen = false;
    return parked;
  }

  #issueSync(done: (verdict: Verdict) => void): void {
    const route = this.#route;
    if (route === undefined) return;
    const epoch = this.#epoch;
    let aborts = 0;
    const send = (tries: number): void => {
      if (epoch !== this.#epoch) return;
      this.#atTarget++;
      route.session.execute({
        cdb: cdb.synchronizeCache16(),
        done: (outcome) => {
          let verdict = judge(outcome);
          if (epoch !== this.#epoch || verdict.kind === 'unknown') return;
          this.#atTarget--;
          const aborted = verdict.kind === 'retry' && verdict.attention === undefined;
          if (aborted && ++aborts > ABORTS_MAX) verdict = ABORTED;
          const again = this.#syncVerdict(verdict, route, done);
          if (again) this.#clock.after(busyPauseMs(tries), () => send(tries + 1));
        },
      });
    };
    send(0);
  }

  /** Whether SYNCHRONIZE CACHE is to be sent again. */
  #syncVerdict(verdict: Verdict, route: Route, done: (verdict: Verdict) => void): boolean {
    switch (verdict.kind) {
      case 'retry':
        if (verdict.attention !== undefined) this.#events.attention(verdict.attention);
        return true;
      case 'busy':
        return true;
      case 'path':
        this.#events.pathFault(verdict);
        return false;
      case 'fenced':
        this.#events.fenced(verdict.detail);
        return false;
      case 'error': {
        // No such command and no cache known of: there is nothing to flush.
        const needless = verdict.error === 'EOPNOTSUPP' && route.facts.writeCache !== 'volatile';
        done(needless ? { kind: 'good' } : verdict);
        return false;
      }
      case 'good':
        done(verdict);
        return false;
      case 'unknown':
        return false;
    }
  }

  #flushed(entry: Entry, verdict: Verdict): void {
    this.#finish(entry, verdict.kind === 'error' ? verdict.error : undefined);
  }

  #finish(entry: Entry, error: IoError | undefined): void {
    const { request } = entry;
    if (error === undefined && request.kind === 'write') {
      const overlapped = entry.dependents.some((later) => later.changesData);
      this.#recent()?.note(request, this.#clock.now(), overlapped);
    }
    if (error !== undefined) this.ioErrors++;
    this.ledger.settle(entry);
    this.lastAnswer = this.#clock.now();
    const next = this.onNextAnswer;
    this.onNextAnswer = undefined;
    next?.();
    request.done(error);
    if (this.ledger.issued === 0) {
      const drained = this.#onDrained;
      this.#onDrained = undefined;
      drained?.();
    }
    this.pump();
  }
}
