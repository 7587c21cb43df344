/**
 * This node's claims on single-node volumes, from the stage on for as long as they are staged (D41, D42).
 *
 * A claim is made by `make`, before the volume is attached. Until unstage it is compared with the PV, and
 * an entry that is missing there is written again. So a claim that an operator removed while the volume
 * is staged is made again at once. A PV that was made anew under its name (another uid, without our
 * entries) is claimed by the same rules. Each of the two gives a warning. A claim that another node has
 * made means that ours is lost: pathd is told and fails the volume, because two nodes must not write.
 * Whether a claim is lost is read from the API server each time and never taken from a watch, because the
 * cache of a watch may be older than our own claim. An API server that does not answer decides nothing:
 * it is asked again, and pathd is told nothing.
 *
 * The unit that the volume was first staged on is pinned here too: the same write, the same care.
 */
import type { Logger } from '../../base/log.ts';
import { ok } from '../../base/result.ts';
import { backoffMs } from '../../kubernetes/backoff.ts';
import { type KubernetesApi, ownerOf, type PersistentVolume } from '../../kubernetes/client.ts';
import { DRIVER_NAME } from '../../kubernetes/contract.ts';
import {
  claimEntry,
  type Debt,
  type DebtEntry,
  describeStanding,
  mergeNexuses,
  type Nexuses,
  parseDebts,
} from '../../kubernetes/debt-annotation.ts';
import { DEBTS_KEY, IDENTITY_KEY, OWNER_KEY } from '../../kubernetes/keys.ts';
import { pause } from '../../kubernetes/watch.ts';
import { type AttachResponse, type PathdApi, PathdError, type PathSpec } from '../../pathd/api.ts';
import { CsiError } from '../wire/csi-error.ts';
import type { CsiEventReason, VolumeEventText } from './event-writer.ts';
import { knownPv } from './keeper.ts';
import type { KnownPv, KnownStore, KnownVolume } from './known.ts';
import {
  cannotClaim,
  CLAIM_MS,
  claimOwner,
  type Claimed,
  isClaimOf,
  plain,
  textOf,
} from './claim-writes.ts';

export interface ClaimsOptions {
  readonly api: KubernetesApi;
  readonly pathd: Pick<PathdApi, 'nexuses' | 'confirmClaim'>;
  readonly store: KnownStore;
  readonly node: string;
  readonly log: Logger;
  /** Paths that the volume has now. */
  readonly pathsOf: (known: KnownVolume) => readonly PathSpec[];
  readonly tell: (known: KnownVolume, event: VolumeEventText) => void;
  /** The PV of a staged volume is another object now, and is ours. */
  readonly replaced: (volumeId: string) => void;
  /** Ends all waiting. */
  readonly signal: AbortSignal;
}

/** What a stage has to know of the claim that it has made. */
export type MadeClaim = Pick<Claimed, 'pv' | 'debts' | 'takenFrom'> & {
  /** The pathd of this node is of a release that knows nothing of debts. */
  readonly isPathdOlder: boolean;
};

interface Loss {
  /** Empty: no node has the claim now. */
  readonly owner: string;
  readonly text: string;
}

/** done: as it should be, or nothing can be done; again: the API server did not answer. */
type Outcome = 'done' | 'again';

interface Job {
  readonly stop: AbortController;
  /** Asked for while it ran. */
  again: boolean;
  /** The PV as it was read just before. */
  read: PersistentVolume | undefined;
  end: Promise<void>;
}

/** Of a csi of before, that wrote no entry. */
const NEVER_SAID = { unpaid: undefined, wasHeld: false };
const TAKEN = 'another node has had the volume and has given it back';
/** pathd holds the volume's I/O while it waits for an answer. */
const QUESTION_AGAIN_MS = 5_000;
/** A read and a write of the PV; what was read longer ago does not say which node is the owner now. */
const ANSWER_MS = 2 * CLAIM_MS;
/** A claim that is so young needs no second look: most stages end well within it, and cost no request more. */
const JUST_NOW_MS = 1_000;

export class Claims {
  readonly #options: ClaimsOptions;
  readonly #jobs = new Map<string, Job>();
  /** By volume: the loss that was told last. */
  readonly #told = new Map<string, string>();

  constructor(options: ClaimsOptions) {
    this.#options = options;
  }

  /** Before the volume is attached. Throws FAILED_PRECONDITION (another's), UNAVAILABLE or RESOURCE_EXHAUSTED. */
  async make(volumeId: string, fresh: PersistentVolume): Promise<MadeClaim> {
    const { store, node } = this.#options;
    // What is under way is about the claim of before.
    await this.end(volumeId);
    const known = store.get(volumeId);
    const paths = known === undefined ? [] : this.#options.pathsOf(known);
    let isPathdOlder = false;
    const entry = async (): Promise<DebtEntry> => {
      const nexuses = await this.#nexuses(volumeId, paths);
      isPathdOlder = nexuses === undefined;
      return claimEntry(node, Date.now(), paths, nexuses);
    };
    const wanted = { volumeId, pv: fresh, entry, left: known?.left };
    const made = await claimOwner(this.#options, wanted);
    const { pv, debts, takenFrom, wasHeld } = made;
    const claim = { entry: made.entry, unpaid: undefined, wasHeld };
    // A csi after this one would give it back as if nothing had been attached under it.
    if (!(await this.#set(volumeId, { pv: knownPv(pv, node), isOwner: true, claim }, ['left']))) {
      const text = `volume ${volumeId}: its claim cannot be recorded below --state-dir`;
      throw new CsiError('RESOURCE_EXHAUSTED', `${text}: free some space, then it is tried again`);
    }
    return { pv, debts, isPathdOlder, ...(takenFrom === undefined ? {} : { takenFrom }) };
  }

  /** What another node has had meanwhile is not claimed under what is attached here: pathd fails it. */
  requireUntaken(volumeId: string, before: KnownPv | null, fresh?: PersistentVolume): void {
    const known = this.#options.store.get(volumeId);
    if (known === undefined || fresh === undefined) return;
    if (!wasTaken({ ...known, pv: before }, fresh, this.#options.node)) return;
    const text = `${TAKEN} while it was staged on this node: end its pods here`;
    throw new CsiError('FAILED_PRECONDITION', `volume ${volumeId}: ${text}`);
  }

  /**
   * pathd has attached the volume: what it has settled leaves the PV, and the unit is pinned. Where that
   * needs no write there is none; what cannot be written now is written later.
   *
   * Unless the claim is of just now the PV is read again: a fence may have taken minutes, and this process may
   * have been stopped, so that another node has claimed the volume, and nothing was attached here yet that
   * pathd could have failed. Throws FAILED_PRECONDITION then, and UNAVAILABLE where that cannot be asked and
   * the claim is old. `pv`: with the claim, as it was read last; `madeAt`: when the claim was made, in ms of
   * performance.now().
   */
  async attached(
    volumeId: string,
    pv: PersistentVolume,
    answer: AttachResponse,
    { isPaid, madeAt }: { readonly isPaid: boolean; readonly madeAt: number },
  ): Promise<void> {
    await this.#learn(volumeId, answer, isPaid);
    if (performance.now() - madeAt > JUST_NOW_MS) this.check(volumeId);
    else this.look(volumeId, pv, pv);
    const job = this.#jobs.get(volumeId);
    await Promise.race([job?.end, pause(CLAIM_MS, this.#options.signal)]);
    const known = this.#options.store.get(volumeId);
    if (known?.isOwner !== true || this.#told.has(volumeId)) {
      const pv = known?.pv ?? null;
      const owner = pv === null ? undefined : ownerOf(pv);
      const text = owner === undefined ? TAKEN : `node ${owner} has claimed it`;
      const when = 'while it was attached here: it is detached again, and nothing was written';
      throw new CsiError('FAILED_PRECONDITION', `volume ${volumeId}: ${text} ${when}`);
    }
    const isOpen = this.#jobs.get(volumeId) === job && job !== undefined;
    if (isOpen && performance.now() - madeAt > ANSWER_MS) {
      throw cannotClaim(volumeId, 'the API server does not say whether the claim still stands');
    }
  }

  async #learn(volumeId: string, answer: AttachResponse, isPaid: boolean): Promise<void> {
    const claim = this.#options.store.get(volumeId)?.claim;
    const { identity, unpaid } = answer;
    await this.#set(volumeId, {
      ...(identity === '' ? {} : { unit: identity }),
      ...(claim === undefined || !isPaid ? {} : { claim: { ...claim, unpaid } }),
    });
  }

  /** Without a claim: the unit is pinned all the same, and what stands on the PV is told, and stays. */
  async attachedUnclaimed(
    volumeId: string,
    pv: PersistentVolume | undefined,
    answer: AttachResponse,
  ): Promise<void> {
    const standing = describeStanding(pv?.annotations[DEBTS_KEY], Date.now());
    if (standing !== undefined) this.#tell(volumeId, 'DebtsLeft', standing);
    await this.#learn(volumeId, answer, false);
    this.look(volumeId, pv, pv);
    await Promise.race([this.#jobs.get(volumeId)?.end, pause(CLAIM_MS, this.#options.signal)]);
  }

  /**
   * Something may be different from what it should be; costs nothing where it is not. `seen`: the PV as a
   * watch has it; `read`: as the API server has just answered.
   */
  look(volumeId: string, seen?: PersistentVolume, read?: PersistentVolume): void {
    const known = this.#options.store.get(volumeId);
    if (known === undefined || known.isReleased) return;
    const isGood = seen === undefined ? this.#isCovered(known) : this.#isAsItShould(known, seen);
    if (known.isQuestioned !== true && isGood) return;
    this.check(volumeId, read);
  }

  /** Asks the API server, whatever is known. */
  check(volumeId: string, read?: PersistentVolume): void {
    const running = this.#jobs.get(volumeId);
    if (running !== undefined) {
      running.again = true;
      return;
    }
    const stop = new AbortController();
    const job: Job = { stop, again: false, read, end: Promise.resolve() };
    // A question is about now.
    if (this.#options.store.get(volumeId)?.isQuestioned === true) job.read = undefined;
    this.#jobs.set(volumeId, job);
    job.end = this.#tend(volumeId, job).finally(() => {
      if (this.#jobs.get(volumeId) === job) this.#jobs.delete(volumeId);
    });
  }

  /**
   * pathd asks whether the claim still stands. The question is on disk when this resolves: a csi after this
   * one answers it.
   */
  async question(volumeId: string): Promise<void> {
    const asked = this.#set(volumeId, { isQuestioned: true });
    this.look(volumeId);
    await asked;
  }

  /** The volume is going from this node. Resolves when nothing is claimed for it any more. */
  async end(volumeId: string): Promise<void> {
    this.#told.delete(volumeId);
    const job = this.#jobs.get(volumeId);
    job?.stop.abort();
    await job?.end;
  }

  async #tend(volumeId: string, job: Job): Promise<void> {
    const { signal, log } = this.#options;
    const both = AbortSignal.any([signal, job.stop.signal]);
    for (let failures = 0; !both.aborted;) {
      const { read } = job;
      job.read = undefined;
      const outcome = await this.#once(volumeId, read).catch((error: unknown): Outcome => {
        log.warn({ volumeId, error: String(error) }, 'claim was not looked after');
        return 'again';
      });
      if (outcome === 'done') {
        if (!wasAsked(job)) return;
        job.again = false;
        failures = 0;
        continue;
      }
      failures += 1;
      const againMs = backoffMs(failures, Math.random());
      const isHurried = this.#options.store.get(volumeId)?.isQuestioned === true;
      await pause(isHurried ? Math.min(againMs, QUESTION_AGAIN_MS) : againMs, both);
    }
  }

  async #once(volumeId: string, read: PersistentVolume | undefined): Promise<Outcome> {
    const { api, log } = this.#options;
    const name = this.#options.store.get(volumeId)?.pv?.name;
    if (name === undefined) return 'done';
    // What is read now answers what was asked before.
    const isQuestioned = this.#options.store.get(volumeId)?.isQuestioned === true;
    const readAt = isQuestioned ? performance.now() : undefined;
    const found = read === undefined ? await api.getPv(name, CLAIM_MS) : ok(read);
    const known = this.#options.store.get(volumeId);
    if (known === undefined || known.isReleased) return 'done';
    if (!found.ok) {
      log.info({ volumeId, error: found.error.detail }, 'PV cannot be asked for the claim');
      // One that is gone has no owner to read; it may be made anew, and the watch tells.
      const isGone = found.error.kind === 'not-found' && known.isQuestioned !== true;
      return isGone ? 'done' : 'again';
    }
    const pv = found.value;
    if (pv.driver !== DRIVER_NAME || pv.volumeHandle !== volumeId) {
      return known.isQuestioned === true ? 'again' : 'done';
    }
    const owner = ownerOf(pv);
    const isOthers = owner !== undefined && owner !== this.#options.node;
    if (known.isOwner && isOthers) {
      return this.#lost(known, pv, { owner, text: `node ${owner} has claimed the volume` });
    }
    if (wasTaken(known, pv, this.#options.node)) {
      return this.#lost(known, pv, { owner: '', text: TAKEN });
    }
    const mended = await this.#mend(known, pv);
    return mended === 'done' && readAt !== undefined ? this.#answer(volumeId, readAt) : mended;
  }

  /** Puts on the PV what is missing there. */
  async #mend(known: KnownVolume, pv: PersistentVolume): Promise<Outcome> {
    const { api, node, log } = this.#options;
    const { volumeId } = known;
    const isAnother = known.pv?.uid !== pv.uid;
    const wasFree = known.isOwner && ownerOf(pv) === undefined;
    const entry = known.isOwner ? await this.#entryOf(known) : undefined;
    const changes = this.#changes(known, pv, entry);
    let now = pv;
    if (Object.keys(changes).length > 0) {
      const done = await api.patchAnnotations(pv, changes, CLAIM_MS);
      // Of a conflict the next look knows more.
      if (!done.ok) {
        log.info({ volumeId, error: done.error.detail }, 'claim is not on the PV as it should be');
        return 'again';
      }
      now = done.value;
    }
    const { claim = NEVER_SAID } = this.#options.store.get(volumeId) ?? {};
    await this.#set(volumeId, {
      ...(isAnother || now !== pv ? { pv: knownPv(now, node) } : {}),
      ...(entry === undefined ? {} : { claim: { ...claim, entry } }),
    });
    if (known.isOwner && (wasFree || isAnother)) this.#reclaimed(volumeId, isAnother);
    if (isAnother) this.#options.replaced(volumeId);
    return 'done';
  }

  #changes(
    { unit, claim }: KnownVolume,
    pv: PersistentVolume,
    entry: DebtEntry | undefined,
  ): Record<string, string> {
    const { node } = this.#options;
    const pin =
      unit === undefined || pv.annotations[IDENTITY_KEY] !== undefined
        ? {}
        : { [IDENTITY_KEY]: unit };
    if (entry === undefined) return pin;
    const text = textOf([entry, ...othersOf(pv, claim?.unpaid, node)]);
    const isWritten = ownerOf(pv) === node && pv.annotations[DEBTS_KEY] === text;
    return isWritten ? pin : { ...pin, [OWNER_KEY]: node, [DEBTS_KEY]: text };
  }

  #isAsItShould(known: KnownVolume, pv: PersistentVolume): boolean {
    if (known.pv?.uid !== pv.uid || !this.#isCovered(known)) return false;
    const entry = known.isOwner ? known.claim?.entry : undefined;
    return Object.keys(this.#changes(known, pv, entry)).length === 0;
  }

  /** The claim names every path that the volume has. */
  #isCovered(known: KnownVolume): boolean {
    const { isOwner, claim } = known;
    return !isOwner || (claim !== undefined && this.#missing(known, claim.entry).length === 0);
  }

  /** This node's entry, with every path that the volume has by now. */
  async #entryOf(known: KnownVolume): Promise<DebtEntry> {
    const { node } = this.#options;
    const entry = known.claim?.entry ?? claimEntry(node, Date.now(), [], undefined);
    const missing = this.#missing(known, entry);
    if (missing.length === 0) return entry;
    const nexuses = await this.#nexuses(known.volumeId, missing);
    const more = claimEntry(node, Date.now(), missing, nexuses);
    return mergeNexuses(entry, more);
  }

  #missing(known: KnownVolume, { debt }: DebtEntry): readonly PathSpec[] {
    return this.#options
      .pathsOf(known)
      .filter(
        (path) =>
          !debt.paths.some(
            ({ name, host, port, targetName, lun }) =>
              name === path.name &&
              host === path.host &&
              port === path.port &&
              targetName === path.targetName &&
              lun === path.lun,
          ),
      );
  }

  /** Another node has claimed the volume while it is staged here. */
  async #lost(known: KnownVolume, pv: PersistentVolume, to: Loss): Promise<Outcome> {
    const { node, pathd } = this.#options;
    const { volumeId } = known;
    const text = `${to.text} while node ${node} still had it staged`;
    let after = `node ${node} writes no more, and its pods get I/O errors: delete them there`;
    let outcome: Outcome = 'done';
    try {
      await pathd.confirmClaim(volumeId, 'lost', text);
    } catch (error) {
      const code = error instanceof PathdError ? error.code : undefined;
      const isOlder = code === 'UNIMPLEMENTED';
      // What is not attached writes nothing.
      if (code !== 'NOT_FOUND') {
        after = isOlder
          ? `the pathd of node ${node} is older and still writes: end its pods there before the volume is used elsewhere`
          : `pathd on ${node} does not answer and may still write; it is told again`;
      }
      if (code !== 'NOT_FOUND' && !isOlder) outcome = 'again';
    }
    if (outcome === 'done') {
      await this.#set(volumeId, { pv: knownPv(pv, node), isOwner: false }, ['isQuestioned']);
    }
    const loss = `${pv.uid} ${to.owner} ${outcome}`;
    if (this.#told.get(volumeId) === loss) return outcome;
    this.#told.set(volumeId, loss);
    this.#tell(volumeId, 'OwnerLost', `${text}: ${after}`);
    return outcome;
  }

  #reclaimed(volumeId: string, isAnother: boolean): void {
    const { node } = this.#options;
    const how = isAnother
      ? 'the PersistentVolume was deleted and made anew'
      : 'the owner annotation was removed';
    const text = `${how} while node ${node} has the volume staged: claimed again for it`;
    this.#tell(volumeId, 'OwnerReclaimed', `${text}. End its pods there to free the volume`);
  }

  async #answer(volumeId: string, readAt: number): Promise<Outcome> {
    const { store, pathd, log, node } = this.#options;
    const { isOwner } = store.get(volumeId) ?? {};
    // This process was stopped meanwhile, or the node was.
    if (performance.now() - readAt > ANSWER_MS) return 'again';
    const [state, text] =
      isOwner === true
        ? (['confirmed', `the PersistentVolume names node ${node}`] as const)
        : (['lost', `node ${node} has lost the claim before`] as const);
    try {
      await pathd.confirmClaim(volumeId, state, text);
    } catch (error) {
      const code = error instanceof PathdError ? error.code : undefined;
      log.warn({ volumeId, error: String(error) }, 'pathd was not told of the claim');
      if (code !== 'NOT_FOUND' && code !== 'UNIMPLEMENTED') return 'again';
    }
    await this.#set(volumeId, {}, ['isQuestioned']);
    return 'done';
  }

  /** undefined: of a pathd that does not know the question. */
  async #nexuses(volumeId: string, paths: readonly PathSpec[]): Promise<Nexuses | undefined> {
    const names = paths.map(({ name }) => name);
    try {
      return await this.#options.pathd.nexuses(volumeId, names);
    } catch (error) {
      if (error instanceof PathdError && error.code === 'UNIMPLEMENTED') return undefined;
      throw error;
    }
  }

  /** Nothing is awaited between the look and the change. False: it is not on disk. */
  async #set(
    volumeId: string,
    changes: Partial<KnownVolume>,
    without: readonly ('left' | 'isQuestioned')[] = [],
  ): Promise<boolean> {
    const { store } = this.#options;
    const known = store.get(volumeId);
    if (known === undefined) return true;
    const next: Record<string, unknown> = { ...known, ...changes };
    for (const key of without) Reflect.deleteProperty(next, key);
    return store.set(next as unknown as KnownVolume);
  }

  #tell(volumeId: string, reason: CsiEventReason, message: string): void {
    const known = this.#options.store.get(volumeId);
    if (known === undefined) return;
    this.#options.tell(known, { reason, warning: true, message, atUnixMs: Date.now() });
  }
}

/** What the PV is to say beside this node's own entry. */
function othersOf(
  pv: PersistentVolume,
  unpaid: readonly Debt[] | undefined,
  node: string,
): readonly DebtEntry[] {
  if (unpaid !== undefined) return unpaid.map(plain);
  const found = parseDebts(pv.annotations[DEBTS_KEY], Date.now());
  return found.filter((entry) => !isClaimOf(entry, node));
}

/**
 * The claim is free, and its entry has gone with the annotation: only the release of a node that has had the
 * volume since takes both away. An operator who frees the volume leaves the entry.
 */
export function wasTaken(
  { isOwner, claim, pv: before }: KnownVolume,
  pv: PersistentVolume,
  node: string,
): boolean {
  if (!isOwner || claim === undefined || before?.uid !== pv.uid) return false;
  if (ownerOf(pv) !== undefined) return false;
  return !parseDebts(pv.annotations[DEBTS_KEY], 0).some((entry) => isClaimOf(entry, node));
}

function wasAsked({ again }: Job): boolean {
  return again;
}
