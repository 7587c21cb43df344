/**
 * What happened to the volumes of this process, as notices for people: numbered, a few hundred kept (the
 * latest; flapping gives way first), so that a csi that was away (rolled, restarted) can ask for what it missed. Kubernetes events
 * are made of them; pathd itself knows no Kubernetes.
 *
 * While a volume is being attached, events that the error of the attach may tell are postponed, so that
 * the caller is not told twice.
 */
import { randomUUID } from 'node:crypto';
import { makeRoom } from '../base/make-room.ts';
import type { VolumeEvent } from '../volume/volume-types.ts';
import { isWriteProtected } from '../volume/unit/write-protection.ts';
import { type EventReason, isChatty, type VolumeNotice } from './api.ts';

const KEPT = 500;

type Worded = Pick<VolumeNotice, 'reason' | 'warning' | 'message'>;

/** What an attach that fails for its credentials says better itself. */
const EARLY: ReadonlySet<VolumeEvent['kind']> = new Set(['unauthenticated', 'all-paths-down']);

export class Notices {
  readonly #instance = randomUUID();
  readonly #kept: VolumeNotice[] = [];
  readonly #listeners = new Set<(notice: VolumeNotice) => void>();
  /** By volume that is being attached: what waits for how that ends. */
  readonly #postponed = new Map<string, Worded[]>();
  #sequence = 0;

  /** An event of a volume, if it is worth a notice. */
  tell(volumeId: string, event: VolumeEvent): void {
    const worded = wordEvent(event);
    if (worded === undefined) return;
    const held = EARLY.has(event.kind) ? this.#postponed.get(volumeId) : undefined;
    if (held === undefined) this.add(volumeId, worded);
    else held.push(worded);
  }

  /** An attach begins: ends with `release` or `drop`. */
  postpone(volumeId: string): void {
    this.#postponed.set(volumeId, []);
  }

  /** What was held back is told now, in its order. */
  release(volumeId: string): void {
    const held = this.#postponed.get(volumeId) ?? [];
    this.#postponed.delete(volumeId);
    for (const worded of held) this.add(volumeId, worded);
  }

  /** What was held back was told in another way. */
  drop(volumeId: string): void {
    this.#postponed.delete(volumeId);
  }

  add(volumeId: string, worded: Worded): void {
    const notice: VolumeNotice = {
      ...worded,
      sequence: ++this.#sequence,
      instance: this.#instance,
      volumeId,
      atUnixMs: Date.now(),
    };
    this.#kept.push(notice);
    if (this.#kept.length > KEPT) makeRoom(this.#kept, isChatty);
    for (const listener of this.#listeners) listener(notice);
  }

  /** Calls for every kept notice after `sequence` and every later one. Returns how to stop. */
  follow(sequence: number, listener: (notice: VolumeNotice) => void): () => void {
    // A number from before a restart is ahead of ours: begin at the beginning.
    const after = sequence > this.#sequence ? 0 : sequence;
    for (const notice of this.#kept) if (notice.sequence > after) listener(notice);
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

function normal(reason: EventReason, message: string): Worded {
  return { reason, warning: false, message };
}

function warning(reason: EventReason, message: string): Worded {
  return { reason, warning: true, message };
}

function wordNote(event: Extract<VolumeEvent, { kind: 'note' }>): Worded | undefined {
  const { note, path, weightBefore, weightAfter, cause } = event;
  const weights = `weight ${String(weightBefore)} -> ${String(weightAfter)}`;
  const why = cause === undefined ? '' : `: ${cause.detail}`;
  switch (note) {
    case 'path-down':
      // Told as a failed authentication, once and not at every try.
      if (cause?.kind === 'authentication') return undefined;
      return warning('PathDown', `${path} is down (${weights})${why}`);
    case 'path-up':
      return normal('PathUp', `${path} is up again (${weights})`);
    case 'brown-out':
      return warning('PathDown', `${path} is slow (${weights})${why}`);
    case 'brown-out-undone':
      return normal('PathUp', `${path} is not to blame (${weights})${why}`);
    case 'path-suspect':
    case 'hold-down':
      return undefined;
  }
}

function wordSwitch(
  report: Extract<VolumeEvent, { kind: 'switched' }>['report'],
): Worded | undefined {
  const { from, to, how, fence, replayed, cause } = report;
  if (from === undefined || from === to) return undefined;
  const moved = `${from} -> ${to}, fence ${fence}, ${String(replayed)} replayed: ${cause.detail}`;
  switch (how) {
    case 'failover':
      return warning('FailedOver', moved);
    case 'failback':
      return normal('FailedBack', moved);
    case 'planned':
      return normal('Moved', `${from} -> ${to}: ${cause.detail}`);
  }
}

/** The words for an event; undefined for what is only worth a log line. */
export function wordEvent(event: VolumeEvent): Worded | undefined {
  switch (event.kind) {
    case 'note':
      return wordNote(event);
    case 'switched':
      return wordSwitch(event.report);
    case 'identity': {
      const { path, identity } = event;
      if (identity.kind === 'banned') {
        return warning('IdentityMismatch', `${path} is banned: ${identity.detail}`);
      }
      if (identity.kind !== 'unverified') return undefined;
      const reason = isWriteProtected(identity) ? 'WriteProtected' : 'PathUnverified';
      return warning(reason, `${path}: ${identity.detail}`);
    }
    case 'unauthenticated':
      return warning('AuthenticationFailed', `${event.path}: ${event.detail}`);
    case 'all-paths-down':
      return warning('AllPathsDown', `no usable path, I/O is queued: ${event.cause.detail}`);
    case 'stuck':
      if (event.what === 'fence') return warning('FenceFailed', `I/O is held: ${event.why}`);
      return warning(
        'StateNotWritable',
        `I/O is held, because which path may hold writes must be on disk first: ${event.why}. ` +
          "Free space in pathd's --state-dir on this node, or repair its disk; I/O then goes on by itself",
      );
    case 'busy':
      return warning(
        'TargetBusy',
        `the target of ${event.path} has put off "${event.command}" for 30 s (BUSY, TASK SET FULL or ` +
          'becoming ready). It is asked again every second; see what the target is busy with',
      );
    case 'claim-questioned':
      return warning(
        'ClaimQuestioned',
        `the registrations of this node are gone from the target of ${event.path}. The node asks whether it ` +
          'is still the owner. It does not use this path until that is confirmed',
      );
    case 'slow-storage':
      return warning('SlowStorage', slowText(event));
    case 'failed': {
      const { requests, bytesToChange } = event.discarded;
      const lost = `${String(requests)} requests discarded, ${String(bytesToChange)} bytes of writes`;
      return warning('VolumeFailed', `failed until it is staged again, ${lost}: ${event.why}`);
    }
    case 'debts-left':
      return warning('DebtsLeft', event.detail);
    case 'fence-undeclared':
      return warning('FenceUndeclared', event.detail);
    case 'switch-abandoned':
      return undefined;
  }
}

function slowText({
  path,
  command,
  ageMs,
}: Extract<VolumeEvent, { kind: 'slow-storage' }>): string {
  const seconds = String(Math.round(ageMs / 1000));
  return (
    `"${command}" has not been answered for ${seconds} s; it is on ${path}, which answers other commands. ` +
    'The command is ended there and sent again, later on another path. See what the storage is busy with; if it ' +
    'needs that long, raise policy.prioritypath.io/command-timeout'
  );
}
