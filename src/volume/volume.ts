/**
 * One volume: its paths, its ledger, its controller, joined. To the exporter it is a block device that
 * answers every request exactly once; to the controller it is the hands.
 *
 *   requests → Dispatcher → session of the current path      (dispatch.ts, ledger.ts, translate.ts)
 *   probes, stalls, lost sessions → controller → effects     (path-board.ts, controller-driver.ts)
 *   switch effects → Switcher: leave, fence, arrive          (switcher.ts, fence.ts)
 *
 * It fails for good (latches) when I/O was held for too long, or when another node took the unit: every
 * request is answered with an error from then on and nothing is sent to any path until it is staged
 * again.
 */
import type { PathName } from '../base/brand.ts';
import { err, ok, type Result } from '../base/result.ts';
import type { Cause, PathEffect } from '../paths/model.ts';
import { Bell } from './bell.ts';
import type { Policy } from '../paths/policy.ts';
import { ControllerDriver } from './controller-driver.ts';
import { Dispatcher } from './dispatch.ts';
import { absentPath } from './fence.ts';
import { flushCache } from './flush-cache.ts';
import { type FormatVerdict, judgeFormat } from './format-guard.ts';
import { grownRecord } from './grow.ts';
import type { LuIdentity } from './identity.ts';
import { IdentityBook } from './identity-book.ts';
import { digestChoices, switchPolicy } from './live-policy.ts';
import { asksForIdentity, endsOutstanding, tellsWeAreFenced } from './outcome.ts';
import { PathBoard } from './path-board.ts';
import type { BlockSource, Clock, IoRequest, Sense } from './ports.ts';
import type { VolumePath } from './path-board.ts';
import { RecentWrites } from './recent-writes.ts';
import { banRecord, bansOf, type FormatState, holder, holding } from './record.ts';
import { RecordKeeper } from './record-keeper.ts';
import { carryOut, checkChange, planChange } from './reconfigure.ts';
import { watchStalls } from './stall-report.ts';
import type { StallWatch } from './stall-watch.ts';
import { type SwitchHistory, takeSnapshot } from './snapshot.ts';
import { Switcher, type SwitchReport } from './switcher.ts';
import {
  controllerOptions,
  type VolumeError,
  type VolumeOptions,
  type VolumeSnapshot,
  type Wanted,
} from './volume-types.ts';

/** Limit for finding a first path; the kubelet waits two minutes and comes again. */
const START_TIMEOUT_MS = 10_000;
const LOGOUT_TIMEOUT_MS = 1_000;

export class Volume implements BlockSource {
  readonly options: VolumeOptions;
  readonly #clock: Clock;
  readonly #bell: Bell;
  readonly #dispatcher: Dispatcher;
  readonly #keeper: RecordKeeper;
  readonly #book: IdentityBook;
  readonly #board: PathBoard;
  readonly #driver: ControllerDriver;
  readonly #switcher: Switcher;
  readonly #stalls: StallWatch;
  /** What is wanted now; the options are what was wanted at the start. */
  #paths: readonly VolumePath[];
  #policy: Policy;
  #recent: RecentWrites | undefined;
  #stuck: { readonly what: 'fence' | 'record'; readonly why: string } | undefined;
  #allDown = false;
  #failure: string | undefined;
  #closed = false;
  readonly #history: SwitchHistory = { last: undefined, failovers: 0, failbacks: 0 };

  constructor(options: VolumeOptions) {
    const { clock, policy, record, store } = options;
    this.options = options;
    this.#clock = clock;
    this.#paths = options.paths;
    this.#policy = policy;
    this.#bell = new Bell(clock);
    this.#keeper = new RecordKeeper(store, record);
    this.#book = new IdentityBook({
      firstPath: options.paths[0]?.name ?? '',
      expectedSerial: policy.expectedSerial === '' ? undefined : policy.expectedSerial,
      record: record.lu,
      banned: bansOf(record, options.paths),
    });
    this.#dispatcher = new Dispatcher(clock, () => this.#recent, {
      pathFault: ({ cause, detail }) => {
        const path = this.#dispatcher.route?.path;
        if (path !== undefined) this.#board.failed(path, { kind: cause, detail });
      },
      attention: (sense) => this.#attention(this.#dispatcher.route?.path, sense),
      fenced: (detail) => void this.fail(`another node took the volume: ${detail}`),
    });
    this.#board = this.#makeBoard();
    this.#driver = new ControllerDriver(clock, controllerOptions(options), (effect) =>
      this.#execute(effect),
    );
    this.#switcher = this.#makeSwitcher();
    this.#stalls = watchStalls(clock, () => this.#policy, this.#dispatcher, this.#driver);
  }

  // ---------------------------------------------------------------------------- block device

  /** The recorded logical unit; undefined until a first path was verified. */
  get identity(): LuIdentity | undefined {
    return this.#book.record?.identity;
  }

  /** What is wanted now, live changes included. */
  get wanted(): Pick<Wanted, 'paths' | 'policy'> {
    return { paths: this.#paths, policy: this.#policy };
  }

  get sizeBytes(): number {
    const { identity } = this;
    return identity === undefined ? 0 : identity.blocks * identity.blockSize;
  }

  get blockSize(): number {
    return this.#book.record?.identity.blockSize ?? 512;
  }

  get readOnly(): boolean {
    return this.options.readOnly;
  }

  get canDiscard(): boolean {
    return this.#dispatcher.route?.facts.unmapsToZeros ?? false;
  }

  get canWriteZeroes(): boolean {
    return (this.#dispatcher.route?.facts.maxWriteSameBlocks ?? 0) > 0;
  }

  /** Write policy `through`: what was answered is on stable storage. */
  get volatileCache(): boolean {
    return false;
  }

  submit(request: IoRequest): void {
    this.#dispatcher.submit(request);
  }

  // --------------------------------------------------------------------------------- lifetime

  /** Finds a first path; resolves when the volume can serve. After an error, call `close`. */
  async start(): Promise<Result<void, VolumeError>> {
    this.#inheritUnfenced();
    const deadline = this.#clock.now() + START_TIMEOUT_MS;
    this.#driver.dispatch({ kind: 'tick' });
    for (;;) {
      const over = this.#startOutcome(this.#clock.now() >= deadline);
      if (over !== undefined) return over.ok ? this.#settle() : over;
      await this.#bell.within(100);
    }
  }

  #startOutcome(timeIsUp: boolean): Result<void, VolumeError> | undefined {
    if (this.#failure !== undefined) return err({ kind: 'failed', detail: this.#failure });
    const { dispute } = this.#book;
    if (dispute !== undefined) return err({ kind: 'dispute', detail: dispute });
    if (this.#dispatcher.route !== undefined) return ok(undefined);
    const usable = this.#driver.view().some((path) => path.up && path.identity.kind === 'verified');
    const waiting = usable || this.#switcher.unfenced.length > 0 || !this.#board.allAnswered;
    if (waiting && !timeIsUp) return undefined;
    const stuck = this.#stuck;
    if (stuck !== undefined) {
      return err({ kind: stuck.what === 'record' ? 'record' : 'stuck', detail: stuck.why });
    }
    const kind = this.#board.unauthenticated === '' ? 'no-path' : 'authentication';
    return err({ kind, detail: `no path is usable (${this.#board.problems()})` });
  }

  /** The record of the unit goes to disk before anybody can write. */
  async #settle(): Promise<Result<void, VolumeError>> {
    this.#book.settle();
    const { record } = this.#book;
    const saved = await this.#keeper.update(() => ({
      lu: record,
      banned: banRecord(this.#paths, this.#book.banned),
    }));
    if (!saved.ok) return err({ kind: 'record', detail: saved.error.detail });
    this.#recent = new RecentWrites(this.blockSize);
    return ok(undefined);
  }

  /** Flushes and leaves every path. Call it when the device is gone. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stalls.close();
    this.#driver.stop();
    const { route, ledger } = this.#dispatcher;
    const { drainTimeoutMs } = this.#policy;
    const idle = this.#failure === undefined && route !== undefined && ledger.size === 0;
    this.#dispatcher.hold();
    const heard: Sense[] = [];
    const flush = idle
      ? await flushCache(route, this.#clock, drainTimeoutMs, (sense) => heard.push(sense))
      : 'not idle';
    // A unit that has changed was flushed for nothing: who knows which one it was.
    if (flush === undefined && !heard.some(asksForIdentity)) {
      this.#dispatcher.abandon();
      await this.#keeper.update(() => holding());
    }
    await this.#switcher.end();
    this.#dispatcher.fail(); // requests that came before the device went and that nothing can carry out
    await this.#board.close(LOGOUT_TIMEOUT_MS);
  }

  /** Fails the volume until it is staged again: a failed write is never followed by a good flush. */
  async fail(why: string): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#failure = why;
    this.#stalls.close();
    this.#driver.stop();
    this.#dispatcher.hold();
    const discarded = this.#dispatcher.ledger.size;
    await this.#switcher.end();
    this.#dispatcher.fail();
    this.options.onEvent({ kind: 'failed', why, discarded });
    this.#bell.ring();
    await this.#board.close(LOGOUT_TIMEOUT_MS);
  }

  /** Lifts the ban of a path; its identity is read and judged again. */
  async readmit(path: string): Promise<Result<void, VolumeError>> {
    if (this.#book.banned[path] === undefined) {
      return err({ kind: 'failed', detail: `path ${path} is not banned` });
    }
    this.#book.readmit(path);
    this.#board.forgetIdentity(path);
    const saved = await this.#keeper.update(() => ({
      banned: banRecord(this.#paths, this.#book.banned),
    }));
    if (!saved.ok) return err({ kind: 'record', detail: saved.error.detail });
    this.#driver.dispatch({ kind: 'readmitted', path: path as PathName });
    return ok(undefined);
  }

  // --------------------------------------------------------------------- format and resize

  async beginFormat(): Promise<FormatVerdict> {
    const state = this.#keeper.record.format;
    const verdict = await judgeFormat(this, state, () => this.#board.errors);
    if (!verdict.mayFormat) return verdict;
    const saved = await this.#saveFormat('started');
    return saved.ok ? verdict : { mayFormat: false, reason: saved.error.detail };
  }

  endFormat(): Promise<Result<void, VolumeError>> {
    return this.#saveFormat('done');
  }

  async #saveFormat(format: FormatState): Promise<Result<void, VolumeError>> {
    const saved = await this.#keeper.update(() => ({ format }));
    return saved.ok ? saved : err({ kind: 'record', detail: saved.error.detail });
  }

  /** Takes over the size that every usable path shows; never a smaller one. Returns bytes. */
  async expand(): Promise<Result<number, VolumeError>> {
    const { loginTimeoutMs } = this.#policy;
    const lu = await grownRecord(this.#board, this.#book, this.#paths, loginTimeoutMs);
    if (lu === undefined) {
      return err({ kind: 'no-path', detail: `no path is usable (${this.#board.problems()})` });
    }
    const saved = await this.#keeper.update(() => ({ lu }));
    if (!saved.ok) return err({ kind: 'record', detail: saved.error.detail });
    this.#book.grow(lu.identity.blocks);
    return ok(this.sizeBytes);
  }

  // ---------------------------------------------------------------------------- live changes

  /** Prefers a path; empty: none. False: there is no such path. */
  pin(name: string): boolean {
    if (name !== '' && this.#board.link(name) === undefined) return false;
    this.#driver.dispatch({ kind: 'pinned', path: name === '' ? undefined : (name as PathName) });
    return true;
  }

  /** Takes a path out of use, or back. False: there is no such path. */
  drain(name: string, drained: boolean): boolean {
    if (this.#board.link(name) === undefined) return false;
    this.#driver.dispatch({ kind: 'drain-set', path: name as PathName, drained });
    this.#paths = this.#paths.map((path) => (path.name === name ? { ...path, drained } : path));
    return true;
  }

  /** Makes the volume what is wanted now, while it serves. Returns what changed, for people. */
  async reconfigure(wanted: Wanted): Promise<Result<string, VolumeError>> {
    const views = this.#driver.view();
    const usable = views.filter(({ up, identity }) => up && identity.kind === 'verified');
    const change = planChange(this.#paths, wanted.paths);
    const names = usable.map(({ name }) => name);
    const allowed = checkChange(change, names, this.#switcher.unfenced);
    if (!allowed.ok) return err({ kind: 'refused', detail: allowed.error });
    this.#setPolicy(wanted.policy);
    const done = await carryOut(change, {
      clock: this.#clock,
      bell: this.#bell,
      driver: this.#driver,
      board: this.#board,
    });
    if (!done.ok) return err({ kind: 'refused', detail: done.error });
    this.#paths = wanted.paths;
    if (wanted.pin !== (this.#driver.pinned ?? '')) this.pin(wanted.pin);
    return ok(change.text);
  }

  #setPolicy(policy: Policy): void {
    const reidentify = policy.expectedSerial !== this.#policy.expectedSerial;
    this.#policy = policy;
    this.#driver.dispatch({ kind: 'policy-set', policy });
    if (!reidentify) return;
    this.#book.expect(policy.expectedSerial === '' ? undefined : policy.expectedSerial);
    const current = this.#dispatcher.route?.path;
    for (const { name } of this.#paths) {
      if (name !== current) void this.#board.sever(name, 'its identity is checked again');
    }
    this.#switcher.recheck();
  }

  // ---------------------------------------------------------------------------------- status

  status(): VolumeSnapshot {
    return takeSnapshot({
      dispatcher: this.#dispatcher,
      board: this.#board,
      book: this.#book,
      views: this.#driver.view(),
      pinned: this.#driver.pinned ?? '',
      failure: this.#failure,
      stuck: this.#stuck?.why ?? '',
      allDown: this.#allDown,
      history: this.#history,
    });
  }

  // -------------------------------------------------------------------------- the joints

  #execute(effect: PathEffect): void {
    switch (effect.kind) {
      case 'probe': {
        const current = this.#dispatcher.route?.path === effect.path;
        void this.#board.probe(effect, current);
        return;
      }
      case 'sever':
        if (this.#dispatcher.route?.path === effect.path) this.#switcher.leave();
        else void this.#board.sever(effect.path, effect.cause.detail);
        return;
      case 'switch':
        this.#switcher.order(effect);
        return;
      case 'hold':
        this.#allDown = true;
        this.#switcher.stand();
        this.options.onEvent({ kind: 'all-paths-down', cause: effect.cause });
        return;
      case 'latch':
        void this.fail(
          `I/O was held for ${String(Math.round(effect.heldMs / 1000))} s (no-path-timeout): ` +
            (this.#stuck?.why ?? `no usable path (${this.#board.problems()})`),
        );
        return;
      case 'note':
        this.options.onEvent(effect);
        return;
    }
  }

  #attention(path: string | undefined, sense: Sense): void {
    const { route, ledger } = this.#dispatcher;
    if (path === undefined || this.#failure !== undefined) return;
    if (tellsWeAreFenced(sense)) {
      void this.fail('another node took the volume: reservation preempted');
    } else if (path !== route?.path || this.#board.link(path)?.verified === undefined) {
      // A login sees the attentions of its own new nexus: nothing was outstanding on it.
    } else if (endsOutstanding(sense) && ledger.issued > 0) {
      const detail = 'the target has ended the commands of this nexus (unit attention)';
      const cause: Cause = { kind: 'connection-reset', detail };
      this.#switcher.restart(path, cause);
    } else if (asksForIdentity(sense)) this.#switcher.recheck();
  }

  #makeBoard(): PathBoard {
    const { paths, initiatorName, policy, clock, initiator, credentials } = this.options;
    const { loginTimeoutMs } = policy;
    const book = this.#book;
    const recent = (): RecentWrites | undefined => this.#recent;
    const digests = digestChoices(() => this.#policy);
    const wanted = { credentials, digests };
    return new PathBoard(
      { paths, initiatorName, loginTimeoutMs, clock, initiator, book, recent, ...wanted },
      {
        dispatch: (event) => this.#driver.dispatch(event),
        attention: (path, sense) => this.#attention(path, sense),
        fenced: (detail) => void this.fail(`another node took the volume: ${detail}`),
        identity: (path, identity) => {
          if (identity.kind === 'banned') {
            // A ban outlives this process: what is not ours today is not ours after a restart.
            void this.#keeper.update(() =>
              book.settled ? { banned: banRecord(this.#paths, this.#book.banned) } : {},
            );
          }
          this.options.onEvent({ kind: 'identity', path, identity });
        },
        unauthenticated: (path, detail) => {
          this.options.onEvent({ kind: 'unauthenticated', path, detail });
        },
        changed: () => this.#bell.ring(),
      },
    );
  }

  #makeSwitcher(): Switcher {
    return new Switcher(
      Object.assign(
        switchPolicy(() => this.#policy),
        {
          clock: this.#clock,
          dispatcher: this.#dispatcher,
          keeper: this.#keeper,
          link: (path: string) => this.#board.link(path),
        },
      ),
      {
        switched: (report) => this.#switched(report),
        abandoned: ({ to }, reason) => {
          this.options.onEvent({ kind: 'switch-abandoned', to, reason });
          this.#driver.dispatch({ kind: 'switch-abandoned', path: to as PathName, reason });
        },
        rejected: (path, answer) => this.#board.report(path, answer),
        attention: (path, sense) => this.#attention(path, sense),
        stuck: (what, why) => {
          const news = why !== '' && this.#stuck?.what !== what;
          this.#stuck = why === '' ? undefined : { what, why };
          if (news) this.options.onEvent({ kind: 'stuck', what, why });
          this.#bell.ring();
        },
      },
    );
  }

  #switched(report: SwitchReport): void {
    this.#allDown = false;
    // A restart of a nexus is no switch: nobody has left a path, and the controller knows of nothing.
    if (report.restart !== true) {
      if (report.from !== undefined) {
        this.#history.last = report;
        if (report.how === 'failover') this.#history.failovers++;
        else this.#history.failbacks++;
      }
      this.#driver.dispatch({ kind: 'switched', path: report.to as PathName });
    }
    this.options.onEvent({ kind: 'switched', report });
    this.#bell.ring();
  }

  /** A restart is a failover: paths that may hold writes of a process before us are fenced first. */
  #inheritUnfenced(): void {
    const { record } = this.options;
    for (const name of record.mayHoldWrites) {
      const held = this.#board.link(name)?.heldAt(holder(record, name));
      this.#switcher.inherit(held ?? absentPath(name), this.#clock.now());
    }
  }
}
