/**
 * The paths of one volume: it carries the controller's probes and severings out, and turns what comes
 * back (answers, lost sessions, identities) into the controller's events.
 */
import type { PathName } from '../../base/brand.ts';
import type { Cause, Identity, PathEffect, PathEvent } from '../../paths/model.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  ChapCredentials,
  DigestChoices,
  Initiator,
  Sense,
  SessionTarget,
} from '../../ports/session.ts';
import type { IdentityBook } from '../unit/identity-book.ts';
import type { ProbeAnswer } from '../unit/probe-answer.ts';
import type { RecentWrites } from '../unit/recent-writes.ts';
import type { WriteProtection } from '../unit/write-protection.ts';
import type { LinkEvents, LinkTimes } from './link-options.ts';
import { PathLink } from './path-link.ts';

export interface VolumePath {
  readonly name: string;
  readonly target: SessionTarget;
  readonly maxWeight: number;
  readonly drained: boolean;
  /** Allocated and persisted by the node; see ConnectOptions. */
  readonly isid: string;
}

export interface BoardOptions {
  readonly paths: readonly VolumePath[];
  readonly initiatorName: string;
  readonly times: LinkTimes;
  readonly clock: Clock;
  readonly initiator: Initiator;
  readonly book: IdentityBook;
  readonly protection: WriteProtection;
  readonly recent: () => RecentWrites | undefined;
  /** The addresses of portals may move to other gateways. */
  readonly floating: () => boolean;
  readonly reservations: BoardReservations;
  readonly credentials: () => ChapCredentials | undefined;
  /** Asked at each login. */
  readonly digests: () => DigestChoices;
}

export interface BoardEvents {
  dispatch(event: PathEvent): void;
  attention(path: string, sense: Sense): void;
  /** A command was refused with RESERVATION CONFLICT. */
  fenced(path: string, detail: string): void;
  /** A path was found to be, or not to be, the volume's logical unit. */
  identity(path: string, identity: Identity): void;
  /** CHAP has failed, after it had not or differently. */
  unauthenticated(path: string, detail: string): void;
  /** Something about a path has changed. */
  changed(): void;
}

/** What a link asks about registrations goes straight on. */
export interface BoardReservations extends Pick<LinkEvents, 'join' | 'preempt'> {
  /** The path was removed. */
  forget(path: string): void;
}

export interface LastError {
  readonly detail: string;
  readonly at: Date;
}

export class PathBoard {
  readonly #options: BoardOptions;
  readonly #events: BoardEvents;
  readonly #links = new Map<string, PathLink>();
  readonly #lastErrors = new Map<string, LastError>();
  readonly #answered = new Set<string>();
  readonly #identities = new Map<string, string>();
  /** Paths whose last login failed for CHAP, and how. */
  readonly #unauthenticated = new Map<string, string>();
  /** Path errors and bans seen since the start; any change voids a proof that relied on quiet. */
  errors = 0;

  constructor(options: BoardOptions, events: BoardEvents) {
    this.#options = options;
    this.#events = events;
    for (const path of options.paths) this.add(path);
  }

  add(path: VolumePath): void {
    this.#links.set(path.name, this.#makeLink(path));
  }

  /** Closes a path that the controller has dropped; its name is free when this resolves. */
  async remove(path: string, timeoutMs: number): Promise<void> {
    const link = this.#links.get(path);
    if (link === undefined) return;
    this.#links.delete(path);
    this.#lastErrors.delete(path);
    this.#answered.delete(path);
    this.#identities.delete(path);
    this.#unauthenticated.delete(path);
    this.#options.book.readmit(path);
    this.#options.reservations.forget(path);
    await link.close(timeoutMs);
  }

  link(path: string): PathLink | undefined {
    return this.#links.get(path);
  }

  lastError(path: string): LastError | undefined {
    return this.#lastErrors.get(path);
  }

  /** The path has answered, well or badly, at least once. */
  answered(path: string): boolean {
    return this.#answered.has(path);
  }

  /** Whether there is nothing to wait for: each path has answered, none waits to be identified. */
  get allAnswered(): boolean {
    const links = [...this.#links.values()];
    return this.#answered.size === links.length && !links.some((link) => link.unidentified);
  }

  /** "p0: …; p1: …" of the paths whose last login failed for CHAP; empty: none did. */
  get unauthenticated(): string {
    return [...this.#unauthenticated].map(([path, detail]) => `${path}: ${detail}`).join('; ');
  }

  /** "p0: connection refused; p1: …" */
  problems(): string {
    const names = [...this.#links.keys()];
    return names
      .map((name) => `${name}: ${this.#lastErrors.get(name)?.detail ?? 'no answer yet'}`)
      .join('; ');
  }

  /** Carries out a probe effect. */
  async probe(effect: Extract<PathEffect, { kind: 'probe' }>, current: boolean): Promise<void> {
    const { path, probe, deadlineMs } = effect;
    const link = this.#links.get(path);
    if (link === undefined) return;
    const late = (): void => this.#events.dispatch({ kind: 'probe-late', path, probe });
    const answer = await link.probe(deadlineMs, current, late);
    // Removed meanwhile: by now the name may be another path's.
    if (this.#links.get(path) !== link) return;
    this.#answered.add(path);
    switch (answer.kind) {
      case 'good': {
        this.#unauthenticated.delete(path);
        this.#identified(path, { kind: 'verified' });
        const { latencyUs } = answer;
        this.#events.dispatch({ kind: 'probe-succeeded', path, probe, latencyUs });
        break;
      }
      case 'failed': {
        this.#erred(path, answer.cause);
        const { hard, cause } = answer;
        this.#events.dispatch({ kind: 'probe-failed', path, probe, hard, cause });
        break;
      }
      case 'not-ours':
        this.#identified(path, answer.identity);
        // It answers, which is all that a probe asks; its identity keeps it from being used.
        this.#events.dispatch({ kind: 'probe-succeeded', path, probe, latencyUs: 0 });
        break;
    }
    this.#events.changed();
  }

  /** Looks once more who a path is, though no probe is due. */
  async identify(name: string, deadlineMs: number): Promise<void> {
    const link = this.#links.get(name);
    const answer = await link?.probe(deadlineMs, false);
    if (answer === undefined || this.#links.get(name) !== link) return;
    if (answer.kind === 'good') this.#identified(name as PathName, { kind: 'verified' });
    else this.report(name, answer);
    this.#events.changed();
  }

  /** The next answer about the path's identity is news again. */
  forgetIdentity(path: string): void {
    this.#identities.delete(path);
  }

  /** Something asked of the path beside a probe went wrong. */
  report(name: string, answer: ProbeAnswer): void {
    const path = name as PathName;
    if (answer.kind === 'failed') this.failed(name, answer.cause);
    if (answer.kind === 'not-ours') this.#identified(path, answer.identity);
  }

  failed(name: string, cause: Cause): void {
    this.#erred(name, cause);
    this.#events.dispatch({ kind: 'path-failed', path: name as PathName, cause });
    this.#events.changed();
  }

  async sever(path: string, reason: string): Promise<void> {
    await this.#links.get(path)?.sever(reason);
  }

  async close(timeoutMs: number): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close(timeoutMs)));
  }

  #erred(path: string, cause: Cause): void {
    this.errors++;
    const at = this.#options.clock.wallTime();
    this.#lastErrors.set(path, { detail: cause.detail, at });
    if (cause.kind !== 'authentication') return;
    if (this.#unauthenticated.get(path) === cause.detail) return;
    this.#unauthenticated.set(path, cause.detail);
    this.#events.unauthenticated(path, cause.detail);
  }

  /** Tells the controller when the identity of a path is not what it was. */
  #identified(path: PathName, identity: Identity): void {
    const detail = 'detail' in identity ? identity.detail : '';
    const key = `${identity.kind} ${detail}`;
    if (this.#identities.get(path) === key) return;
    this.#identities.set(path, key);
    if (detail !== '') this.#lastErrors.set(path, { detail, at: this.#options.clock.wallTime() });
    // What was read through it until now may have been another unit's.
    if (identity.kind !== 'verified') this.errors++;
    if (identity.kind === 'banned') this.#options.book.ban(path, identity.detail);
    this.#events.identity(path, identity);
    this.#events.dispatch({ kind: 'identity', path, identity });
  }

  #makeLink(path: VolumePath): PathLink {
    const { book, protection, recent, clock, initiator, initiatorName, times } = this.#options;
    const { credentials, digests, floating, reservations } = this.#options;
    const events: LinkEvents = {
      judge: ({ name }, { identity, facts }) =>
        protection.judge(name, book.judge(name, identity), facts),
      recent,
      attention: (link, sense) => this.#events.attention(link.name, sense),
      lost: (link, cause) => this.failed(link.name, cause),
      fenced: (link, detail) => this.#events.fenced(link.name, detail),
      join: reservations.join,
      preempt: reservations.preempt,
    };
    const { name, target, isid } = path;
    const options = { name, target, isid, initiatorName, times, clock, initiator };
    return new PathLink({ ...options, credentials, digests, floating }, events);
  }
}
