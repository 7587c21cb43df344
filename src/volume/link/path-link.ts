/**
 * One path of a volume: its session, from login (path-login.ts) to logout, and what is asked of it:
 * probe, verify, read back (medium.ts), reset. It decides nothing; it reports to the volume, which tells
 * the controller.
 *
 * A session is usable only when it was verified (link-state.ts): the identity of the logical unit is read and
 * judged after every login, before anything else is sent. Connecting work is exclusive: a fence that must log
 * in with this path's ISID stops a login that is under way, for two logins of one ISID would reinstate
 * each other.
 */
import type { Instant } from '../../base/brand.ts';
import { err, ok, type Result } from '../../base/result.ts';
import type {
  Portal,
  Sense,
  Session,
  SessionTarget,
  TransportFailure,
} from '../../ports/session.ts';
import { formatPortal } from '../../protocol/iscsi/address.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import type { PathToFence } from '../fence/fence.ts';
import { NexusProof } from '../fence/nexus-proof.ts';
import { askPatiently } from '../unit/ask-patiently.ts';
import { type CommandContext, type CommandFault, runCommand } from '../unit/command.ts';
import { emptyCache } from '../unit/empty-cache.ts';
import { decodeNames, type LuReading, readLu, sameNames } from '../unit/lu.ts';
import { asksForIdentity } from '../unit/outcome.ts';
import {
  causeOf,
  faultAnswer,
  loginAnswer,
  noSession,
  type PathFault,
  type ProbeAnswer,
  reservedByOthers,
  silence,
  silentFault,
} from '../unit/probe-answer.ts';
import { type FenceLimits, UnitReset } from '../unit/unit-reset.ts';
import type { LinkOptions, LinkQuestions } from './link-options.ts';
import type { SessionSignal } from './link-signal.ts';
import {
  CLOSED,
  judgedOurs,
  type LinkState,
  loggedIn,
  OUT,
  sessionOf,
  type Verified,
  verifiedOf,
  withoutSession,
} from './link-state.ts';
import { Medium } from './medium.ts';
import { astray, PathLogin } from './path-login.ts';

export class PathLink {
  readonly name: string;
  readonly target: SessionTarget;
  /** Allocated and persisted by the node; see ConnectOptions. */
  readonly isid: string;
  readonly #options: LinkOptions;
  readonly #questions: LinkQuestions;
  readonly #emit: (signal: SessionSignal) => void;
  readonly #login: PathLogin;
  readonly #medium: Medium;
  readonly #proof: NexusProof;
  readonly #unit: UnitReset;
  /** Changed by the transitions of link-state.ts alone. */
  #state: LinkState = OUT;
  #exclusive: Promise<unknown> = Promise.resolve();
  /** Its session is that of a fence. */
  #isFencing = false;
  /** Unit attentions that said "the logical unit has changed", and how many of them identity covers. */
  #changes = 0;
  #changesRead = 0;
  /** Sessions that we have reset ourselves: what they lose says nothing about the path. */
  readonly #severed = new WeakSet<Session>();
  /** When the last session of this path was reset by us. */
  severedAt: Instant;

  constructor(
    options: LinkOptions,
    questions: LinkQuestions,
    emit: (signal: SessionSignal) => void,
  ) {
    this.name = options.name;
    this.target = options.target;
    this.isid = options.isid;
    this.#options = options;
    this.#questions = questions;
    this.#emit = emit;
    this.#login = new PathLogin(options);
    this.#medium = new Medium({
      recent: () => questions.recent(),
      fault: (fault) => this.#faultOfProbe(fault),
      disagrees: (session, detail) => this.#discard(session, detail),
    });
    const own = {
      open: (session: Session, deadlineMs: number) => this.#context(session, deadlineMs),
      join: (session: Session, deadlineMs: number) => this.#join(session, deadlineMs),
    };
    this.#proof = new NexusProof({
      isFloating: () => options.policy().portals === 'floating',
      ...own,
    });
    this.#unit = new UnitReset({ clock: options.clock, ...own });
    this.severedAt = options.clock.now();
  }

  /** Session and facts, once the identity is verified. */
  get verified(): Verified | undefined {
    return verifiedOf(this.#state);
  }

  /** Logged in and not identified yet: a probe will tell what it is good for. */
  get unidentified(): boolean {
    return this.#state.kind === 'unidentified';
  }

  /** Logged in; verified or not. */
  get #session(): Session | undefined {
    return sessionOf(this.#state);
  }

  /** As configured, and where a redirect has led. */
  get portal(): string {
    const configured = formatPortal(this.target);
    const session = this.#session;
    // That a name has an address is no news.
    const literal = /^[\d.]+$|:/u.test(this.target.host);
    if (session === undefined || !literal) return configured;
    const is = formatPortal(session.portal);
    return is === configured ? configured : `${configured} -> ${is}`;
  }

  /**
   * Logs in and verifies if need be; then a READ that reaches the medium and an INQUIRY in one go. A path
   * that is silent for `deadlineMs` (while it logs in and is identified, for the login timeout) has failed;
   * one that answers pings is waited for, and told of as late.
   */
  async probe(
    deadlineMs: number,
    current: boolean,
    late: () => void = () => undefined,
  ): Promise<ProbeAnswer> {
    if (this.verified === undefined) {
      const established = await this.#serially(() => this.#establish(late));
      if (!established.ok) return established.error;
    }
    const verified = this.verified;
    if (verified === undefined) return noSession('session lost');
    const answer = await this.#probeSession(verified, { deadlineMs, current, late });
    // What we reset ourselves says nothing about the path, whichever of its commands was lost.
    const severed = answer.kind === 'failed' && this.#severed.has(verified.session);
    return severed ? { ...answer, hard: false } : answer;
  }

  /** Its identity must be read again before anything is written to it. */
  get mustIdentify(): boolean {
    return this.#changes !== this.#changesRead;
  }

  /** Reads the identity again and reads recent writes back: before a planned switch. */
  async verify(deadlineMs: number): Promise<ProbeAnswer> {
    const session = this.#session;
    if (session === undefined) return noSession('not logged in');
    const identified = await this.#identify(session, deadlineMs);
    return identified.ok ? this.readBack(deadlineMs) : identified.error;
  }

  /**
   * The short form of `verify` for a path that was just verified, in one round trip: its names, and the
   * newest writes read back.
   */
  async recheck(deadlineMs: number): Promise<ProbeAnswer> {
    const [probed, shown] = await Promise.all([
      this.probe(deadlineMs, true),
      this.readBack(deadlineMs),
    ]);
    return probed.kind === 'good' ? shown : probed;
  }

  /** Compares the newest write samples with what this path shows; its identity too, if in doubt. */
  async readBack(deadlineMs: number): Promise<ProbeAnswer> {
    const verified = this.verified;
    if (verified === undefined) return noSession('not logged in');
    const { session } = verified;
    const { clock } = this.#options;
    const read = await askPatiently({ session, clock, deadlineMs }, () =>
      this.#medium.readBack(this.#context(session, Infinity), verified),
    );
    if (this.mustIdentify) {
      const identified = await this.#identify(session, deadlineMs);
      if (!identified.ok) return identified.error;
    }
    if (read === 'silent') return silence(deadlineMs);
    return read.ok ? { kind: 'good', latencyUs: 0 } : read.error;
  }

  /**
   * Brings to the medium what a write cache holds, of every initiator. No error: it has answered; a
   * medium that fails is no fault of the path, and refusing to serve would save nothing.
   */
  async syncCache(deadlineMs: number): Promise<Result<void, PathFault>> {
    const verified = this.verified;
    if (verified === undefined) return err(noSession('not logged in'));
    if (verified.facts.writeCache === 'none') return ok(undefined);
    const emptied = await emptyCache(this.#context(verified.session, deadlineMs));
    return emptied.ok ? emptied : this.#faultOfProbe(emptied.error);
  }

  /** Ends what the device server has, of every initiator, through the session that is verified. */
  resetUnit(limits: FenceLimits): Promise<Result<void, TransportFailure>> {
    return this.#throughVerified((session) => this.#unit.endTasks(session, limits));
  }

  /** Empties the unit's cache of the writes of every initiator, through the session that is verified. */
  flushUnit(limits: FenceLimits): Promise<Result<void, TransportFailure>> {
    return this.#throughVerified((session) => this.#unit.flush(session, limits));
  }

  #throughVerified(
    work: (session: Session) => Promise<Result<void, TransportFailure>>,
  ): Promise<Result<void, TransportFailure>> {
    return this.#serially(async () => {
      const session = this.verified?.session;
      if (session === undefined) return err({ kind: 'unreachable', detail: 'not logged in' });
      return this.#fencing(() => work(session));
    });
  }

  /** A probe that is given up meanwhile does not end the session. */
  async #fencing<T>(work: () => Promise<T>): Promise<T> {
    this.#isFencing = true;
    try {
      return await work();
    } finally {
      this.#isFencing = false;
    }
  }

  /**
   * Session reinstatement and LOGICAL UNIT RESET, at the configured portal or at `at`; the new session
   * stays, to be verified by a probe, if it leads to where the path is configured.
   */
  async resetNexus(
    limits: FenceLimits,
    at?: Portal,
    key?: string,
  ): Promise<Result<void, TransportFailure>> {
    const refusal = this.#proof.refusal(key, this.#session);
    if (refusal !== undefined) return err(refusal);
    this.#login.abort();
    return this.#serially(async () => {
      await this.sever('reinstating the session');
      return this.#fencing(() => this.#reinstate(limits, at, key));
    });
  }

  async #reinstate(
    limits: FenceLimits,
    at: Portal | undefined,
    key: string | undefined,
  ): Promise<Result<void, TransportFailure>> {
    const connected = await this.#connect(limits.stepMs, at);
    if (!connected.ok) return connected;
    const session = connected.value;
    const moved = astray(at, session.portal);
    if (moved !== undefined) {
      this.#discard(session, moved);
      return err({ kind: 'protocol', detail: moved });
    }
    const proved = await this.#proof.prove(session, key, limits.stepMs);
    if (!proved.ok) return proved;
    const done = await this.#unit.endTasks(session, limits);
    if (!done.ok) session.abort(`fence failed: ${done.error.detail}`);
    else if (astray(at, this.target) !== undefined) {
      this.#discard(session, 'fenced; the path is configured to lead elsewhere');
    }
    return done;
  }

  /**
   * This path as one that may hold writes, at the address that they were sent to: a name or a redirect
   * may lead elsewhere by now, to a gateway that knows nothing of them. `key`: what the session that they
   * were sent through had registered. Undefined: not known.
   */
  writtenAt(portal: Portal | undefined, key?: string): PathToFence {
    const { name, isid, target } = this;
    const { initiator } = this.#options;
    return {
      name,
      proves: true,
      resetNexus: (limits) => this.resetNexus(limits, portal, key),
      preempt: (limits) => this.#questions.preempt({ name, isid, key }, limits),
      knock: (timeoutMs) => initiator.knock({ ...target, ...portal }, timeoutMs),
    };
  }

  /**
   * Drops the connection with RST; resolves when the socket is closed. A login under way goes on: it
   * carries nothing of ours, and a fence may be what it is for. So does a fence that has logged in: its
   * commands may take longer than a probe that waits for them.
   */
  async sever(reason: string): Promise<void> {
    if (this.#isFencing) return;
    const session = this.#session;
    this.#forget();
    this.severedAt = this.#options.clock.now();
    if (session === undefined) return;
    this.#severed.add(session);
    session.abort(reason);
    await session.closed;
  }

  /** Ends for good: logs out if there is a session. */
  async close(timeoutMs: number): Promise<void> {
    const session = this.#session;
    this.#state = CLOSED;
    this.#login.abort();
    if (session === undefined) return;
    await session.logout(timeoutMs);
    await session.closed;
  }

  /** A method, so that the compiler does not take an answer from before an await for granted. */
  #isClosed(): boolean {
    return this.#state.kind === 'closed';
  }

  #forget(): void {
    this.#state = withoutSession(this.#state);
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#exclusive.then(work);
    this.#exclusive = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  async #connect(timeoutMs: number, at?: Portal): Promise<Result<Session, TransportFailure>> {
    if (this.#isClosed()) return err({ kind: 'aborted', detail: 'the path was removed' });
    const connected = await this.#login.connect(timeoutMs, at);
    if (!connected.ok) return connected;
    const session = connected.value;
    if (this.#isClosed()) {
      session.abort('the path was removed');
      return err({ kind: 'aborted', detail: 'the path was removed' });
    }
    this.#state = loggedIn(this.#state, session);
    void session.closed.then((failure) => {
      if (this.#session !== session) return;
      this.#forget();
      this.#emit({ kind: 'session-lost', path: this.name, cause: causeOf(failure) });
    });
    return ok(session);
  }

  /** Logged in and verified afterwards, or the reason why not. */
  async #establish(late: () => void): Promise<Result<void, PathFault>> {
    if (this.verified !== undefined) return ok(undefined);
    if (this.#session === undefined) {
      const connected = await this.#connect(this.#options.policy().loginTimeoutMs);
      if (!connected.ok) return err(loginAnswer(connected.error));
    }
    const session = this.#session;
    if (session === undefined) return err(noSession('session lost'));
    return this.#identify(session, this.#options.policy().loginTimeoutMs, { late });
  }

  async #identify(
    session: Session,
    deadlineMs: number,
    asking: { readonly late?: () => void; readonly again?: true } = {},
  ): Promise<Result<void, PathFault>> {
    const changes = this.#changes;
    const reading = await this.#read(session, deadlineMs, asking.late);
    if (this.#session !== session) {
      // Reset by ourselves it says nothing about the path.
      const hard = !this.#severed.has(session);
      return err(noSession('session lost', hard));
    }
    if (!reading.ok) {
      // Half known is not known: the next attempt starts from a login.
      if (this.verified === undefined) this.#discard(session, reading.error.detail);
      return err(faultAnswer(reading.error));
    }
    // It changed while it was read: what was read is neither the old unit nor the new one.
    if (changes !== this.#changes) return this.#identify(session, deadlineMs, asking);
    // Only now: until it was judged the unit is in doubt, and so it stays when the target does not
    // answer.
    this.#changesRead = changes;
    const identity = this.#questions.judge(this, reading.value);
    if (identity.kind !== 'verified') {
      const why = identity.kind === 'unchecked' ? 'unchecked' : identity.detail;
      this.#discard(session, why);
      return err({ kind: 'not-ours', identity });
    }
    if (this.verified?.session === session && !reading.value.reserved) {
      this.#state = judgedOurs(this.#state, session, reading.value);
      return ok(undefined);
    }
    const joined = await this.#join(session, deadlineMs);
    if (this.#session !== session) {
      return err(noSession('session lost', !this.#severed.has(session)));
    }
    if (!joined.ok) {
      this.#discard(session, 'cannot be registered');
      return joined;
    }
    if (reading.value.reserved && asking.again) {
      this.#discard(session, 'reserved by another node');
      return err(reservedByOthers());
    }
    // It changed while it was registered, or tells more to who has registered.
    if (changes !== this.#changes || reading.value.reserved) {
      return this.#identify(session, deadlineMs, { ...asking, again: true });
    }
    this.#state = judgedOurs(this.#state, session, reading.value);
    return ok(undefined);
  }

  /** Who it is and what it can do; given up when nothing comes from it for `deadlineMs`. */
  async #read(
    session: Session,
    deadlineMs: number,
    late?: () => void,
  ): Promise<Result<LuReading, CommandFault>> {
    const { clock } = this.#options;
    const reading = await askPatiently({ session, clock, deadlineMs, late }, () =>
      readLu(this.#context(session, Infinity)),
    );
    return reading === 'silent' ? err(silentFault(deadlineMs)) : reading;
  }

  #join(session: Session, deadlineMs: number): Promise<Result<void, PathFault>> {
    const open = (ms: number): CommandContext => this.#context(session, ms);
    return this.#questions.join(this, session, open, deadlineMs);
  }

  /** Leaves a session that nothing was ever written through. */
  #discard(session: Session, why: string): void {
    if (this.#session === session) this.#forget();
    session.abort(why);
  }

  #context(session: Session, deadlineMs: number): CommandContext {
    const { clock } = this.#options;
    const attention = (sense: Sense): void => {
      if (asksForIdentity(sense)) this.#changes++;
      this.#emit({ kind: 'attention', path: this.name, sense });
    };
    return { session, clock, deadlineMs, attention };
  }

  async #probeSession(verified: Verified, { current, ...asking }: Probing): Promise<ProbeAnswer> {
    const watch = { session: verified.session, clock: this.#options.clock, ...asking };
    const answer = await askPatiently(watch, () => this.#ask(verified, current));
    return answer === 'silent' ? silence(asking.deadlineMs) : answer;
  }

  async #ask(verified: Verified, current: boolean): Promise<ProbeAnswer> {
    const context = this.#context(verified.session, Infinity);
    const { loginTimeoutMs: deadlineMs } = this.#options.policy();
    const vpd = cdb.inquiryVpd(0x83, 1024);
    const inquiry = runCommand(context, { what: 'INQUIRY 83h', cdb: vpd, receive: 1024 });
    const read = this.#medium.probe(context, verified, current);
    const [asked, answer] = await Promise.all([inquiry, read]);
    if (answer.kind !== 'good') return answer;
    if (!this.mustIdentify) {
      if (asked.kind === 'fault') {
        const works = this.#faultOfProbe(asked.fault);
        return works.ok ? answer : works.error;
      }
      const names = decodeNames(asked.data);
      if (names.ok && sameNames(names.value, verified.identity)) return answer;
    }
    // In doubt, or not who it was: read everything again and let it be judged.
    const identified = await this.#identify(verified.session, deadlineMs);
    return identified.ok ? answer : identified.error;
  }

  /** An error of the medium or of the command is an answer: the path works. */
  #faultOfProbe(fault: CommandFault): Result<void, PathFault> {
    if (fault.kind === 'error') return ok(undefined);
    if (fault.kind === 'reservation-conflict') {
      this.#emit({ kind: 'conflict', path: this.name, detail: fault.detail });
    }
    return err(faultAnswer(fault));
  }
}

interface Probing {
  readonly deadlineMs: number;
  readonly current: boolean;
  readonly late: () => void;
}
