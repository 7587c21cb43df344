/**
 * The parts of a volume, joined: what happens in it without a call.
 *
 *   requests → Dispatcher → session of the current path      (dispatch.ts, ledger.ts, translate.ts)
 *   probes, stalls, lost sessions → controller → effects     (path-board.ts, controller-driver.ts)
 *   switch effects → Switcher: leave, fence, arrive          (switcher.ts, unfenced.ts, fence.ts)
 *   unit attentions, conflicts → restart of the nexus, identity again, or the end   (unit-news.ts, follow-up.ts)
 *   registrations, the unit reserved for this node             (reservations.ts)
 *
 * Each part tells what happens in it by one `emit(signal)`; what follows is in one place, `#on`. A signal is
 * delivered at once: `#on` has returned before the part goes on. What a part has to ask is in its options.
 *
 * What is asked of a volume from outside is in volume.ts.
 */
import { assertNever } from '../base/assert.ts';
import type { Result } from '../base/result.ts';
import type { Cause, PathEffect } from '../paths/model.ts';
import type { Policy } from '../paths/policy.ts';
import type { Clock } from '../ports/clock.ts';
import { Bell } from './bell.ts';
import { ClaimQuestion } from './reserve/claim-question.ts';
import { CommandAge } from './io/command-age.ts';
import { ControllerDriver } from './controller-driver.ts';
import { Dispatcher } from './io/dispatch.ts';
import type { Debts } from './debt/debts.ts';
import { type FenceOutlook, fenceOutlook } from './fence/fence-outlook.ts';
import { payRemoved } from './kept-out.ts';
import { inherit, makeDebts, predecessorsOf } from './inheritance.ts';
import { IdentityBook } from './unit/identity-book.ts';
import { MemoryKeeper } from './memory-keeper.ts';
import type { LinkSignal } from './link/link-signal.ts';
import { type BoardOptions, PathBoard, type VolumePath } from './link/path-board.ts';
import type { RecentWrites } from './unit/recent-writes.ts';
import type { PathLink } from './link/path-link.ts';
import { FollowUp } from './follow-up.ts';
import { banRecord, bansOf, type StoreError, type VolumeRecord } from './record/record.ts';
import { RecordKeeper } from './record/record-keeper.ts';
import { recordedReservations, reservationRecorder } from './reservation-record.ts';
import { type ReservationMode, Reservations } from './reserve/reservations.ts';
import type { ReserveSignal } from './reserve/reserve-signal.ts';
import { type SwitchHistory, takeSnapshot } from './snapshot.ts';
import { seldom } from './seldom.ts';
import type { AgeSignal, IoSignal, StallSignal } from './io/io-signal.ts';
import { StallWatch } from './io/stall-watch.ts';
import type { SwitchReport } from './switch/switch-report.ts';
import type { SwitchSignal } from './switch/switch-signal.ts';
import { Switcher } from './switch/switcher.ts';
import { controllerOptions, type VolumeOptions, type VolumeSnapshot } from './volume-types.ts';
import { type LogLimits, logLimits, unflushedText } from './io/write-log.ts';
import type { UnitSignal } from './unit/unit-signal.ts';
import { WriteProtection } from './unit/write-protection.ts';

/** What the parts tell. */
export type VolumeSignal = IoSignal | LinkSignal | ReserveSignal | SwitchSignal;

export const LOGOUT_TIMEOUT_MS = 1_000;
/** How often a volume that is closed looks whether its own requests are answered. */
const SETTLE_LOOK_MS = 5;

export class VolumeEngine {
  readonly options: VolumeOptions;
  readonly clock: Clock;
  readonly bell: Bell;
  readonly dispatcher: Dispatcher;
  readonly keeper: RecordKeeper;
  readonly book: IdentityBook;
  readonly board: PathBoard;
  readonly driver: ControllerDriver;
  readonly switcher: Switcher;
  readonly reservations: Reservations;
  readonly question: ClaimQuestion;
  readonly debts: Debts;
  readonly #followUp: FollowUp;
  readonly #stalls: StallWatch;
  readonly #ages: CommandAge;
  readonly #memory: MemoryKeeper;
  readonly #protection: WriteProtection;
  /** What is wanted now; the options are what was wanted at the start. */
  paths: readonly VolumePath[];
  /** csi answers `claim-questioned`. */
  claimQuestions: boolean;
  /** The one policy: every part has this function and asks it when it needs a value. */
  readonly policy = (): Policy => this.#policy;
  #policy: Policy;
  /**
   * The device shows a volatile cache; decided when the device is attached. A policy that becomes `log` later counts
   * from the next staging on, one that becomes `through` at once.
   */
  readonly volatileCache: boolean;
  /** From the end of the start on: what standbys have to show. */
  recent: RecentWrites | undefined;
  #stuck: { readonly what: 'fence' | 'record'; readonly why: string } | undefined;
  #stuckTold: 'fence' | 'record' | undefined;
  #allDown = false;
  #failure: string | undefined;
  #outlookTold = '';
  /** Of many commands that end in the same way only the first is reported. */
  readonly #tell: {
    readonly busy: (path: string, command: string) => void;
    readonly slow: (path: string, command: string, ageMs: number) => void;
  };
  readonly #history: SwitchHistory = { last: undefined, failovers: 0, failbacks: 0 };

  constructor(options: VolumeOptions) {
    const { clock, policy, record, store, onEvent } = options;
    this.options = options;
    this.claimQuestions = options.claimQuestions === true;
    this.clock = clock;
    this.paths = options.paths;
    this.#policy = policy;
    // eslint-disable-next-line one-policy/one-policy -- decided at the attach, for as long as the device lives
    this.volatileCache = policy.writePolicy === 'log';
    this.bell = new Bell(clock);
    this.keeper = new RecordKeeper(store, record);
    this.book = new IdentityBook({
      firstPath: options.paths[0]?.name ?? '',
      policy: this.policy,
      record: record.lu,
      pinned: options.pinned,
      banned: bansOf(record, options.paths),
    });
    this.#tell = {
      busy: seldom(clock, (path, command) => onEvent({ kind: 'busy', path, command })),
      slow: seldom(clock, (path, command, ageMs) => {
        onEvent({ kind: 'slow-storage', path, command, ageMs });
      }),
    };
    const emit = (signal: VolumeSignal): void => this.#on(signal);
    const limits = (): LogLimits | undefined =>
      this.volatileCache ? logLimits(this.policy()) : undefined;
    this.dispatcher = new Dispatcher(clock, () => this.recent, emit, limits);
    this.question = new ClaimQuestion({ clock, isAnswered: () => this.claimQuestions }, emit);
    this.#protection = new WriteProtection(clock, !options.readOnly);
    this.reservations = this.#makeReservations(emit);
    this.board = this.#makeBoard(emit);
    this.driver = new ControllerDriver(
      clock,
      controllerOptions(options, this.policy),
      (effect) => this.#execute(effect),
      () => this.#stalls.catchUp(),
    );
    this.switcher = this.#makeSwitcher(emit);
    this.debts = makeDebts(this, this.policy);
    const { keeper, driver, dispatcher, board, switcher, reservations } = this;
    this.#followUp = new FollowUp(
      {
        ...{ clock, dispatcher, board, switcher, reservations },
        hasFailed: () => this.#failure !== undefined,
        wantsKeys: () => this.#mode !== 'none',
        asksForClaim: () => this.claimQuestions,
      },
      emit,
    );
    this.#memory = new MemoryKeeper({ clock, keeper, driver, paths: () => this.paths });
    this.#stalls = new StallWatch(clock, this.policy, () => dispatcher.inFlight(), emit);
    this.#ages = this.#makeAges(emit);
  }

  /** Why it has failed for good; undefined: it has not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Why I/O cannot go on at the moment. */
  get stuck(): { readonly what: 'fence' | 'record'; readonly why: string } | undefined {
    return this.#stuck;
  }

  /** The bans as they are recorded. */
  get bans(): VolumeRecord['banned'] {
    return banRecord(this.paths, this.book.banned);
  }

  /** What earlier processes and former nodes may have under way is fenced first. */
  async inherit(): Promise<Result<void, StoreError>> {
    await payRemoved(this, []);
    const { options, switcher, debts } = this;
    const { quietSince = this.clock.now() } = options;
    const link = (path: string): PathLink | undefined => this.board.link(path);
    return inherit({ options, link, switcher, debts, quietSince });
  }

  /** It serves: what standbys have to show, and what the next process is to know. */
  serve(recent: RecentWrites): void {
    this.recent = recent;
    this.#tellOutlook();
    this.#memory.start();
    if (!this.options.readOnly && this.options.singleNode !== false) this.debts.serve();
  }

  /** The controller is stopped, and nothing new is sent. */
  stop(): void {
    this.#silence();
    this.dispatcher.hold();
  }

  #silence(): void {
    this.#stalls.close();
    this.#ages.close();
    this.#memory.stop();
    this.debts.stop();
    this.driver.stop();
  }

  /**
   * The device is gone: what is still under way is our own, a planned switch and flushes ahead of the log's
   * bound. They end first, so that what follows finds one path, and nothing that it has not answered.
   */
  async waitUntilIdle(): Promise<void> {
    const { bell, clock, dispatcher, switcher } = this;
    this.#silence();
    await switcher.calm();
    const until = clock.now() + this.policy().drainTimeoutMs;
    while (!dispatcher.isHolding && dispatcher.ledger.size > 0 && clock.now() < until) {
      await bell.within(SETTLE_LOOK_MS);
    }
    dispatcher.hold();
  }

  /** Fails the volume until it is staged again: a failed write is never followed by a good flush. */
  async fail(why: string): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#failure = why;
    this.stop();
    this.reservations.stop();
    const { bytesToChange, requests, unflushed } = this.dispatcher.ledger;
    this.#failure += unflushedText(unflushed);
    await this.switcher.end();
    this.dispatcher.fail();
    const discarded = { requests, bytesToChange };
    this.options.onEvent({ kind: 'failed', why: this.#failure, discarded });
    this.bell.ring();
    await this.board.close(LOGOUT_TIMEOUT_MS);
  }

  /** It carries the I/O, or may still execute writes of ours. */
  isUnfenced(path: string): boolean {
    return this.dispatcher.route?.path === path || this.switcher.unfenced.includes(path);
  }

  /** Every part looks its values up when it needs them; what proves the unit may be another question. */
  setPolicy(policy: Policy): void {
    const reidentify = policy.expectedSerial !== this.policy().expectedSerial;
    this.#policy = policy;
    this.driver.dispatch({ kind: 'policy-set' });
    this.dispatcher.ahead.relieve();
    this.#tellOutlook();
    if (!reidentify) return;
    const current = this.dispatcher.route?.path;
    for (const { name } of this.paths) {
      if (name !== current) void this.board.sever(name, 'its identity is checked again');
    }
    this.switcher.recheck();
  }

  snapshot(): VolumeSnapshot {
    return takeSnapshot({
      dispatcher: this.dispatcher,
      board: this.board,
      book: this.book,
      views: this.driver.view(),
      pinned: this.driver.pinned ?? '',
      failure: this.#failure,
      stuck: this.#stuck?.why ?? '',
      allDown: this.#allDown,
      history: this.#history,
      members: this.reservations.members,
    });
  }

  // ------------------------------------------------------------------------- the signals

  #on(signal: VolumeSignal): void {
    switch (signal.kind) {
      case 'attention':
        this.#followUp.attention(signal.path, signal.sense);
        return;
      case 'conflict':
        this.#followUp.conflict(signal.path, signal.detail);
        return;
      case 'path-fault':
      case 'put-off':
      case 'writes-lost':
      case 'given-up':
      case 'overdue':
        this.#onIo(signal);
        return;
      case 'io-stalled':
      case 'io-progressed':
      case 'own-stall':
        this.#onStall(signal);
        return;
      case 'path-event':
      case 'identity':
      case 'unauthenticated':
      case 'path-dropped':
      case 'paths-changed':
        this.#onLink(signal);
        return;
      case 'claim-questioned':
      case 'claim-confirmed':
      case 'taken-over':
      case 'servers-changed':
        this.#onReserve(signal);
        return;
      case 'fenced':
      case 'switched':
      case 'switch-abandoned':
      case 'path-rejected':
      case 'stuck':
      case 'unstuck':
        this.#onSwitch(signal);
        return;
      default:
        assertNever(signal);
    }
  }

  #onIo(signal: Exclude<IoSignal, UnitSignal | StallSignal>): void {
    switch (signal.kind) {
      case 'path-fault': {
        const { path, verdict } = signal;
        if (verdict.cause === 'write-protected') this.#protection.refused(path);
        this.board.failed(path, { kind: verdict.cause, detail: verdict.detail });
        return;
      }
      case 'put-off':
        this.#tell.busy(signal.path, signal.command);
        return;
      case 'writes-lost':
        void this.fail(`acknowledged writes are lost: ${signal.detail}`);
        return;
      case 'given-up':
        this.#tell.slow(signal.path, signal.command, signal.ageMs);
        return;
      case 'overdue': {
        const { path, detail, goesOn } = signal;
        const cause: Cause = { kind: 'command-age', detail };
        if (goesOn === 'on-another-path') this.board.failed(path, cause);
        else this.switcher.restart(path, cause);
        return;
      }
      default:
        assertNever(signal);
    }
  }

  /** I/O that does not move, or does again, is a matter of the path that carries it at this moment. */
  #onStall(signal: StallSignal): void {
    if (signal.kind === 'own-stall') {
      this.driver.dispatch(signal);
      return;
    }
    const path = this.dispatcher.route?.path;
    if (path !== undefined) this.driver.dispatch({ ...signal, path });
  }

  #onLink(signal: Exclude<LinkSignal, UnitSignal>): void {
    switch (signal.kind) {
      case 'path-event':
        this.driver.dispatch(signal.event);
        return;
      case 'identity':
        // A ban outlives this process: a path that leads to another unit today does so after a restart.
        if (signal.identity.kind === 'banned') void this.#recordBans();
        this.options.onEvent(signal);
        return;
      case 'unauthenticated':
        this.options.onEvent(signal);
        return;
      case 'path-dropped':
        this.reservations.forget(signal.path);
        return;
      case 'paths-changed':
        this.bell.ring();
        return;
      default:
        assertNever(signal);
    }
  }

  #onReserve(signal: ReserveSignal): void {
    switch (signal.kind) {
      case 'claim-questioned':
        this.options.onEvent(signal);
        return;
      case 'claim-confirmed': {
        const { probeTimeoutMs } = this.policy();
        for (const path of signal.paths) void this.board.identify(path, probeTimeoutMs);
        return;
      }
      case 'taken-over':
        void this.fail(`another node took the volume: ${signal.detail}`);
        return;
      case 'servers-changed':
        this.#tellOutlook();
        this.bell.ring();
        return;
      default:
        assertNever(signal);
    }
  }

  #onSwitch(signal: Exclude<SwitchSignal, UnitSignal>): void {
    switch (signal.kind) {
      case 'fenced':
        this.debts.onFenced(signal.path, signal.rung);
        return;
      case 'switched':
        this.#switched(signal.report);
        return;
      case 'switch-abandoned': {
        const { kind, to, reason } = signal;
        this.options.onEvent(signal);
        this.driver.dispatch({ kind, path: to, reason });
        return;
      }
      case 'path-rejected':
        this.board.report(signal.path, signal.answer);
        return;
      case 'stuck':
        this.#stickAt({ what: signal.what, why: signal.why });
        return;
      case 'unstuck':
        this.#stickAt(undefined);
        return;
      default:
        assertNever(signal);
    }
  }

  #stickAt(stuck: VolumeEngine['stuck']): void {
    this.#stuck = stuck;
    this.#tellStuck();
    this.bell.ring();
  }

  #recordBans(): Promise<unknown> {
    const { book, keeper } = this;
    return keeper.update(() => (book.isConcluded ? { banned: this.bans } : {}));
  }

  // -------------------------------------------------------------------------- the joints

  #execute(effect: PathEffect): void {
    switch (effect.kind) {
      case 'probe': {
        const current = this.dispatcher.route?.path === effect.path;
        void this.board.probe(effect, current);
        return;
      }
      case 'sever':
        if (this.dispatcher.route?.path === effect.path) this.switcher.leave();
        else void this.board.sever(effect.path, effect.cause.detail);
        return;
      case 'switch':
        this.switcher.order(effect);
        return;
      case 'hold':
        this.#allDown = true;
        this.switcher.cancelOrder();
        this.options.onEvent({ kind: 'all-paths-down', cause: effect.cause });
        return;
      case 'latch':
        void this.fail(
          `I/O was held for ${String(Math.round(effect.heldMs / 1000))} s (no-path-timeout): ` +
            (this.#stuck?.why ?? `no usable path (${this.board.problems()})`),
        );
        return;
      case 'note':
        this.#memory.touch();
        this.options.onEvent(effect);
        return;
      default:
        assertNever(effect);
    }
  }

  #makeBoard(emit: (signal: LinkSignal) => void): PathBoard {
    const { paths, initiatorName, clock, initiator, credentials } = this.options;
    const { book } = this;
    const policy = this.policy;
    const recent = (): RecentWrites | undefined => this.recent;
    const { reservations } = this;
    const protection = this.#protection;
    const wanted: Pick<BoardOptions, 'credentials' | 'policy' | 'reservations'> = {
      credentials,
      policy,
      reservations: {
        join: (path, session, open, ms) => reservations.join(path, session, open, ms),
        preempt: (path, limits) => reservations.fence(path, limits),
      },
    };
    return new PathBoard(
      {
        ...{ paths, initiatorName, clock, initiator, book, protection, recent },
        ...wanted,
      },
      emit,
    );
  }

  /** What is wanted of each login: nothing, a key, or a key and the unit for this node alone. */
  get #mode(): ReservationMode {
    const { readOnly, singleNode } = this.options;
    if (readOnly || this.policy().reservation === 'off') return 'none';
    return singleNode === true ? 'reserve' : 'register';
  }

  #makeAges(emit: (signal: AgeSignal) => void): CommandAge {
    const { clock, dispatcher } = this;
    const { readOnly, singleNode } = this.options;
    const isAlone = (): boolean => singleNode !== false && !readOnly;
    const mayTakeOver = (path: string): boolean =>
      this.driver.view().some(({ name, up, identity, suspect }) => {
        return name !== path && up && !suspect && identity.kind === 'verified';
      });
    const options = { clock, dispatcher, policy: this.policy, isAlone, mayTakeOver };
    return new CommandAge(options, emit);
  }

  #makeReservations(emit: (signal: ReserveSignal) => void): Reservations {
    const { options, keeper, dispatcher } = this;
    return new Reservations(
      {
        ...recordedReservations(options, keeper),
        mode: () => this.#mode,
        predecessors: predecessorsOf(options),
        question: this.question,
        paths: () => this.paths.length,
        policy: this.policy,
      },
      reservationRecorder(keeper, dispatcher, (keys) => this.debts.keysTaken(keys)),
      emit,
    );
  }

  /** Whether a path that falls silent could be fenced. */
  get outlook(): FenceOutlook {
    const { members, kinship } = this.reservations;
    const paths = this.paths.map(({ name }) => name);
    if (this.options.readOnly) return { kind: 'covered' };
    return fenceOutlook({ policy: this.policy().fencing, paths, members, apart: kinship.apart });
  }

  /** While it serves; news only. */
  #tellOutlook(): void {
    const { outlook } = this;
    const detail = outlook.kind === 'covered' ? '' : outlook.detail;
    if (this.recent === undefined || detail === this.#outlookTold) return;
    this.#outlookTold = detail;
    if (detail !== '') this.options.onEvent({ kind: 'fence-undeclared', detail });
  }

  #makeSwitcher(emit: (signal: SwitchSignal) => void): Switcher {
    return new Switcher(
      {
        policy: this.policy,
        clock: this.clock,
        dispatcher: this.dispatcher,
        keeper: this.keeper,
        link: (path: string) => this.board.link(path),
        readOnly: this.options.readOnly,
      },
      emit,
    );
  }

  /** Once; a fence that only waits for the first login of a path is no news. */
  #tellStuck(): void {
    const stuck = this.#stuck;
    const starts = this.recent === undefined && !this.board.allAnswered;
    if (stuck === undefined) this.#stuckTold = undefined;
    else if (this.#stuckTold !== stuck.what && !(starts && stuck.what === 'fence')) {
      this.#stuckTold = stuck.what;
      this.options.onEvent({ kind: 'stuck', ...stuck });
    }
  }

  #switched(report: SwitchReport): void {
    this.#allDown = false;
    // A restart of a nexus is no switch: no path was left, and the controller is not told.
    if (report.restart !== true) {
      if (report.from !== undefined) {
        this.#history.last = report;
        if (report.how === 'failover') this.#history.failovers++;
        else this.#history.failbacks++;
      }
      this.driver.dispatch({ kind: 'switched', path: report.to });
      this.#memory.touch();
    }
    this.options.onEvent({ kind: 'switched', report });
    this.bell.ring();
  }
}
