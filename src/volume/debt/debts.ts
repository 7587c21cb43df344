/**
 * The debts of former nodes, as this volume pays them (D38): every address that may still execute writes
 * of another node is fenced before the first write of this one (fence.ts), and what came of it is on
 * disk.
 *
 *   reset    a login under the former node's InitiatorName and ISID reinstates its session: what lies
 *            unread in the old one's socket is thrown away, which no reset from another session would do.
 *            Then LOGICAL UNIT RESET and SYNCHRONIZE CACHE. Where its name or ISID is not known: the same
 *            through a login of our own, at that address.
 *   preempt  the path's key, or the reservation that kept it out, was seen at a device server where the
 *            unit is reserved for this node now: what it brings is refused as long as we hold that. This
 *            does not pay it: it stays on record, and `reset` pays it once its portal answers.
 *   gone, delay, none   as for paths of our own; `delay` counts from the release or the take-over.
 *
 * A debt without a name and an initiator is that of an unknown history: each path is reset through a
 * login of ours whose identity is verified, never a unit that is not this volume's. A path that was found
 * to lead to another unit, or to one that cannot be told from others, is no debt then: this node does not
 * use it either.
 */
import type { Instant } from '../../base/brand.ts';
import { err, ok, type Result } from '../../base/result.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { ChapCredentials, Initiator, Session, TransportFailure } from '../../ports/session.ts';
import { formatPortal } from '../../protocol/iscsi/address.ts';
import {
  type PathToFence,
  type FenceParameters,
  type FenceRung,
  fenceTerms,
  KEPT_OUT_BY,
  limitsOf,
} from '../fence/fence.ts';
import type { VolumePath } from '../link/path-board.ts';
import type { PathLink } from '../link/path-link.ts';
import type { LoginParameters } from '../link/path-login.ts';
import type { Debt, DebtPath } from '../record/debt.ts';
import type { RecordKeeper } from '../record/record-keeper.ts';
import type { StoreError } from '../record/record.ts';
import { ReservationKeyScheme } from '../reserve/nexus.ts';
import type { FormerNexus } from '../reserve/predecessors.ts';
import { emptyCache } from '../unit/empty-cache.ts';
import type { FenceLimits } from '../unit/unit-reset.ts';
import { unanswered, whileAnswering } from '../unit/while-answering.ts';
import {
  type DebtAddress,
  dueAddresses,
  isOfKeysAlone,
  isUnknownHistory,
  openDebts,
} from './debt-addresses.ts';

export interface DebtsOptions {
  readonly initiatorName: string;
  readonly clock: Clock;
  readonly initiator: Initiator;
  readonly credentials: () => ChapCredentials | undefined;
  readonly policy: () => FenceParameters & LoginParameters;
  readonly keeper: RecordKeeper;
  readonly link: (path: string) => PathLink | undefined;
  /** Every path has been logged into, or could not be. */
  readonly haveAnswered: () => boolean;
  /** The path was found not to lead to this unit, or not provably. */
  readonly isAnothers: (path: string) => boolean;
  /** The last error of a path, for people. */
  readonly problem: (path: string) => string | undefined;
  /** What is configured now. */
  readonly paths: readonly VolumePath[];
  /** ISIDs of this node for addresses that are not configured, by path name. */
  readonly isids: ReadonlyMap<string, string>;
  /** The rung `preempt`; the error says why not. */
  preempt(former: FormerNexus, limits: FenceLimits): Promise<Result<void, string>>;
}

/** How often a path that is kept out is asked whether it can be logged into. */
const PAY_MS = 30_000;

/** `reserved`: reset, and not flushed, because the unit is reserved for registered sessions. */
type ResetOutcome = Result<void, TransportFailure> | 'reserved';

interface OpenDebt {
  readonly debt: Debt;
  readonly open: Set<DebtAddress>;
  /** Reset before this node has logged in; `reserved`: and the unit's cache is not empty yet. */
  readonly reset: Map<DebtAddress, 'done' | 'reserved'>;
  /** Could not be logged into then, which is the first attempt of the ladder too. */
  readonly silent: Map<DebtAddress, TransportFailure>;
  readonly keptOut: Set<DebtAddress>;
  /** Its key was found where the unit is reserved, and is taken away before it is fenced. */
  readonly taken: Set<DebtAddress>;
}

export class Debts {
  readonly #options: DebtsOptions;
  readonly #entries: readonly OpenDebt[];
  /** What the switcher is to fence, by the name that it has there. */
  readonly #unfenced = new Map<string, { readonly entry: OpenDebt; readonly at: DebtAddress }>();
  #timer: Timer | undefined;
  #serves = false;
  #stopped = false;

  constructor(options: DebtsOptions, debts: readonly Debt[]) {
    this.#options = options;
    this.#entries = debts.map((debt) => ({
      debt,
      open: new Set(dueAddresses(debt, options.paths)),
      reset: new Map(),
      silent: new Map(),
      keptOut: new Set(),
      taken: new Set(),
    }));
  }

  /** On disk before anything is fenced or written: after a crash the next process must fence them still. */
  record(): Promise<Result<void, StoreError>> {
    return this.#save();
  }

  /**
   * Before this node logs in itself: a reset ends the commands of every session, those of a login of ours
   * as well, and none of them is answered. All portals are asked side by side: however many addresses were
   * removed long ago, they cost the time limit of one login. A silent address is left to the ladder, which does
   * not ask it again before it climbs on.
   */
  async resetFirst(): Promise<void> {
    const all = this.#entries.flatMap((entry) => [...entry.open].map((at) => ({ entry, at })));
    const limits = this.#limits();
    const former = all.filter(({ entry, at }) => this.#isFormer(entry.debt, at));
    const sessions = await Promise.all(
      former.map(({ entry, at }) =>
        this.#login(entry.debt.initiatorName, at.isid, at, limits.stepMs),
      ),
    );
    // One after the other: a reset through one would end the flush of another.
    for (const [i, { entry, at }] of former.entries()) {
      const session = sessions[i];
      if (session?.ok === false) entry.silent.set(at, session.error);
      if (session?.ok !== true) continue;
      const done = await this.#resetThrough(session.value, at, limits);
      void session.value.logout(limits.stepMs);
      if (done === 'reserved' || done.ok) entry.reset.set(at, done === 'reserved' ? done : 'done');
    }
  }

  /** What is to be fenced, and since when nothing is sent to it any more. */
  due(): readonly { readonly path: PathToFence; readonly severedAt: Instant }[] {
    const { clock } = this.#options;
    const names = new Map<string, number>();
    return this.#entries.flatMap((entry) => {
      // A time in the future is that of another clock: from now on, to be sure.
      const agoMs = Math.max(0, clock.wallTime().getTime() - entry.debt.sinceUnixMs);
      const severedAt = (clock.now() - agoMs) as Instant;
      return [...entry.open].map((at) => {
        const path = this.#toFence(entry, at);
        // One node may have left the same address twice: each is fenced, and each is paid.
        const again = names.get(path.name) ?? 1;
        names.set(path.name, again + 1);
        const name = again === 1 ? path.name : `${path.name} #${String(again)}`;
        this.#unfenced.set(name, { entry, at });
        return { path: { ...path, name }, severedAt };
      });
    });
  }

  /** A path of this node that is not configured as it was when it was written to. */
  ownPath(path: DebtPath): PathToFence {
    return this.#toFence(this.#own(path), { ...path, isWritten: true });
  }

  /** A path was fenced, by this rung; one that no debt names changes nothing here. */
  onFenced(path: string, rung: FenceRung): void {
    const of = this.#unfenced.get(path);
    if (of === undefined) return;
    this.#unfenced.delete(path);
    this.#paid(of.entry, of.at, rung);
  }

  /** One that the reservation keeps out; true: nothing of it can come any more. */
  async payOwn(path: DebtPath, limits: FenceLimits): Promise<boolean> {
    if (this.#isFloating) return false;
    const entry = this.#own(path);
    return this.#isPaid(entry, { ...path, isWritten: true }, limits);
  }

  /** Limits of what is done beside the ladder. */
  #limits(): FenceLimits {
    return limitsOf(fenceTerms(this.#options.policy()));
  }

  /** Addresses may move to other gateways: what answers there need not be what was written to. */
  get #isFloating(): boolean {
    return this.#options.policy().portals === 'floating';
  }

  #own(path: DebtPath): OpenDebt {
    const { initiatorName } = this.#options;
    const debt = { node: '', sinceUnixMs: 0, allPaths: false, initiatorName, paths: [path] };
    const none = (): Set<DebtAddress> => new Set();
    const sets = { open: none(), keptOut: none(), taken: none() };
    return { debt, reset: new Map(), silent: new Map(), ...sets };
  }

  /** It serves: a debt of keys alone has come to its end, what is kept out is paid when it can be. */
  serve(): void {
    this.#serves = true;
    void this.#save();
    this.#payLater();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #toFence(entry: OpenDebt, at: DebtAddress): PathToFence {
    const { initiator } = this.#options;
    return {
      name: this.#describe(entry.debt, at),
      resetNexus: (limits) => this.#reset(entry, at, limits),
      preempt: (limits) => this.#preempt(entry, at, limits),
      knock: (timeoutMs) =>
        at.host === '' ? Promise.resolve('silent') : initiator.knock(at, timeoutMs),
    };
  }

  /** "p0 of node a (10.0.0.1:3260)" */
  #describe(debt: Debt, at: DebtAddress): string {
    const address = at.host === '' ? '' : ` (${formatPortal(at)})`;
    if (isUnknownHistory(debt)) {
      return `${at.name}${address} of a former node, which no record of this node names`;
    }
    const { node, initiatorName } = debt;
    if (initiatorName === this.#options.initiatorName) return `${at.name} of this node${address}`;
    return `${at.name} of node ${node === '' ? initiatorName : node}${address}`;
  }

  #paid(entry: OpenDebt, at: DebtAddress, rung: FenceRung): void {
    entry.open.delete(at);
    entry.taken.delete(at);
    // Where an order or time has fenced it the reservation is not what keeps it out.
    if (!KEPT_OUT_BY[rung]) entry.keptOut.delete(at);
    void this.#save();
  }

  /**
   * A login of this node takes the keys of former nodes away, before their paths are fenced. A
   * process that starts after a crash in between finds none of them: that the reservation keeps these
   * paths out is on disk first.
   */
  async keysTaken(keys: readonly string[]): Promise<Result<void, StoreError>> {
    if (keys.length === 0) return ok(undefined);
    for (const { debt, open, taken } of this.#entries) {
      const ring = new ReservationKeyScheme(debt.initiatorName, true);
      for (const at of open) {
        if (at.isid !== '' && keys.some((key) => ring.isOf(at, key))) taken.add(at);
      }
    }
    return this.#save();
  }

  #save(): Promise<Result<void, StoreError>> {
    return this.#options.keeper.update(() => {
      const left = this.#entries.flatMap(({ debt, open, keptOut, taken }) => {
        if (isOfKeysAlone(debt)) return this.#serves ? [] : [debt];
        return openDebts(debt, [...open], [...keptOut, ...taken]);
      });
      return { debts: left.length === 0 ? undefined : left };
    });
  }

  // --------------------------------------------------------------------------------- preempt

  async #preempt(
    entry: OpenDebt,
    at: DebtAddress,
    limits: FenceLimits,
  ): Promise<Result<void, string>> {
    const { initiatorName } = entry.debt;
    if (initiatorName === '' || at.isid === '') return err('whose key to look for is not known');
    const former = { initiatorName, isid: at.isid, keptOut: at.keptOut };
    const done = await this.#options.preempt(former, limits);
    if (!done.ok) return done;
    entry.keptOut.add(at);
    // The next detach of this volume must know: the reservation must outlive it.
    const saved = await this.#save();
    return saved.ok ? done : err('that the path is kept out could not be recorded');
  }

  // ----------------------------------------------------------------------------------- reset

  async #reset(
    { debt, reset, silent }: OpenDebt,
    at: DebtAddress,
    limits: FenceLimits,
  ): Promise<Result<void, TransportFailure>> {
    const before = reset.get(at);
    if (before !== undefined) {
      return before === 'done' ? ok(undefined) : this.#flushVerified(at, limits);
    }
    const wasSilent = silent.get(at);
    silent.delete(at);
    if (wasSilent !== undefined) return err(wasSilent);
    const { initiatorName, isids } = this.#options;
    if (this.#isFormer(debt, at)) {
      const done = await this.#resetAs(debt.initiatorName, at.isid, at, limits);
      if (done !== 'reserved') return done;
      reset.set(at, 'reserved');
      return this.#flushVerified(at, limits);
    }
    const link = this.#linkOf(at);
    if (isUnknownHistory(debt) && this.#isNoUnitOfOurs(at)) return ok(undefined);
    if (link !== undefined) {
      const isThere = this.#leadsTo(link, at) || !at.isWritten;
      return isThere ? this.#resetVerified(at, limits) : link.resetNexus(limits, at);
    }
    if (isUnknownHistory(debt)) return nobody(at);
    const isid = isids.get(at.name);
    const done =
      isid === undefined ? nobody(at) : await this.#resetAs(initiatorName, isid, at, limits);
    return done === 'reserved' ? this.#flushVerified(at, limits) : done;
  }

  /** Judged when every path has answered: until then the record may have no founder. */
  #isNoUnitOfOurs({ name }: DebtAddress): boolean {
    return this.#options.haveAnswered() && this.#options.isAnothers(name);
  }

  /** Its session can be reinstated under the name that it was opened with. */
  #isFormer({ initiatorName }: Debt, at: DebtAddress): boolean {
    if (initiatorName === '' || at.isid === '' || at.host === '') return false;
    // A login of this ISID and one of the link's would reinstate each other.
    const isOurs = initiatorName === this.#options.initiatorName;
    return !(isOurs && this.#linkOf(at)?.isid === at.isid);
  }

  /** The link that leads to this target and unit, at whatever address. */
  #linkOf({ name, targetName, lun }: DebtAddress): PathLink | undefined {
    const link = this.#options.link(name);
    if (link === undefined || targetName === '') return link;
    return link.target.targetName === targetName && link.target.lun === lun ? link : undefined;
  }

  /** Another gateway has a cache of its own. */
  #leadsTo(link: PathLink, at: DebtAddress): boolean {
    return at.host === '' || formatPortal(link.target) === formatPortal(at);
  }

  async #resetAs(
    initiatorName: string,
    isid: string,
    at: DebtAddress,
    limits: FenceLimits,
  ): Promise<ResetOutcome> {
    const connected = await this.#login(initiatorName, isid, at, limits.stepMs);
    if (!connected.ok) return connected;
    const session = connected.value;
    const done = await this.#resetThrough(session, at, limits);
    await session.logout(limits.stepMs);
    return done;
  }

  #login(
    initiatorName: string,
    isid: string,
    at: DebtAddress,
    timeoutMs: number,
  ): Promise<Result<Session, TransportFailure>> {
    if (at.host === '' || at.targetName === '') return Promise.resolve(nobody(at));
    const { initiator, credentials, policy } = this.#options;
    const { headerDigest, dataDigest } = policy();
    const chap = credentials();
    return initiator.connect({
      ...{ target: at, initiatorName, isid, timeoutMs, headerDigest, dataDigest },
      ...(chap === undefined ? {} : { credentials: chap }),
    });
  }

  async #resetThrough(
    session: Session,
    at: DebtAddress,
    limits: FenceLimits,
  ): Promise<ResetOutcome> {
    const [is, was] = [formatPortal(session.portal), formatPortal(at)];
    // Where the writes are is known as an address, not as a name: elsewhere a reset proves nothing.
    if (at.isWritten && is !== was) {
      return err({ kind: 'protocol', detail: `writes are at ${was}, which redirects to ${is}` });
    }
    const { clock } = this.#options;
    const { stepMs, resetMs, flushMs } = limits;
    const work = async (): Promise<ResetOutcome> => {
      const reset = await session.resetLogicalUnit(resetMs);
      if (!reset.ok) return reset;
      // What a unit has to tell the former node does not concern this one.
      const context = { session, clock, deadlineMs: flushMs, attention: () => undefined };
      const emptied = await emptyCache(context);
      if (emptied.ok) return emptied;
      const { kind, detail } = emptied.error;
      // Some targets refuse the flush of a session that has not registered: a registered one must do it.
      return kind === 'reservation-conflict' ? 'reserved' : err({ kind: 'timeout', detail });
    };
    const done = await whileAnswering(session, { clock, stepMs }, work());
    return done === 'silent' ? unanswered(stepMs) : done;
  }

  /** Through a session of ours that is known to lead to this volume and to no other one. */
  #resetVerified(at: DebtAddress, limits: FenceLimits): Promise<Result<void, TransportFailure>> {
    const link = this.#linkOf(at);
    // A reset ends the login of another path as well, and it is not answered: each has come to its end.
    const isReady = link?.verified !== undefined && this.#options.haveAnswered();
    return isReady ? link.resetUnit(limits) : Promise.resolve(this.#notVerified(at));
  }

  #flushVerified(at: DebtAddress, limits: FenceLimits): Promise<Result<void, TransportFailure>> {
    const link = this.#linkOf(at);
    const isThere = link !== undefined && this.#leadsTo(link, at);
    if (!isThere || link.verified === undefined) return Promise.resolve(this.#notVerified(at));
    return link.flushUnit(limits);
  }

  /** The path is logged into by its probes; the next climb may find it so. */
  #notVerified(at: DebtAddress): Result<void, TransportFailure> {
    const { problem } = this.#options;
    const link = this.#linkOf(at);
    if (link === undefined || !this.#leadsTo(link, at)) return nobody(at);
    return err({ kind: 'unreachable', detail: problem(at.name) ?? 'not logged in yet' });
  }

  // ------------------------------------------------------------------------------------- pay

  get #owed(): readonly (readonly [OpenDebt, DebtAddress])[] {
    return this.#entries.flatMap((entry) => [...entry.keptOut].map((at) => [entry, at] as const));
  }

  /** Only the path of that name can reinstate it, which leads elsewhere by now: that would end its session. */
  #isOfMovedPath(debt: Debt, at: DebtAddress): boolean {
    const link = this.#linkOf(at);
    return link !== undefined && !this.#isFormer(debt, at) && !this.#leadsTo(link, at);
  }

  #payLater(): void {
    if (this.#stopped || this.#owed.length === 0) return;
    this.#timer = this.#options.clock.after(PAY_MS, () => void this.#pay());
  }

  async #pay(): Promise<void> {
    // A reset proves nothing then, so the reservation goes on keeping it out.
    for (const [entry, at] of this.#isFloating ? [] : this.#owed) {
      if (this.#isOfMovedPath(entry.debt, at)) continue;
      const isPaid = await this.#isPaid(entry, at, this.#limits());
      if (this.#stopped) return;
      if (!isPaid) continue;
      entry.keptOut.delete(at);
      await this.#save();
    }
    this.#payLater();
  }

  /** Reinstated and reset; what it has brought since it is kept out was refused, so that no cache has it. */
  async #isPaid(entry: OpenDebt, at: DebtAddress, limits: FenceLimits): Promise<boolean> {
    if (entry.reset.has(at)) return true;
    const done = await this.#reset(entry, at, limits);
    return done.ok || entry.reset.has(at);
  }
}

function nobody(at: DebtAddress): Result<never, TransportFailure> {
  return err({ kind: 'unreachable', detail: `path ${at.name} is not configured any more` });
}
