/**
 * Moves the volume's I/O from one path to another (D10, D11). One thing at a time (next-step.ts), in three acts:
 *
 *   leave   hold new commands, reset the old connection (RST), wait until its socket is closed, give
 *           everything unanswered back to the ledger.
 *   fence   if data-changing commands were unanswered, or failed and may have left something in a cache,
 *           climb the ladder (fence.ts) until a rung holds.
 *   arrive  read recent writes back through the new path, put it on disk as one that may hold writes,
 *           hand it the token: the ledger replays, in its order. The first time after a restart it is
 *           flushed before: what the process before had under way is not replayed.
 *
 * A planned switch has another first act (planned-switch.ts): hold, drain, flush, verify; nothing is
 * replayed, and it is given up when the drain takes too long. An order that comes while another is
 * carried out replaces it at the next safe point; losing the current path turns whatever is going on
 * into a forced switch.
 */
import { assert } from '../../base/assert.ts';
import type { Instant } from '../../base/brand.ts';
import { ok, type Result } from '../../base/result.ts';
import type { Cause } from '../../paths/model.ts';
import type { Timer } from '../../ports/clock.ts';
import type { Session } from '../../ports/session.ts';
import { absentPath, type PathToFence, type FenceParameters, fenceTerms } from '../fence/fence.ts';
import { UnfencedPaths } from '../fence/unfenced.ts';
import type { Verified } from '../link/link-state.ts';
import type { PathLink } from '../link/path-link.ts';
import { writtenPaths } from '../record/record.ts';
import { notLoggedIn, type PathFault, type ProbeAnswer } from '../unit/probe-answer.ts';
import { keyOf } from '../unit/session-key.ts';
import { type Act, nextStep, type Situation } from './next-step.ts';
import { type PlanOptions, planSwitch } from './planned-switch.ts';
import { SwitchAccount, type SwitchOrder } from './switch-report.ts';
import type { SwitchSignal } from './switch-signal.ts';

type SwitchParameters = FenceParameters & ReturnType<PlanOptions['policy']>;

export interface SwitcherOptions extends PlanOptions {
  readonly policy: () => SwitchParameters;
  readonly link: (path: string) => PathLink | undefined;
  readonly readOnly: boolean;
}

/** Pause between two climbs of the ladder, or two attempts to save the record. */
const RETRY_MS = 250;

export class Switcher {
  readonly #options: SwitcherOptions;
  readonly #emit: (signal: SwitchSignal) => void;
  /** Invariant: while a path is in it, none is in use; a path in use is not in it. */
  readonly #unfenced = new UnfencedPaths((signal) => this.#emit(signal));
  readonly #account: SwitchAccount;
  /** What the controller wants. */
  #order: SwitchOrder | undefined;
  /** What we want ourselves; any forced order of the controller's replaces it. */
  #restart: SwitchOrder | undefined;
  /** The planned switch under way. Invariant: one at a time. */
  #planned: Promise<void> | undefined;
  #mustLeave = false;
  #mustRecheck = false;
  /** Invariant: one loop at a time, and no order is left when it ends. */
  #running = false;
  /** For good. */
  #ended = false;
  #wake: (() => void) | undefined;
  #stuck = false;
  /** There may be writes of a process before us, and nothing was read since. */
  #hasInherited = false;

  constructor(options: SwitcherOptions, emit: (signal: SwitchSignal) => void) {
    this.#options = options;
    this.#emit = emit;
    this.#account = new SwitchAccount(options.clock, options.dispatcher);
  }

  /** Paths that may hold writes from before this process: they are fenced before the first order. */
  inherit(path: PathToFence, severedAt: Instant): void {
    const { route } = this.#options.dispatcher;
    assert(route === undefined, 'paths of the process before are fenced before any is in use');
    this.#unfenced.add(path, severedAt);
    this.#hasInherited = true;
    this.#run();
  }

  /** The current path is lost (or its nexus): leave it now, whether or not there is another. */
  leave(): void {
    this.#restart = undefined;
    this.#leave();
  }

  #leave(): void {
    this.#options.dispatcher.hold();
    this.#mustLeave = true;
    // RST first and at once: whatever the loop is waiting for on the old session ends with it.
    void this.#resetConnection();
    this.#run();
  }

  /** No path is usable: what was ordered before is void, even if its path should answer now. */
  cancelOrder(): void {
    this.#order = undefined;
    this.leave();
  }

  /** The target has ended the commands of the current nexus: a new login, and all of them again. */
  restart(path: string, cause: Cause): void {
    this.#restart = { from: path, to: path, how: 'failover', cause, restart: true };
    this.#leave();
  }

  /** The logical unit says that it has changed: no write before its identity was read again. */
  recheck(): void {
    this.#options.dispatcher.freeze();
    this.#mustRecheck = true;
    this.#run();
  }

  order(order: SwitchOrder): void {
    this.#order = order;
    if (order.how === 'failover') this.leave();
    else this.#run();
  }

  /**
   * The volume is closed: a planned switch under way is given up, or has gone, when this resolves, and what
   * it had to say on disk is said. None begins afterwards.
   */
  async calm(): Promise<void> {
    // One that has not begun would begin behind the close, whose record names no path any more.
    if (this.#order?.how !== 'failover') this.#order = undefined;
    if (this.#planned === undefined) return;
    this.#order = undefined;
    this.#wake?.();
    await this.#planned;
  }

  /** Stops for good; resolves when the old path is left, so that no callback can come any more. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#order = undefined;
    this.#restart = undefined;
    this.#wake?.();
    await this.#leaveNow();
  }

  get unfenced(): readonly string[] {
    return this.#unfenced.names;
  }

  #run(): void {
    this.#wake?.();
    if (this.#running || this.#ended) return;
    this.#running = true;
    void this.#loop();
  }

  async #loop(): Promise<void> {
    let step = nextStep(this.#situation);
    while (step.kind !== 'idle') {
      await this.#carryOut(step);
      this.#planned = undefined;
      step = nextStep(this.#situation);
    }
    // Without a wait since the last look: an order that comes a moment later begins a loop of its own.
    this.#running = false;
  }

  get #situation(): Situation {
    return {
      isEnded: this.#ended,
      mustLeave: this.#mustLeave,
      mustRecheck: this.#mustRecheck,
      unfenced: this.#unfenced.size,
      order: this.#order,
      restart: this.#restart,
      hasRoute: this.#options.dispatcher.route !== undefined,
    };
  }

  /** Not async: between the end of a step and the next look there is no wait. */
  #carryOut(step: Act): Promise<void> {
    switch (step.kind) {
      case 'leave':
        this.#mustLeave = false;
        return this.#leaveNow();
      case 'recheck':
        this.#mustRecheck = false;
        return this.#recheckNow();
      case 'fence':
        return this.#climb();
      case 'arrive':
        return this.#arrive(step.order);
      case 'plan':
        this.#planned = this.#plan(step.order);
        return this.#planned;
    }
  }

  async #leaveNow(): Promise<void> {
    const { dispatcher, link } = this.#options;
    const { route } = dispatcher;
    if (route === undefined) return;
    const path = link(route.path);
    await this.#resetConnection();
    // Nothing of the old path can call back any more; what it still has of ours must be fenced.
    const { mayTakeEffect } = dispatcher;
    this.#account.replays(dispatcher.abandon());
    if (mayTakeEffect) {
      const held =
        path?.writtenAt(route.session.portal, keyOf(route.session)) ?? absentPath(route.path);
      this.#unfenced.add(held, this.#options.clock.now());
    }
  }

  async #resetConnection(): Promise<void> {
    const { dispatcher, link } = this.#options;
    const { route } = dispatcher;
    if (route === undefined) return;
    const path = link(route.path);
    const severed =
      path?.verified?.session === route.session ? path.sever('path abandoned') : undefined;
    route.session.abort('path abandoned');
    await severed;
    await route.session.closed;
  }

  async #recheckNow(): Promise<void> {
    const { dispatcher, link, policy } = this.#options;
    const { route } = dispatcher;
    if (route === undefined) return;
    const answer = (await link(route.path)?.verify(policy().probeTimeoutMs)) ?? notLoggedIn();
    if (this.#mustLeave || this.#mustRecheck || this.#ended) return;
    if (answer.kind === 'good') dispatcher.resume(link(route.path)?.verified?.facts);
    else this.#emit({ kind: 'path-rejected', path: route.path, answer });
  }

  async #climb(): Promise<void> {
    const { clock, dispatcher, policy } = this.#options;
    assert(dispatcher.route === undefined, 'no path is in use while one has to be fenced');
    const now = (): Instant => clock.now();
    const result = await this.#unfenced.climb(fenceTerms(policy()), now, () => this.#ended);
    if (result === undefined) return;
    if (result.kind === 'unfenced') await this.#stickAt('fence', result.why);
    else {
      this.#account.fenced(result.rung);
      this.#unstick();
    }
  }

  async #arrive(order: SwitchOrder): Promise<void> {
    const { keeper, link, policy } = this.#options;
    const { probeTimeoutMs } = policy();
    const superseded = (): boolean => this.#wanted !== order || this.#mustLeave || this.#ended;
    const reject = (answer: ProbeAnswer): void => {
      this.#drop(order);
      this.#emit({ kind: 'path-rejected', path: order.to, answer });
    };
    const path = link(order.to);
    // The session of a restart is gone, that of a path which was just fenced is new: identify first.
    if (path !== undefined && path.verified === undefined && (order.restart || path.unidentified)) {
      const answer = await path.probe(probeTimeoutMs, true);
      if (superseded()) return;
      if (answer.kind !== 'good') {
        reject(answer);
        return;
      }
    }
    if (path?.verified === undefined) {
      reject(notLoggedIn());
      return;
    }
    const flushed = await this.#flushInherited(path);
    const answer = flushed.ok ? await path.readBack(probeTimeoutMs) : flushed.error;
    if (superseded()) return;
    if (answer.kind !== 'good') {
      reject(answer);
      return;
    }
    const { session: recorded } = path.verified;
    const saved = await keeper.update(() => this.#writtenPaths(order.to, recorded));
    if (superseded()) return;
    if (!saved.ok) {
      await this.#stickAt('record', saved.error.detail);
      return;
    }
    const verified = link(order.to)?.verified;
    if (verified === undefined) {
      reject(notLoggedIn());
      return;
    }
    // It said so while the record was saved, or leads elsewhere by now: once more.
    if (path.mustIdentify || verified.session !== recorded) return;
    this.#unstick();
    this.#finish(order, verified);
  }

  /**
   * What the process before had under way is not replayed. It has taken effect by now or never will, but
   * if it sits in a cache that the gateways share, the power could still take it back after it was read:
   * not every rung of the fence has emptied that.
   */
  async #flushInherited(path: PathLink): Promise<Result<void, PathFault>> {
    if (!this.#hasInherited) return ok(undefined);
    return path.syncCache(this.#options.policy().flushDeadlineMs);
  }

  async #plan(order: SwitchOrder): Promise<void> {
    const { dispatcher, keeper, link } = this.#options;
    const old = dispatcher.route;
    if (old === undefined) return;
    const { to } = order;
    const planned = await planSwitch(this.#options, old, to, link(to), {
      isOverruled: () => this.#isOverruled(),
      isWanted: () => this.#order === order,
      isEnded: () => this.#ended,
      within: (timeoutMs, work) => this.#within(timeoutMs, work, order),
      emit: (signal) => this.#emit(signal),
      go: (verified) => {
        const isEmpty = dispatcher.ledger.issued === 0 && !dispatcher.mayTakeEffect;
        assert(isEmpty, 'a path that is left without a fence has nothing of ours');
        dispatcher.abandon();
        this.#finish(order, verified);
        // Drained and flushed: the old path holds nothing. Not saved it is fenced for nothing.
        void keeper.update(() => this.#writtenPaths(to, verified.session));
      },
    });
    if (planned.ok) return;
    const { reason, answer } = planned.error;
    const wasWanted = this.#drop(order);
    if (this.#ended) return;
    // Losing the path goes on with the hold, and so does a recheck: it resumes by itself.
    if (!this.#isOverruled()) dispatcher.resume();
    if (wasWanted || !this.#mustLeave) this.#emit({ kind: 'switch-abandoned', to, reason });
    if (answer !== undefined) this.#emit({ kind: 'path-rejected', path: to, answer });
  }

  /** What is only read holds nothing. */
  #writtenPaths(path: string, session: Session): ReturnType<typeof writtenPaths> {
    return this.#options.readOnly ? writtenPaths() : writtenPaths({ path, session });
  }

  /** The token: from here on the new path gets everything. */
  #finish(order: SwitchOrder, { session, facts }: Verified): void {
    const { dispatcher, keeper, readOnly } = this.#options;
    assert(this.#unfenced.size === 0, 'no path gets writes before every path left is fenced');
    const isOnRecord = readOnly || keeper.record.mayHoldWrites.includes(order.to);
    assert(isOnRecord, 'a path is on record as one that may hold writes before it gets any');
    const report = this.#account.close(order);
    this.#order = undefined;
    this.#restart = undefined;
    this.#hasInherited = false;
    dispatcher.release({ path: order.to, session, facts });
    this.#emit({ kind: 'switched', report });
  }

  /**
   * The current path is lost or in doubt: a planned switch has to wait. A method, so that the compiler
   * does not take an answer from before an await for granted.
   */
  #isOverruled(): boolean {
    return this.#mustLeave || this.#mustRecheck;
  }

  /** Waits for work; false: it takes too long, or the order has become pointless. */
  async #within(timeoutMs: number, work: Promise<void>, order: SwitchOrder): Promise<boolean> {
    const { clock } = this.#options;
    const until = clock.now() + timeoutMs;
    const state = { isDone: false };
    const pointless = (): boolean => this.#isOverruled() || this.#ended || this.#order !== order;
    void work.then(() => {
      state.isDone = true;
      this.#wake?.();
    });
    while (!state.isDone && !pointless() && clock.now() < until) {
      await this.#pause(until - clock.now());
    }
    return state.isDone && !pointless();
  }

  /** What is to be carried out: the controller's order first. */
  get #wanted(): SwitchOrder | undefined {
    return this.#order ?? this.#restart;
  }

  /** The order cannot be carried out; whether it was still wanted. */
  #drop(order: SwitchOrder): boolean {
    const wanted = this.#wanted === order;
    if (this.#order === order) this.#order = undefined;
    if (this.#restart === order) this.#restart = undefined;
    return wanted;
  }

  /** Tells why it cannot go on, and waits until it is time to try again. */
  async #stickAt(what: 'fence' | 'record', why: string): Promise<void> {
    this.#stuck = true;
    this.#emit({ kind: 'stuck', what, why });
    await this.#pause(RETRY_MS);
  }

  #unstick(): void {
    if (!this.#stuck) return;
    this.#stuck = false;
    this.#emit({ kind: 'unstuck' });
  }

  /** Waits, at most this long, for something to happen. */
  #pause(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#wake = undefined;
        resolve();
      };
      const timer: Timer = this.#options.clock.after(timeoutMs, done);
      this.#wake = done;
    });
  }
}
