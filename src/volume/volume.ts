/**
 * One volume: what is asked of it from outside. To the exporter it is a block device that answers every
 * request exactly once; to pathd it is started, changed while it serves, asked, and closed. What happens
 * in it by itself (probes, switches, fences, bans) is in engine.ts.
 *
 * It fails for good (latches) when I/O was held for too long, or when another node took the unit: every
 * request is answered with an error from then on and nothing is sent to any path until it is staged
 * again.
 */
import { err, ok, type Result } from '../base/result.ts';
import type { PathOrder } from '../paths/model.ts';
import type { BlockSource, IoRequest } from '../ports/block.ts';
import type { Sense } from '../ports/session.ts';
import type { Debt } from './record/debt.ts';
import { LOGOUT_TIMEOUT_MS, VolumeEngine } from './engine.ts';
import type { FenceOutlook } from './fence/fence-outlook.ts';
import { flushCache } from './io/flush-cache.ts';
import { type FormatVerdict, judgeFormat } from './format-guard.ts';
import type { LuIdentity, LuRecord } from './unit/identity.ts';
import { asksForIdentity, deferredText, tellsOfLoss } from './unit/outcome.ts';
import {
  debtsOf,
  leavesAnything,
  nexusesForChange,
  nexusesNow,
  withMovedOut,
  unpaidOf,
} from './debt/left-behind.ts';
import { RecentWrites } from './unit/recent-writes.ts';
import { payRemoved } from './kept-out.ts';
import { carryOut, checkChange, planChange } from './reconfigure.ts';
import { writtenPaths, type VolumeRecord } from './record/record.ts';
import type { VolumeError, VolumeOptions, VolumeSnapshot, Wanted } from './volume-types.ts';

/** Limit for finding a first path; the kubelet waits two minutes and comes again. */
const START_TIMEOUT_MS = 10_000;
/** What paths that are down may cost a start, beyond that. */
const PROOF_TIMEOUT_MS = 1_000;

export class Volume implements BlockSource {
  readonly options: VolumeOptions;
  readonly #engine: VolumeEngine;
  #closed = false;

  constructor(options: VolumeOptions) {
    this.options = { ...options, record: withMovedOut(options.record, options.paths) };
    this.#engine = new VolumeEngine(this.options);
  }

  // ---------------------------------------------------------------------------- block device

  /** The recorded logical unit; undefined until a first path was verified. */
  /** Its logical unit; undefined: not known yet. */
  get lu(): LuRecord | undefined {
    return this.#engine.book.record;
  }

  get identity(): LuIdentity | undefined {
    return this.#engine.book.record?.identity;
  }

  /** What is wanted now, live changes included. */
  get wanted(): Pick<Wanted, 'paths' | 'policy'> {
    return { paths: this.#engine.paths, policy: this.#engine.policy() };
  }

  get sizeBytes(): number {
    const { identity } = this;
    return identity === undefined ? 0 : identity.blocks * identity.blockSize;
  }

  get blockSize(): number {
    return this.#engine.book.record?.identity.blockSize ?? 512;
  }

  get readOnly(): boolean {
    return this.options.readOnly;
  }

  get canDiscard(): boolean {
    return this.#engine.dispatcher.facts?.unmapsToZeros ?? false;
  }

  get canWriteZeroes(): boolean {
    return (this.#engine.dispatcher.facts?.maxWriteSameBlocks ?? 0) > 0;
  }

  /** Write policy `through`: what was answered is on stable storage; `log`: when it was flushed. */
  get volatileCache(): boolean {
    return this.#engine.volatileCache;
  }

  submit(request: IoRequest): void {
    this.#engine.dispatcher.submit(request);
  }

  // --------------------------------------------------------------------------------- lifetime

  /** Finds a first path; resolves when the volume can serve. After an error, call `close`. */
  async start(): Promise<Result<void, VolumeError>> {
    const { bell, clock, driver } = this.#engine;
    const inherited = await this.#engine.inherit();
    if (!inherited.ok) return err({ kind: 'record', detail: inherited.error.detail });
    const deadline = clock.now() + START_TIMEOUT_MS;
    driver.dispatch({ kind: 'tick' });
    for (;;) {
      const over = this.#startOutcome(clock.now() >= deadline);
      if (over?.ok === false) return over;
      if (over !== undefined) {
        await this.#waitForProof();
        return this.#concludeStart();
      }
      await bell.within(100);
    }
  }

  #startOutcome(timeIsUp: boolean): Result<void, VolumeError> | undefined {
    const { board, book, dispatcher, driver, failure, stuck, switcher } = this.#engine;
    if (failure !== undefined) return err({ kind: 'failed', detail: failure });
    const { dispute } = book;
    if (dispute !== undefined) return err({ kind: 'dispute', detail: dispute });
    if (dispatcher.route !== undefined) return ok(undefined);
    const usable = driver.view().some((path) => path.up && path.identity.kind === 'verified');
    // Where the targets refuse the credentials there is no fence either: a fence needs a login.
    const refused = !usable && board.allAnswered && board.unauthenticated !== '';
    const waiting = usable || switcher.unfenced.length > 0 || !board.allAnswered;
    if (waiting && !refused && !timeIsUp) return undefined;
    if (stuck !== undefined && !refused) {
      return err({ kind: stuck.what === 'record' ? 'record' : 'stuck', detail: stuck.why });
    }
    const kind = board.unauthenticated === '' ? 'no-path' : 'authentication';
    return err({ kind, detail: `no path is usable (${board.problems()})` });
  }

  /**
   * Where a fence depends on other paths, they have a moment to come up as well: what the first attach
   * knows about them decides whether it is refused.
   */
  async #waitForProof(): Promise<void> {
    const { bell, board, clock, dispatcher, reservations } = this.#engine;
    const first = dispatcher.route?.session;
    const until = clock.now() + PROOF_TIMEOUT_MS;
    if (first === undefined || !reservations.has(first)) return;
    while (this.fenceOutlook.kind !== 'covered' && !board.allAnswered && clock.now() < until) {
      await bell.within(50);
    }
  }

  /** Whether a path that falls silent could be fenced; known once the volume has started. */
  get fenceOutlook(): FenceOutlook {
    return this.#engine.outlook;
  }

  /** The record of the unit goes to disk before the device can write. */
  async #concludeStart(): Promise<Result<void, VolumeError>> {
    const { book } = this.#engine;
    book.conclude();
    const { record: lu } = book;
    const saved = await this.#save((record) => ({
      ...{ lu, banned: this.#engine.bans, leftUnixMs: undefined },
      ...(this.options.readOnly ? {} : { nexuses: nexusesNow(record, this.#engine.paths) }),
    }));
    if (!saved.ok) return saved;
    await this.#engine.reservations.conclude();
    // What several nodes write, each of them can only read back by chance.
    const samples = this.options.singleNode === false ? 0 : undefined;
    this.#engine.serve(new RecentWrites(this.blockSize, samples));
    return saved;
  }

  /**
   * Flushes and leaves every path. Call it when the device is gone. `isAnothers`: another volume of this
   * node has the unit, and keeps its registrations.
   */
  async close({ isAnothers = false }: { readonly isAnothers?: boolean } = {}): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { board, clock, dispatcher, keeper, policy, reservations, switcher } = this.#engine;
    await this.#engine.waitUntilIdle();
    const { route, ledger } = dispatcher;
    const idle = this.#engine.failure === undefined && route !== undefined && ledger.size === 0;
    const heard: Sense[] = [];
    const { flushDeadlineMs: deadlineMs, drainTimeoutMs: silenceMs } = policy();
    const limits = { deadlineMs, silenceMs };
    const flush = idle
      ? await flushCache(dispatcher, clock, limits, (sense) => heard.push(sense))
      : err('not idle');
    const loss = heard.find(tellsOfLoss);
    if (loss !== undefined) {
      await this.#engine.fail(`acknowledged writes are lost: ${deferredText(loss)}`);
    }
    // Of a unit that has changed the flush counts for nothing: it may have been another unit's.
    if (flush.ok && loss === undefined && !heard.some(asksForIdentity)) {
      dispatcher.abandon();
      await payRemoved(this.#engine, this.#engine.paths);
      // First that there may be keys, then that there are none: a kill in between must not hide them.
      const mayHaveKeys = reservations.mayHaveKeys || undefined;
      await keeper.update(() => ({ ...writtenPaths(), keysLeft: mayHaveKeys }));
      const keysLeft = (await reservations.leave(isAnothers)) || undefined;
      await keeper.update(() => ({ keysLeft }));
    }
    await switcher.end();
    const now = clock.wallTime().getTime();
    await keeper.update((record) => (leavesAnything(record) ? { leftUnixMs: now } : {}));
    dispatcher.fail(); // requests that came before the device went and that nothing can carry out
    await board.close(LOGOUT_TIMEOUT_MS);
  }

  /** Lifts the ban of a path; its identity is read and judged again. */
  async readmit(path: string): Promise<Result<void, VolumeError>> {
    const { board, book, driver } = this.#engine;
    if (book.banned[path] === undefined) {
      return err({ kind: 'failed', detail: `path ${path} is not banned` });
    }
    book.readmit(path);
    board.forgetIdentity(path);
    const saved = await this.#save(() => ({ banned: this.#engine.bans }));
    if (saved.ok) driver.dispatch({ kind: 'readmitted', path });
    return saved;
  }

  async #save(
    change: (record: VolumeRecord) => Partial<VolumeRecord>,
  ): Promise<Result<void, VolumeError>> {
    const saved = await this.#engine.keeper.update(change);
    return saved.ok ? saved : err({ kind: 'record', detail: saved.error.detail });
  }

  // --------------------------------------------------------------------- format and resize

  async beginFormat(): Promise<FormatVerdict> {
    const { board, keeper } = this.#engine;
    const verdict = await judgeFormat(this, keeper.record.format, () => board.errors);
    if (!verdict.mayFormat) return verdict;
    const saved = await this.#save(() => ({ format: 'started' }));
    return saved.ok ? verdict : { mayFormat: false, reason: saved.error.detail };
  }

  endFormat(): Promise<Result<void, VolumeError>> {
    return this.#save(() => ({ format: 'done' }));
  }

  /** Takes over the size that every usable path shows; never a smaller one. Returns bytes. */
  async expand(): Promise<Result<number, VolumeError>> {
    const { board, book } = this.#engine;
    const lu = await this.#grown();
    if (lu === undefined) {
      return err({ kind: 'no-path', detail: `no path is usable (${board.problems()})` });
    }
    const saved = await this.#save(() => ({ lu }));
    if (!saved.ok) return saved;
    book.grow(lu.identity.blocks);
    return ok(this.sizeBytes);
  }

  /**
   * The record with the size that every usable path shows, the smallest of them and never less than the volume
   * has: a unit that was grown on some gateways only is as large as on the last of them. Undefined: no path is
   * usable.
   */
  async #grown(): Promise<LuRecord | undefined> {
    const { board, book, paths, policy } = this.#engine;
    const sizes: number[] = [];
    const deadlineMs = policy().loginTimeoutMs;
    for (const { name } of paths) {
      const answer = await board.link(name)?.verify(deadlineMs);
      const blocks = book.seenBlocks(name);
      if (answer?.kind === 'good' && blocks !== undefined) sizes.push(blocks);
      else if (answer?.kind === 'not-ours') board.report(name, answer);
    }
    const { record } = book;
    if (sizes.length === 0 || record === undefined) return undefined;
    const blocks = Math.max(Math.min(...sizes), record.identity.blocks);
    return { ...record, identity: { ...record.identity, blocks } };
  }

  // ---------------------------------------------------------------------------- live changes

  /** Prefers a path; empty: none. False: there is no such path. */
  pin(name: string): boolean {
    const { board, driver } = this.#engine;
    if (name !== '' && board.link(name) === undefined) return false;
    driver.dispatch(pinned(name));
    return true;
  }

  /** Takes a path out of use, or back. False: there is no such path. */
  drain(name: string, drained: boolean): boolean {
    const { board, driver, paths } = this.#engine;
    if (board.link(name) === undefined) return false;
    driver.dispatch({ kind: 'drain-set', path: name, drained });
    this.#engine.paths = paths.map((path) => (path.name === name ? { ...path, drained } : path));
    return true;
  }

  /** Makes the volume what is wanted now, while it serves. Returns what changed, for people. */
  async reconfigure(wanted: Wanted): Promise<Result<string, VolumeError>> {
    const engine = this.#engine;
    const views = engine.driver.view();
    const usable = views.filter(({ up, identity }) => up && identity.kind === 'verified');
    const change = planChange(engine.paths, wanted.paths);
    const names = usable.map(({ name }) => name);
    const allowed = checkChange(change, names, engine.switcher.unfenced);
    if (!allowed.ok) return err({ kind: 'refused', detail: allowed.error });
    if (change.arriving.length + change.leaving.length > 0) {
      const kept = await this.#save((record) => {
        return { nexuses: nexusesForChange(record, change.leaving, wanted.paths) };
      });
      if (!kept.ok) return kept;
    }
    engine.setPolicy(wanted.policy);
    const isPinned = (): boolean => wanted.pin === (engine.driver.pinned ?? '');
    const done = await carryOut(change, engine, isPinned() ? undefined : pinned(wanted.pin));
    if (!done.ok) return err({ kind: 'refused', detail: done.error });
    engine.paths = wanted.paths;
    // A path that has just moved could not be pinned before it was there.
    if (!isPinned()) this.pin(wanted.pin);
    return ok(change.text);
  }

  // ----------------------------------------------------------------------------------- owner

  /** Another node is the owner now, or may be at any moment: not one write more. */
  async disown(detail: string): Promise<void> {
    await this.#engine.fail(`this node is not the owner of the volume any more: ${detail}`);
  }

  /** Its device is not to be trusted any more: nothing that comes through it is carried out. */
  async giveUp(why: string): Promise<void> {
    await this.#engine.fail(why);
  }

  /** This node is the owner still: paths whose registrations are gone may register again. */
  confirmClaim(): void {
    if (this.#engine.failure === undefined) this.#engine.question.confirm();
  }

  /** Whether csi answers `claim-questioned` from now on. */
  askForClaims(isAnswered: boolean): void {
    this.#engine.claimQuestions = isAnswered;
  }

  /** What this node, and former nodes, may still have under way at targets. */
  get debts(): readonly Debt[] {
    const { clock, initiatorName } = this.options;
    return debtsOf(this.#engine.keeper.record, initiatorName, clock.wallTime().getTime());
  }

  /** What is not paid, of former nodes and of this node, while this node has the volume. */
  get unpaid(): readonly Debt[] {
    const { clock, initiatorName, readOnly } = this.options;
    const { keeper, paths } = this.#engine;
    // A volume that is only read writes through no path: what its record names was written before this attach.
    const served = readOnly ? [] : paths.map(({ name }) => name);
    return unpaidOf(keeper.record, initiatorName, clock.wallTime().getTime(), served);
  }

  // ---------------------------------------------------------------------------------- status

  status(): VolumeSnapshot {
    return this.#engine.snapshot();
  }
}

function pinned(name: string): Extract<PathOrder, { kind: 'pinned' }> {
  return { kind: 'pinned', path: name === '' ? undefined : name };
}
