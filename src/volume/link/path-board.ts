/**
 * The paths of one volume: it carries the controller's probes and severings out, and turns what comes
 * back (answers, lost sessions, identities) into the controller's events.
 */
import { assert } from '../../base/assert.ts';
import type { Cause, Identity, PathEffect, PathEvent } from '../../paths/model.ts';
import type { Clock } from '../../ports/clock.ts';
import type { ChapCredentials, Initiator, SessionTarget } from '../../ports/session.ts';
import type { IdentityBook } from '../unit/identity-book.ts';
import type { ProbeAnswer } from '../unit/probe-answer.ts';
import type { RecentWrites } from '../unit/recent-writes.ts';
import type { WriteProtection } from '../unit/write-protection.ts';
import type { LinkQuestions, LinkParameters } from './link-options.ts';
import type { LinkSignal, SessionSignal } from './link-signal.ts';
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
  readonly policy: () => LinkParameters;
  readonly clock: Clock;
  readonly initiator: Initiator;
  readonly book: IdentityBook;
  readonly protection: WriteProtection;
  readonly recent: () => RecentWrites | undefined;
  /** What a link asks about registrations. */
  readonly reservations: Pick<LinkQuestions, 'join' | 'preempt'>;
  readonly credentials: () => ChapCredentials | undefined;
}

export interface LastError {
  readonly detail: string;
  readonly at: Date;
}

export class PathBoard {
  readonly #options: BoardOptions;
  readonly #emit: (signal: LinkSignal) => void;
  readonly #links = new Map<string, PathLink>();
  readonly #lastErrors = new Map<string, LastError>();
  readonly #answered = new Set<string>();
  readonly #identities = new Map<string, string>();
  /** Paths whose last login failed for CHAP, and how. */
  readonly #unauthenticated = new Map<string, string>();
  /** Path errors and bans seen since the start; any change voids a proof that relied on quiet. */
  errors = 0;

  constructor(options: BoardOptions, emit: (signal: LinkSignal) => void) {
    this.#options = options;
    this.#emit = emit;
    for (const path of options.paths) this.add(path);
  }

  add(path: VolumePath): void {
    assert(
      !this.#links.has(path.name),
      'a path has one link, so that its logins follow each other',
    );
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
    this.#emit({ kind: 'path-dropped', path });
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
    const late = (): void => this.#tellController({ kind: 'probe-late', path, probe });
    const answer = await link.probe(deadlineMs, current, late);
    // Removed meanwhile: by now the name may be another path's.
    if (this.#links.get(path) !== link) return;
    this.#answered.add(path);
    switch (answer.kind) {
      case 'good': {
        this.#unauthenticated.delete(path);
        this.#identified(path, { kind: 'verified' });
        const { latencyUs } = answer;
        this.#tellController({ kind: 'probe-succeeded', path, probe, latencyUs });
        break;
      }
      case 'failed': {
        this.#erred(path, answer.cause);
        const { hard, cause } = answer;
        this.#tellController({ kind: 'probe-failed', path, probe, hard, cause });
        break;
      }
      case 'not-ours':
        this.#identified(path, answer.identity);
        // It answers, which is all that a probe asks; its identity keeps it from being used.
        this.#tellController({ kind: 'probe-succeeded', path, probe, latencyUs: 0 });
        break;
    }
    this.#emit({ kind: 'paths-changed' });
  }

  /** Reads the identity of a path once more, though no probe is due. */
  async identify(name: string, deadlineMs: number): Promise<void> {
    const link = this.#links.get(name);
    const answer = await link?.probe(deadlineMs, false);
    if (answer === undefined || this.#links.get(name) !== link) return;
    if (answer.kind === 'good') this.#identified(name, { kind: 'verified' });
    else this.report(name, answer);
    this.#emit({ kind: 'paths-changed' });
  }

  /** The next answer about the path's identity is news again. */
  forgetIdentity(path: string): void {
    this.#identities.delete(path);
  }

  /** Something asked of the path beside a probe went wrong. */
  report(name: string, answer: ProbeAnswer): void {
    if (answer.kind === 'failed') this.failed(name, answer.cause);
    if (answer.kind === 'not-ours') this.#identified(name, answer.identity);
  }

  failed(name: string, cause: Cause): void {
    this.#erred(name, cause);
    this.#tellController({ kind: 'path-failed', path: name, cause });
    this.#emit({ kind: 'paths-changed' });
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
    this.#emit({ kind: 'unauthenticated', path, detail: cause.detail });
  }

  /** Tells the controller when the identity of a path is not what it was. */
  #identified(path: string, identity: Identity): void {
    const detail = 'detail' in identity ? identity.detail : '';
    const key = `${identity.kind} ${detail}`;
    if (this.#identities.get(path) === key) return;
    this.#identities.set(path, key);
    if (detail !== '') this.#lastErrors.set(path, { detail, at: this.#options.clock.wallTime() });
    // What was read through it until now may have been another unit's.
    if (identity.kind !== 'verified') this.errors++;
    if (identity.kind === 'banned') this.#options.book.ban(path, identity.detail);
    this.#emit({ kind: 'identity', path, identity });
    this.#tellController({ kind: 'identity', path, identity });
  }

  #tellController(event: PathEvent): void {
    this.#emit({ kind: 'path-event', event });
  }

  #heard(signal: SessionSignal): void {
    if (signal.kind === 'session-lost') this.failed(signal.path, signal.cause);
    else this.#emit(signal);
  }

  #makeLink(path: VolumePath): PathLink {
    const { book, protection, recent, clock, initiator, initiatorName } = this.#options;
    const { credentials, policy, reservations } = this.#options;
    const questions: LinkQuestions = {
      judge: ({ name }, { identity, facts }) =>
        protection.judge(name, book.judge(name, identity), facts),
      recent,
      join: reservations.join,
      preempt: reservations.preempt,
    };
    const { name, target, isid } = path;
    const options = { name, target, isid, initiatorName, clock, initiator };
    const wanted = { ...options, credentials, policy };
    return new PathLink(wanted, questions, (signal) => this.#heard(signal));
  }
}
