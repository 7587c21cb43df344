/**
 * The volume's persistent reservations (D43): which nexus has registered which key, which paths share a
 * device server, for which node the unit is reserved, and the fence that this makes possible.
 *
 *   join     after each login, before the path is used: a key of its own is registered. What an earlier
 *            login of the path left behind is taken away; so are another node's keys, where this node has
 *            just been given the volume.
 *   survey   every path reads the keys of all: paths that see each other's lead to one device server (kinship.ts).
 *   reserve  a single-node volume whose paths all lead to one: WRITE EXCLUSIVE - REGISTRANTS ONLY, so
 *            that the target itself refuses the writes of initiators that have not registered.
 *   fence    an abandoned nexus loses its registration through another path of the same device server:
 *            whatever it brings from then on is refused; a LOGICAL UNIT RESET ends what it has begun.
 *   inspect  a conflict, or a unit attention that says keys have changed: ours are lost, or were taken away.
 *   leave    at the end, all keys of this node and with them the reservation go.
 *
 * Why the reservation and not PREEMPT AND ABORT alone: it aborts what the device server has. What lies in
 * the socket of a frozen front end comes later, and without a reservation it would be executed.
 */
import { err, ok, type Result } from '../../base/result.ts';
import type { Policy } from '../../paths/policy.ts';
import type { Session } from '../../ports/session.ts';
import type { CommandContext, CommandFault } from '../unit/command.ts';
import { removedName } from '../unit/path-key.ts';
import { faultAnswer, type PathFault } from '../unit/probe-answer.ts';
import * as pr from '../unit/reserve-commands.ts';
import { type ReservedPath, setKeyOf, type Victim } from '../unit/session-key.ts';
import type { FenceLimits } from '../unit/unit-reset.ts';
import type { ClaimQuestion } from './claim-question.ts';
import { giveBack } from './give-back.ts';
import { verifyKeyAccounting } from './key-accounting.ts';
import { Kinship } from './kinship.ts';
import {
  firstToAnswer,
  keyToPreempt,
  ReservationKeyScheme,
  readReservation,
  type ReservationState,
  type Nexus,
} from './nexus.ts';
import { type FormerNexus, type Predecessors, reservedText } from './predecessors.ts';
import { preemptNexus } from './preempt-fence.ts';
import type { RegistrySignal } from './reserve-signal.ts';
import { examineKeys } from './strange-keys.ts';
import { surveyKin } from './survey.ts';

/** What is wanted of each nexus: nothing, a key, or a key and the unit. */
export type ReservationMode = 'none' | 'register' | 'reserve';

export interface ReservationOptions {
  readonly initiatorName: string;
  readonly mode: () => ReservationMode;
  /** Former nodes: what they have left registered is taken away until the volume serves. */
  readonly predecessors: Predecessors;
  /** Paths of former nodes are kept out by the reservation alone: it must outlive the volume. */
  readonly owesReservation: () => boolean;
  /** Paths that were proved to lead to one device server by a process before us. */
  readonly inherited: readonly string[];
  /** `keptOut` as it was on disk. */
  readonly keptOut: readonly string[];
  /** Keys of this volume may be registered since before this process; `former`: of the layout before. */
  readonly left: 'none' | 'some' | 'former';
  /** The path that a key of this node names is one of another volume. */
  readonly isOfAnotherVolume: (key: string) => boolean;
  /** Whether a path that finds all registrations of this node gone may register. */
  readonly question: Pick<ClaimQuestion, 'mayRegister' | 'withdraw'>;
  /** Number that the logins of a path are counted from. */
  readonly firstLogin: number;
  /** How many paths the volume has, up or not. */
  readonly paths: () => number;
  /** `probeTimeoutMs` bounds each step that has no other limit. */
  readonly policy: () => Pick<Policy, 'probeTimeoutMs'>;
}

/** What is on disk before it is relied on. */
export interface ReservationRecorder {
  /** The paths that share the device server which is reserved; on disk before it is relied on. */
  reserved(paths: readonly string[]): Promise<void>;
  /**
   * Paths that were fenced here and not logged in since: only the reservation refuses what they bring.
   * Resolves with true when that is on disk.
   */
  keptOut(paths: readonly string[]): Promise<boolean>;
  /** A key is about to be registered, and these taken away. The error says why that is not on disk. */
  registering(taken: readonly string[]): Promise<Result<void, string>>;
}

const VANISHED =
  'the registrations of this node are gone from the target: whether this node is still the owner is asked ' +
  'first (ClaimQuestioned), and nothing is written here until that is confirmed';

/** `fine`: registered. `lost`: our key went by itself, log in again. `unknown`: the target has not answered. */
export type Finding = 'fine' | 'lost' | 'preempted' | 'unknown';

export class Reservations {
  readonly #options: ReservationOptions;
  readonly #recorder: ReservationRecorder;
  readonly #emit: (signal: RegistrySignal) => void;
  readonly #ring: ReservationKeyScheme;
  readonly #kin = new Kinship();
  /** The latest registered login of each path, alive or not. */
  readonly #nexuses = new Map<string, Nexus>();
  /** Paths whose target has no persistent reservations. */
  readonly #without = new Set<string>();
  /** The target's account of keys is wrong: see `#exercise`. */
  #broken = false;
  /** Another node's keys were taken away, and what it had begun has not ended for sure. */
  #mustReset = false;
  #isConcluded = false;
  /** Nothing was registered by this process yet: a reservation of ours is one from before it. */
  #isFresh = true;
  #left = false;
  /** Paths of the device server that is reserved; empty: none is. */
  #members: ReadonlySet<string> = new Set();
  /** Fences begun: the victim's key was seen there and is being taken away. */
  readonly #begun = new Set<string>();
  /** Fenced and not logged in since: their writes may still come, and must still be refused. */
  readonly #preempted: Set<string>;
  #surveys: Promise<void> = Promise.resolve();

  constructor(
    options: ReservationOptions,
    recorder: ReservationRecorder,
    emit: (signal: RegistrySignal) => void,
  ) {
    this.#options = options;
    this.#recorder = recorder;
    this.#emit = emit;
    this.#ring = new ReservationKeyScheme(
      options.initiatorName,
      options.left === 'former',
      options.firstLogin,
    );
    this.#preempted = new Set(options.keptOut);
  }

  /** Whether this session has registered a key. */
  has(session: Session): boolean {
    return [...this.#nexuses.values()].some((nexus) => nexus.session === session);
  }

  /** Whether keys of ours may be registered anywhere. */
  get mayHaveKeys(): boolean {
    return this.#nexuses.size > 0 || this.#mustStay;
  }

  /** What was fenced through it may still come, and only the reservation refuses it. */
  get #mustStay(): boolean {
    return this.#preempted.size > 0 || this.#begun.size > 0 || this.#options.owesReservation();
  }

  /** Paths of the device server that is reserved for this node. */
  get members(): readonly string[] {
    return [...this.#members];
  }

  get kinship(): Kinship {
    return this.#kin;
  }

  // ------------------------------------------------------------------------------------ join

  /** Registers a new login; the error says why the path cannot be used now. */
  async join(
    path: ReservedPath,
    session: Session,
    open: (deadlineMs: number) => CommandContext,
    deadlineMs: number,
  ): Promise<Result<void, PathFault>> {
    const mode = this.#options.mode();
    if (mode === 'none' || this.#broken || this.#left || this.has(session)) return ok(undefined);
    const context = open(deadlineMs);
    const [before, canPersist] = await Promise.all([
      readReservation(context),
      pr.readCanPersist(context),
    ]);
    if (!before.ok) return this.#cannot(path.name, before.error);
    const { initiatorName, left, isOfAnotherVolume } = this.#options;
    const origins = { ring: this.#ring, initiatorName, mayHaveLeft: left !== 'none' };
    const { keys } = before.value;
    const strange = await examineKeys(context, keys, { ...origins, isOfAnotherVolume });
    if (!strange.ok) return this.#cannot(path.name, strange.error);
    const { predecessors } = this.#options;
    const others = mode === 'reserve' ? this.#ring.foreign(before.value) : [];
    const foreign = others.filter((one) => predecessors.mayPreempt(one));
    if (strange.value !== undefined && (mode !== 'reserve' || foreign.length < others.length)) {
      return this.#refused(path.name, strange.value);
    }
    const { holder } = before.value;
    if (mode === 'reserve' && this.#ring.isForeign(holder) && !foreign.includes(holder.key)) {
      return this.#refused(path.name, reservedText(holder.key));
    }
    const { question } = this.#options;
    if (this.#haveVanished(path.name, before.value) && !question.mayRegister(path.name)) {
      return this.#unusable(VANISHED);
    }
    predecessors.note(path.name, before.value, this.#isFresh ? this.#ring : undefined);
    const stale = [...new Set(keys.filter((key) => this.#ring.isOf(path, key)))];
    const key = this.#ring.next(path, keys);
    if (key === undefined) return this.#cannot(path.name, exhausted());
    const saved = await this.#recorder.registering(holder === undefined ? [] : foreign);
    if (!saved.ok) return this.#unusable(`keys must be on record first: ${saved.error}`);
    const former = keyToPreempt(stale, before.value.holder);
    const registered = await pr.registerLasting(context, key, former, canPersist);
    if (!registered.ok) return this.#cannot(path.name, registered.error);
    const victims = [...foreign, ...stale];
    this.#isFresh = false;
    for (const victim of victims) await pr.preempt(context, key, victim);
    // What the former owner has begun ends before the first command of ours.
    if (foreign.length > 0) this.#mustReset = true;
    if (this.#mustReset) {
      const reset = await session.resetLogicalUnit(deadlineMs);
      if (!reset.ok) return this.#unusable(`taking over: ${reset.error.detail}`);
      this.#mustReset = false;
    }
    const after = await readReservation(context);
    if (!after.ok) return this.#cannot(path.name, after.error);
    const wrong = this.#wrong(after.value, key, victims);
    if (wrong !== undefined) return this.#unusable(wrong);
    const nexus: Nexus = { ...path, session, open, key, persists: registered.value };
    this.#nexuses.set(path.name, nexus);
    setKeyOf(session, key);
    this.#without.delete(path.name);
    void this.paid(path.name);
    this.#begun.delete(path.name);
    question.withdraw(path.name);
    if (this.#members.has(path.name)) await this.#reserveThrough(nexus, context);
    void this.survey();
    return ok(undefined);
  }

  /**
   * Every registration of ours is gone from a device server that was, or could be, reserved for this node.
   * Where paths are proved to lead to several of them nothing is reserved, and a restart of one is common:
   * there only another node's key makes it a question.
   */
  #haveVanished(path: string, { keys, holder }: ReservationState): boolean {
    const isConcluded = this.#isConcluded && this.#options.mode() === 'reserve';
    if (!isConcluded || keys.some((key) => this.#ring.has(key))) return false;
    const members = [...this.#members];
    if (members.length > 0) return members.some((member) => this.#kin.of(path, member) !== 'two');
    const isTaken = this.#ring.foreign({ keys, holder }).length > 0;
    return this.#nexuses.has(path) && (isTaken || this.#kin.apart.length === 0);
  }

  #wrong(found: ReservationState, key: string, victims: readonly string[]): string | undefined {
    if (found.keys.filter((other) => other === key).length !== 1)
      return 'the key of this node is not registered';
    const left = victims.find((victim) => found.keys.includes(victim));
    if (left !== undefined) return `key ${left} could not be taken away`;
    if (this.#options.mode() !== 'reserve' || !this.#ring.isForeign(found.holder)) return undefined;
    return `reserved by another node (key ${found.holder.key})`;
  }

  /** A target without these commands: its path is used without a key. Other faults: the path is not used. */
  #cannot(path: string, fault: CommandFault): Result<void, PathFault> {
    if (fault.kind === 'reservation-conflict')
      return this.#unusable(`reserved by another node: ${fault.detail}`);
    if (fault.kind !== 'error') return err(faultAnswer(fault));
    this.#without.add(path);
    this.#nexuses.delete(path);
    this.#emit({ kind: 'servers-changed' });
    return ok(undefined);
  }

  #refused(path: string, detail: string): Result<void, PathFault> {
    if (this.#members.has(path)) this.#emit({ kind: 'taken-over', detail });
    return this.#unusable(detail);
  }

  #unusable(detail: string): Result<void, PathFault> {
    return err({ kind: 'not-ours', identity: { kind: 'unverified', detail } });
  }

  // ---------------------------------------------------------------------------------- survey

  /** Every path reads the keys of all; one at a time, the last one asked for sees everything. */
  survey(): Promise<void> {
    this.#surveys = this.#surveys.then(() => this.#survey());
    return this.#surveys;
  }

  async #survey(): Promise<void> {
    const nexuses = [...this.#nexuses.values()];
    if (this.#broken || this.#left) return;
    const { probeTimeoutMs: stepMs } = this.#options.policy();
    const isStale = (nexus: Nexus): boolean => this.#isStale(nexus);
    if (await surveyKin(nexuses, { kin: this.#kin, stepMs, isStale }))
      this.#emit({ kind: 'servers-changed' });
    if (this.#isConcluded) await this.#establish();
  }

  #isStale(nexus: Nexus): boolean {
    return this.#nexuses.get(nexus.name)?.key !== nexus.key;
  }

  /** Nothing can come of it any more: it was logged into, or reset where it has been. */
  async paid(path: string): Promise<void> {
    if (this.#preempted.delete(path)) await this.#recorder.keptOut([...this.#preempted]);
  }

  /** A path was removed from the volume. */
  forget(path: string): void {
    this.#kin.forget(path);
    this.#options.question.withdraw(path);
    this.#members = new Set([...this.#members].filter((member) => member !== path));
    this.#nexuses.delete(path);
    this.#without.delete(path);
    this.#options.predecessors.forget(path);
    // A path that gets its name logs in elsewhere: that says nothing of what this one may bring.
    const isOut = [this.#preempted, this.#begun].map((paths) => paths.delete(path)).includes(true);
    if (!isOut) return;
    this.#preempted.add(removedName(path, this.#preempted));
    void this.#recorder.keptOut([...this.#preempted]);
  }

  // --------------------------------------------------------------------------------- reserve

  /** The first path is found: the unit is reserved before the first write, where that is possible. */
  async conclude(): Promise<void> {
    await this.survey();
    this.#isConcluded = true;
    await this.#establish();
    this.#options.predecessors.end();
  }

  async #establish(): Promise<void> {
    if (this.#options.mode() !== 'reserve' || this.#broken || this.#left) return;
    const names = [...this.#nexuses.keys()];
    const isKnown = names.every((name) => this.#members.has(name));
    if (isKnown || this.#without.size > 0 || !this.#kin.sameDeviceServer(names)) return;
    // With one path up of several it has to wait: what the target makes of keys can be tried by two only.
    if (names.length === 1 && this.#options.paths() > 1) return;
    if (names.length > 1 && this.#members.size === 0 && !(await this.#exercise(names))) return;
    const alive = await firstToAnswer(
      [...this.#nexuses.values()],
      this.#options.policy().probeTimeoutMs,
    );
    if (alive === undefined) return;
    if (!(await this.#reserveThrough(alive, alive.open(this.#options.policy().probeTimeoutMs))))
      return;
    this.#members = new Set(names);
    await this.#recorder.reserved(names);
    this.#emit({ kind: 'servers-changed' });
  }

  /** Holds the reservation of the device server that this nexus leads to. */
  async #reserveThrough(nexus: Nexus, context: CommandContext): Promise<boolean> {
    const before = await pr.readHolder(context);
    if (!before.ok) return false;
    if (before.value === undefined && !this.#left) await pr.reserve(context, nexus.key);
    const after = await pr.readHolder(context);
    return after.ok && this.#ring.isReservedByUs(after.value);
  }

  /** Whether the target's account of keys is right (key-accounting.ts); where it is not, none is left there. */
  async #exercise(names: readonly string[]): Promise<boolean> {
    const nexuses = names.flatMap((name) => this.#nexuses.get(name) ?? []);
    const result = await verifyKeyAccounting(
      nexuses,
      (at, keys) => this.#ring.next(at, keys),
      this.#options.policy().probeTimeoutMs,
    );
    const { changed } = result;
    const isStale = nexuses.some((nexus) => this.#isStale(nexus));
    if (changed !== undefined && this.#nexuses.get(changed.name)?.session === changed.session) {
      this.#nexuses.set(changed.name, changed);
      setKeyOf(changed.session, changed.key);
    }
    if (result.kind === 'wrong' && !isStale) await this.#giveUp();
    return result.kind === 'right' && !isStale;
  }

  /** Nothing that this target says about keys can be relied on: none is left there. */
  async #giveUp(): Promise<void> {
    this.#broken = true;
    const { probeTimeoutMs: stepMs } = this.#options.policy();
    for (const { open, key, persists } of this.#nexuses.values()) {
      await pr.unregister(open(stepMs), key, persists);
    }
    this.#nexuses.clear();
    this.#emit({ kind: 'servers-changed' });
  }

  // ----------------------------------------------------------------------------------- fence

  /**
   * Takes the registration of an abandoned path away, through another path of its device server. The
   * error says why not, for people.
   */
  async fence(victim: Victim, limits: FenceLimits): Promise<Result<void, string>> {
    const helpers = [...this.#nexuses.values()].filter(({ name }) => this.#mayHelp(victim, name));
    if (this.#options.mode() !== 'reserve') return err('no reservation is wanted');
    if (helpers.length === 0) return err('no other path is proved to lead to its device server');
    const first = await firstToAnswer(helpers, limits.stepMs);
    if (first === undefined) return err('no other path of its device server answers');
    const done = await preemptNexus({
      through: first,
      ring: this.#ring,
      victim,
      begun: this.#begun.has(victim.name),
      onBegin: () => this.#begun.add(victim.name),
      limits,
    });
    if (!done.ok) return done;
    this.#preempted.add(victim.name);
    // The next detach of this volume must know: the reservation must outlive it.
    if (!(await this.#recorder.keptOut([...this.#preempted]))) {
      return err('that the path is kept out could not be recorded');
    }
    this.#begun.delete(victim.name);
    return done;
  }

  /** The same for a path of a former node, where it was registered or kept out by the reservation. */
  async fenceFormer(former: FormerNexus, limits: FenceLimits): Promise<Result<void, string>> {
    if (this.#options.mode() !== 'reserve') return err('no reservation is wanted');
    const helpers = this.#options.predecessors.witnesses(former, this.#nexuses.values(), this.#kin);
    if (helpers.length === 0) return err('its key was not seen through any path of this node');
    await this.#establish();
    const through = await firstToAnswer(helpers, limits.stepMs);
    if (through === undefined) return err('no path to its device server answers');
    const known = {
      victim: former,
      theirs: new ReservationKeyScheme(former.initiatorName, true),
      begun: true,
    };
    return preemptNexus({ through, ring: this.#ring, ...known, onBegin: () => undefined, limits });
  }

  /** Where its very key is looked for, that is the proof: what the path leads to by now says nothing. */
  #mayHelp(victim: Victim, other: string): boolean {
    const isMember = victim.key !== undefined && this.#members.has(other);
    return other !== victim.name && (isMember || this.#isKin(victim, other));
  }

  #isKin(victim: ReservedPath, other: string): boolean {
    if (other === victim.name) return false;
    const relation = this.#kin.of(victim.name, other);
    if (relation !== 'unknown') return relation === 'one';
    const { inherited } = this.#options;
    return inherited.includes(victim.name) && inherited.includes(other);
  }

  // --------------------------------------------------------------------------------- inspect

  /** A target has changed keys, or refused a command: are our keys lost, or does another node have the unit? */
  async inspect(path: string): Promise<Finding> {
    const nexus = this.#nexuses.get(path);
    if (nexus === undefined || this.#left) return 'unknown';
    const context = nexus.open(this.#options.policy().probeTimeoutMs);
    const now = await readReservation(context);
    if (!now.ok || this.#isStale(nexus)) return 'unknown';
    const { keys, holder } = now.value;
    const alone = this.#options.mode() === 'reserve';
    if (alone && this.#ring.isForeign(holder)) return 'preempted';
    if (keys.includes(nexus.key)) {
      if (this.#members.has(path)) await this.#reserveThrough(nexus, context);
      return 'fine';
    }
    return alone && this.#ring.foreign(now.value).length > 0 ? 'preempted' : 'lost';
  }

  /** Nothing is registered, reserved or taken away any more. */
  stop(): void {
    this.#left = true;
  }

  // ----------------------------------------------------------------------------------- leave

  /**
   * All is flushed: the keys of this node go, and the reservation with them. It stays where it alone
   * keeps the writes of a fenced path out. `isAnothers`: only the keys of these logins go, the others are
   * of another volume of this node. Returns whether keys stay, for that or because a target does not answer.
   */
  async leave(isAnothers: boolean): Promise<boolean> {
    this.#left = true;
    await this.#surveys;
    if (this.#mustStay) return true;
    const manner = { isAnothers, stepMs: this.#options.policy().probeTimeoutMs };
    const all = [...this.#nexuses.values()];
    const done: Nexus[] = [];
    for (const nexus of all) if (await giveBack(nexus, this.#ring, manner)) done.push(nexus);
    this.#nexuses.clear();
    // A path that gave its key back has also taken away the keys of a path beside it that does not answer.
    return !all.every((nexus) =>
      done.some((one) => one === nexus || (!isAnothers && this.#isKin(nexus, one.name))),
    );
  }
}

function exhausted(): CommandFault {
  const detail = 'all keys of this path are registered';
  return { kind: 'error', cause: 'protocol-error', detail };
}
