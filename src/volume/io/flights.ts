/**
 * The commands at the target (D31): every one has an age. It ends with its answer; one that was lost with
 * its session stays until the path is abandoned, because what becomes of it is not known.
 *
 * How long a command may take is learned: what was answered after all says how long answers take here, and
 * nothing is given up before twice that time. It doubles with every try of the command that has had most of
 * them, for all alike, so that they grow old together: whatever the storage takes, a try comes that is
 * patient enough, and no later arrival disturbs it.
 *
 * Time in which our own process stood still is no command's age, and nothing is learned from it: an answer
 * that was there all the time would say that storage takes hours.
 */
import { assert } from '../../base/assert.ts';
import type { Instant } from '../../base/brand.ts';
import { Line, type LinePlace } from '../../base/line.ts';
import type { Policy } from '../../paths/policy.ts';
import { after } from '../../paths/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { LateBuffer } from '../../ports/read-buffer.ts';
import type { ScsiCommand, ScsiOutcome, Session } from '../../ports/session.ts';

/** Of a request, over all its tries on all paths. */
export interface Age {
  /** When it was first sent; undefined: it was not yet. */
  since: Instant | undefined;
  /** How often it was given up. */
  givenUp: number;
}

/** What commands are sent for. */
export interface Errand {
  /** For people: "write 4096+512". */
  what(): string;
  /** Of a kind that ought to be quick: read, write. Never changes. */
  readonly isQuick: boolean;
  readonly age: Age;
}

/** A command at the target, as the session has it: one object, for there is one for each command. */
export class Flight implements ScsiCommand {
  readonly cdb: Uint8Array;
  readonly dataOut: Buffer | undefined;
  readonly dataIn: Buffer | LateBuffer | undefined;
  readonly tailroom: number | undefined;
  readonly errand: Errand;
  readonly done: (outcome: ScsiOutcome) => void;
  /** When it was sent this time, without what we stood still since. */
  sentAt: Instant;
  /** Among the flights. */
  place: LinePlace<Flight> | undefined;

  constructor(
    { cdb, dataOut, dataIn, tailroom }: Omit<ScsiCommand, 'done'>,
    errand: Errand,
    sentAt: Instant,
    done: (outcome: ScsiOutcome) => void,
  ) {
    this.cdb = cdb;
    this.dataOut = dataOut;
    this.dataIn = dataIn;
    this.tailroom = tailroom;
    this.errand = errand;
    this.done = done;
    this.sentAt = sentAt;
  }
}

export type AgeParameters = Pick<Policy, 'commandTimeoutMs' | 'flushDeadlineMs'>;

/** A long service time is remembered for this long, or for ten times as long as it was. */
const REMEMBERED_MS = 600_000;
/** Service times of less than this share of the limit are nothing to learn from. */
const WORTH_LEARNING = 0.25;

interface Learned {
  ms: number;
  at: Instant;
}

/** How long a command of the kind may take before anything is known. */
function firstLimitMs(isQuick: boolean, policy: AgeParameters): number {
  const { commandTimeoutMs, flushDeadlineMs } = policy;
  return isQuick ? commandTimeoutMs : Math.max(2 * commandTimeoutMs, flushDeadlineMs);
}

export class Flights {
  readonly #clock: Clock;
  readonly #flights = new Line<Flight>();
  readonly #learned = new Map<boolean, Learned>();
  /** Those of a quick kind. Invariant: 0 … all of them. */
  #quick = 0;
  /** When it is looked at next, and how late that may be; undefined: it is not looked at. */
  #due: { readonly at: Instant; readonly slackMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#flights.length;
  }

  get hasQuick(): boolean {
    return this.#quick > 0;
  }

  has(flight: Flight): boolean {
    return this.#flights.has(flight.place);
  }

  /** Sends it. `answered` gets every outcome, also when the path was abandoned. */
  launch(
    session: Session,
    command: Omit<ScsiCommand, 'done'>,
    errand: Errand,
    answered: (outcome: ScsiOutcome) => void,
  ): void {
    const sentAt = this.#catchUp();
    errand.age.since ??= sentAt;
    const flight = new Flight(command, errand, sentAt, (outcome) => {
      if (outcome.kind !== 'lost') this.#ended(flight, outcome);
      answered(outcome);
    });
    flight.place = this.#flights.join(flight);
    if (errand.isQuick) this.#quick++;
    session.execute(flight);
  }

  /** It is looked at now, and again after this. */
  looked(periodMs: number): void {
    const now = this.#catchUp();
    this.#due = { at: after(now, periodMs), slackMs: periodMs };
  }

  /** A look that is late says that this process stood still. */
  #catchUp(): Instant {
    const now = this.#clock.now();
    const due = this.#due;
    if (due === undefined || now - due.at <= due.slackMs) return now;
    for (const flight of this.#flights) flight.sentAt = after(flight.sentAt, now - due.at);
    this.#due = { ...due, at: now };
    return now;
  }

  #ended(flight: Flight, { kind }: ScsiOutcome): void {
    // First of all: where we stood still it changes `sentAt`.
    const now = this.#catchUp();
    const { place, errand, sentAt } = flight;
    if (place === undefined || !this.#flights.leave(place)) return;
    if (errand.isQuick) this.#quick--;
    const isCounted = this.#quick >= 0 && this.#quick <= this.#flights.length;
    assert(isCounted, 'a command ends as the kind that it was sent as');
    if (kind === 'status') this.#learn(errand.isQuick, now - sentAt, now);
  }

  #learn(isQuick: boolean, tookMs: number, now: Instant): void {
    const known = this.#longestMs(isQuick, now);
    if (tookMs >= known) this.#learned.set(isQuick, { ms: tookMs, at: now });
    else if (tookMs * 2 >= known) this.#learned.set(isQuick, { ms: known, at: now });
  }

  #longestMs(isQuick: boolean, now: Instant): number {
    const learned = this.#learned.get(isQuick);
    if (learned === undefined) return 0;
    const ageMs = now - learned.at;
    return ageMs < Math.max(REMEMBERED_MS, 10 * learned.ms) ? learned.ms : 0;
  }

  /** The path is abandoned, or what it still answers counts for nothing. */
  clear(): void {
    this.#flights.clear();
    this.#quick = 0;
  }

  /** How long a command of the kind may take now, ms. */
  limitMs(isQuick: boolean, policy: AgeParameters): number {
    const first = firstLimitMs(isQuick, policy);
    const longest = this.#longestMs(isQuick, this.#clock.now());
    let tries = 0;
    for (const { errand } of this.#flights) tries = Math.max(tries, errand.age.givenUp);
    const learned = longest < WORTH_LEARNING * first ? 0 : 2 * longest;
    return Math.max(first * 2 ** tries, learned);
  }

  /** Those that have had their time, oldest first. */
  overdue(policy: AgeParameters): readonly Flight[] {
    const now = this.#catchUp();
    if (this.#flights.length === 0) return [];
    const [slow, quick] = [this.limitMs(false, policy), this.limitMs(true, policy)];
    return [...this.#flights]
      .filter(({ errand, sentAt }) => now - sentAt >= (errand.isQuick ? quick : slow))
      .sort((a, b) => ageOf(b, now) - ageOf(a, now));
  }

  /** The oldest request that is at the target. */
  oldest(): { readonly what: string; readonly ageMs: number } | undefined {
    const now = this.#clock.now();
    let oldest: Flight | undefined;
    for (const flight of this.#flights) {
      if (oldest === undefined || ageOf(flight, now) > ageOf(oldest, now)) oldest = flight;
    }
    return oldest && { what: oldest.errand.what(), ageMs: ageOf(oldest, now) };
  }
}

/** Since its request was first sent. */
export function ageOf({ errand, sentAt }: Flight, now: Instant): number {
  return now - (errand.age.since ?? sentAt);
}
