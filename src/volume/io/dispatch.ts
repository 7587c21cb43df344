/**
 * Carries requests between the ledger and the session of the current path (D22, D23). It holds the one token that
 * says where commands may go (`use`): every transmit goes through it, so a late callback cannot issue on
 * a path that was left.
 *
 * Held, it takes requests in and sends nothing. `abandon` gives everything unanswered back to the
 * ledger; what the ledger hands out next, in its order, is the replay.
 */
import { assert } from '../../base/assert.ts';
import type { Instant } from '../../base/brand.ts';
import type { IoError, IoRequest } from '../../ports/block.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Session } from '../../ports/session.ts';
import type { LuFacts } from '../unit/lu.ts';
import { judgeTransfer, type Verdict } from '../unit/outcome.ts';
import type { RecentWrites } from '../unit/recent-writes.ts';
import { CacheDebt } from './cache-debt.ts';
import { type Age, Flights } from './flights.ts';
import { FlushAhead } from './flush-ahead.ts';
import type { AnswerSignal } from './io-signal.ts';
import { type Entry, Ledger } from './ledger.ts';
import { ABORTED, FIRST_TRY, LONG_BUSY_TRIES, nextTry, type Tries } from './retries.ts';
import type { InFlight } from './stall-watch.ts';
import { SyncGroup } from './sync-group.ts';
import { type SyncContext, synchronize } from './synchronize.ts';
import { needsFlush, type Piece, translate } from './translate.ts';
import type { LogLimits } from './write-log.ts';

/**
 * Commands of one request at the target at once: enough to keep it busy, and few enough that a discard of
 * the whole device takes no memory to speak of and no other request has to wait behind a million commands.
 */
const PIECES_AT_ONCE = 32;

/** Where commands go now. */
export interface Route {
  readonly path: string;
  readonly session: Session;
  readonly facts: LuFacts;
}

interface FlushMark {
  readonly log: number;
  readonly debt: number;
}

export class Dispatcher {
  readonly ledger: Ledger;
  readonly ahead: FlushAhead;
  readonly #clock: Clock;
  readonly #recent: () => RecentWrites | undefined;
  readonly #emit: (signal: AnswerSignal) => void;
  readonly #sync: SyncGroup<Entry>;
  /** The token. Invariant: one path has it at most; the next one gets it when the last was abandoned. */
  #route: Route | undefined;
  #isHolding = true;
  /** Grows whenever commands sent before stop to count. It never goes back. */
  #epoch = 0;
  #onDrained: (() => void) | undefined;
  #failed = false;
  /** Not even retries go out: the identity of the logical unit is in doubt. */
  #frozen = false;
  #parked: (() => void)[] = [];
  /** Commands at the target. */
  readonly flights: Flights;
  /** Of the flush that is out or is to be sent again. */
  #syncAge: Age = { since: undefined, givenUp: 0 };

  /** Of the latest route: what the device can do does not change while nothing serves it. */
  facts: LuFacts | undefined;
  readonly #debt = new CacheDebt();
  /** Requests answered with an error since attach. */
  ioErrors = 0;
  /** When the last request was answered; the ledger was empty before `busySince`. */
  lastAnswer: Instant;
  busySince: Instant;
  /** Called once at the next answer. */
  onNextAnswer: (() => void) | undefined;

  /** @param limits bounds of the log; undefined: write policy `through`. Asked whenever it matters. */
  constructor(
    clock: Clock,
    recent: () => RecentWrites | undefined,
    emit: (signal: AnswerSignal) => void,
    limits?: () => LogLimits | undefined,
  ) {
    this.ledger = new Ledger(limits);
    const isCacheOff = (): boolean => this.facts?.writeCache === 'none';
    this.ahead = new FlushAhead(this.ledger, isCacheOff, (request) => this.submit(request));
    this.flights = new Flights(clock);
    this.#clock = clock;
    this.#recent = recent;
    this.#emit = emit;
    this.lastAnswer = clock.now();
    this.busySince = this.lastAnswer;
    this.#sync = new SyncGroup<Entry>(
      (done) => this.#issueSync(done),
      (entry, verdict) => this.#flushed(entry, verdict),
    );
  }

  get isHolding(): boolean {
    return this.#isHolding;
  }

  get route(): Route | undefined {
    return this.#route;
  }

  /** What is at the target now, for the stall watch; a request that pauses (BUSY) is not. */
  inFlight(): InFlight | undefined {
    if (this.flights.size === 0 || this.#route === undefined) return undefined;
    const { session } = this.#route;
    const { progress, heard } = session;
    const ping = (): void => session.ping();
    return { session, progress, heard, ping, slowOnly: !this.flights.hasQuick };
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
    this.#isHolding = true;
  }

  /** The target has ended the commands of this nexus: what it still answers there counts for nothing. */
  distrust(): void {
    this.#isHolding = true;
    this.#epoch++;
  }

  /** Holds, and keeps back retries as well (they are sent again with `resume`). */
  freeze(): void {
    this.#isHolding = true;
    this.#frozen = true;
  }

  /** The token: from now on commands go here, starting with what waits. */
  release(route: Route): void {
    assert(this.#route === undefined || this.#failed, 'never two current paths');
    this.#route = route;
    this.facts = route.facts;
    this.#isHolding = false;
    // A doubt from the time without a path counts no more: this path was verified.
    this.#frozen = false;
    this.pump();
  }

  /** Takes back a hold that was for nothing: same path, same session; `facts`: as it is now. */
  resume(facts?: LuFacts): void {
    this.#isHolding = false;
    if (facts !== undefined && this.#route !== undefined) this.#renew(this.#route, facts);
    const parked = this.#thaw();
    for (const send of parked) send();
    this.pump();
  }

  #renew(route: Route, facts: LuFacts): void {
    this.#route = { ...route, facts };
    this.facts = facts;
    const [before, now] = [route.facts.writeCache, facts.writeCache];
    if (now === 'none') this.ahead.relieve();
    if (before !== 'none' || now === 'none') return;
    this.#debt.expose(this.ledger.outstanding());
    // What was answered while the cache was not known is in it.
    const done = (): void => undefined;
    this.submit({ kind: 'flush', offset: 0, length: 0, data: undefined, fua: false, done });
  }

  /**
   * The path is left and none of its callbacks can come any more (its session is closed). Returns how
   * many data-changing requests will be issued again.
   */
  abandon(): number {
    this.#epoch++;
    this.#route = undefined;
    this.#thaw();
    this.#debt.leave();
    this.#sync.reset();
    this.flights.clear();
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
    this.#isHolding = true;
    this.#epoch++;
    this.#sync.reset();
    for (const entry of this.ledger.drain()) {
      if (entry.acknowledged) continue;
      this.ioErrors++;
      entry.request.done('EIO');
    }
    this.#onDrained?.();
  }

  pump(): void {
    while (!this.#isHolding && this.#route !== undefined) {
      const entry = this.ledger.next();
      if (entry === undefined) return;
      this.#issue(entry, this.#route);
    }
  }

  #issue(entry: Entry, route: Route): void {
    const { request } = entry;
    entry.rest = translate(request, route.facts, entry.logged)[Symbol.iterator]();
    entry.unfinished = 0;
    entry.unanswered = 0;
    while (entry.unfinished < PIECES_AT_ONCE && this.#sendNext(entry, route));
    if (entry.unfinished === 0) this.#sync.join(entry);
  }

  /** The next command of the request; false: there is none, or it is not to be carried out to its end. */
  #sendNext(entry: Entry, route: Route): boolean {
    const next = entry.error === undefined ? entry.rest?.next().value : undefined;
    if (next === undefined) {
      entry.rest = undefined;
      return false;
    }
    entry.unfinished++;
    entry.unanswered++;
    this.#send(entry, next, route, FIRST_TRY);
    return true;
  }

  #send(entry: Entry, piece: Piece, route: Route, tries: Tries): void {
    const epoch = this.#epoch;
    this.flights.launch(route.session, piece, entry, (outcome) => {
      assert(epoch <= this.#epoch, 'the epoch never goes back');
      if (epoch !== this.#epoch) return;
      const verdict = judgeTransfer(outcome, piece);
      if (verdict.kind === 'unknown') return; // unanswered until the path is abandoned
      assert(entry.unanswered > 0, 'a command is answered once');
      entry.unanswered--;
      this.#answered(entry, piece, route, tries, verdict);
    });
  }

  #answered(entry: Entry, piece: Piece, route: Route, tries: Tries, verdict: Verdict): void {
    switch (verdict.kind) {
      case 'good':
        entry.unflushed = entry.changesData && this.#needsFlush(entry, route);
        this.#ended(entry, route);
        return;
      case 'unknown':
        return;
      case 'retry':
        if (verdict.attention === undefined) this.#debt.failed(entry, route.facts);
        else this.#emit({ kind: 'attention', path: route.path, sense: verdict.attention });
        this.#retry(entry, piece, route, tries, verdict);
        return;
      case 'busy':
        if (tries.busy === LONG_BUSY_TRIES) {
          this.#emit({ kind: 'put-off', path: route.path, command: entry.what() });
        }
        this.#retry(entry, piece, route, tries, verdict);
        return;
      case 'path':
        this.#emit({ kind: 'path-fault', path: route.path, verdict });
        return;
      case 'reservation-conflict':
        this.#emit({ kind: 'conflict', path: route.path, detail: verdict.detail });
        return;
      case 'error':
        if (entry.acknowledged) {
          // It stays unsettled: no flush gets past it until the volume has failed.
          const detail = `replay of ${entry.what()} failed, ${verdict.detail}`;
          this.#emit({ kind: 'writes-lost', detail });
          return;
        }
        entry.error ??= verdict.error;
        this.#ended(entry, route);
        return;
    }
  }

  #retry(
    entry: Entry,
    piece: Piece,
    route: Route,
    tries: Tries,
    verdict: Extract<Verdict, { kind: 'busy' | 'retry' }>,
  ): void {
    const next = nextTry(tries, verdict);
    if (next === undefined) this.#answered(entry, piece, route, tries, ABORTED);
    else this.#again(entry, piece, route, next.tries, next.pauseMs);
  }

  /** One command has ended. The request is answered when all have: until then its buffer is in use. */
  #ended(entry: Entry, route: Route): void {
    assert(entry.unfinished > 0, 'a command ends once');
    entry.unfinished--;
    if (entry.rest !== undefined && this.#goOn(entry, route)) return;
    if (entry.unfinished > 0) return;
    const { error } = entry;
    const flushed = error === undefined && this.#needsFlush(entry, route);
    this.#debt.ended(entry);
    if (flushed) this.#sync.join(entry);
    else this.#finish(entry, error, route.facts.writeCache === 'none');
  }

  /** A command has ended, and another one takes its place; false: none does. */
  #goOn(entry: Entry, route: Route): boolean {
    if (!this.#frozen) return this.#sendNext(entry, route);
    const epoch = this.#epoch;
    // Its place is kept: it ends once more when it is known what comes of the unit.
    entry.unfinished++;
    this.#parked.push(() => {
      if (epoch === this.#epoch && entry.state === 'issued') this.#ended(entry, route);
    });
    return true;
  }

  #needsFlush(entry: Entry, { facts }: Route): boolean {
    return this.#debt.isExposed(entry) || needsFlush(entry.request, facts, entry.logged);
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
      assert(entry.unanswered <= entry.unfinished, 'a command that has ended is not sent again');
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
    const mark = this.flushMark;
    const context: SyncContext = {
      clock: this.#clock,
      path: route.path,
      emit: this.#emit,
      writeCache: route.facts.writeCache,
      isCurrent: () => epoch === this.#epoch,
      execute: (bytes, answered) => {
        const errand = { what: () => 'flush', isQuick: false, age: this.#syncAge };
        this.flights.launch(route.session, { cdb: bytes }, errand, (outcome) => {
          if (epoch === this.#epoch && outcome.kind !== 'lost') answered(outcome);
        });
      },
    };
    synchronize(context, (verdict) => {
      this.#syncAge = { since: undefined, givenUp: 0 };
      if (verdict.kind === 'good') this.flushed(mark);
      else if (verdict.kind === 'error' && this.ledger.log.count > 0) {
        // Which of them are lost is not known: a later flush must not succeed.
        this.#emit({ kind: 'writes-lost', detail: `flush failed, ${verdict.detail}` });
        return;
      }
      done(verdict);
    });
  }

  /** What a SYNCHRONIZE CACHE that is issued now will cover: hand it to `flushed`. */
  get flushMark(): FlushMark {
    return { log: this.ledger.log.mark, debt: this.#debt.mark };
  }

  /** Whether something of ours may take effect later on the path that is left now. */
  get mayTakeEffect(): boolean {
    return this.ledger.unansweredWrites > 0 || this.#debt.isOpen;
  }

  /** A SYNCHRONIZE CACHE that was issued at this mark has succeeded. */
  flushed({ log, debt }: FlushMark): void {
    this.#debt.flushed(debt);
    const newest = this.ledger.flushed(log);
    if (newest !== undefined) this.#recent()?.note(newest, this.#clock.now(), false);
    this.pump();
  }

  #flushed(entry: Entry, verdict: Verdict): void {
    this.#finish(entry, verdict.kind === 'error' ? verdict.error : undefined, true);
  }

  /** @param stable what it wrote is on stable storage. */
  #finish(entry: Entry, error: IoError | undefined, stable: boolean): void {
    const { request, changesData } = entry;
    const { log } = this.ledger;
    // While there is something older in the log, what comes after it is kept whatever the policy and the
    // cache are by then: replayed, the older one would undo it.
    const mayLose = entry.logged && !stable;
    const keep = error === undefined && changesData && (mayLose || log.count > 0);
    if (error === undefined && request.kind === 'write' && !keep) {
      const overlapped = entry.dependents.some((later) => later.changesData);
      this.#recent()?.note(request, this.#clock.now(), overlapped);
    }
    if (error !== undefined) {
      this.ioErrors++;
      this.#debt.failed(entry, this.facts);
    }
    this.ledger.settle(entry, keep ? (stable ? 'stable' : 'unstable') : 'no');
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
    if (keep) this.ahead.relieve();
    this.pump();
  }
}
