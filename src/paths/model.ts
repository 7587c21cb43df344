/**
 * What the priority-path controller is told and what it answers: its whole vocabulary.
 *
 * The controller is a pure function `step(state, event, now) → { state, effects, wakeAt }`. It sees
 * paths by name, probe results, stalls and orders of the operator; never sockets, PDUs or requests.
 * The volume executes its effects and reports back. Everything here is immutable data.
 */
import type { Instant } from '../base/brand.ts';

/** One path as configured. */
export interface PathConfig {
  readonly name: string;
  /** Ceiling of the weight, 1..1000: 100 same rack, 90 same room, 80 elsewhere, or set by hand. */
  readonly maxWeight: number;
  /** Under maintenance: used only when nothing else is left. */
  readonly drained: boolean;
}

/** Why a path or a switch is what it is; a closed set, so that every consumer names them all. */
export type CauseKind =
  | 'refused'
  | 'unreachable'
  | 'connect-timeout'
  | 'login-rejected'
  | 'authentication' // CHAP: we or the target could not prove who we are
  | 'connection-reset'
  | 'protocol-error'
  | 'target-logout'
  | 'lun-absent'
  | 'write-protected' // it refuses writes of a volume that writes
  | 'probe-timeout' // a probe was not answered within its deadline
  | 'probe-error' // a probe was answered with an error that speaks against the path
  | 'io-stalled' // I/O in flight and pings went unanswered while another path answered
  | 'command-age' // a command was given up on it, twice, while it answered others
  | 'brown-out' // alive, but far slower than the others
  | 'better-path' // another path has overtaken the current one
  | 'drained'
  | 'pinned'
  | 'removed'
  | 'first-path'; // nothing was in use before

export interface Cause {
  readonly kind: CauseKind;
  /** One line for a human: errno, sense, counts. */
  readonly detail: string;
}

export type Identity =
  | { readonly kind: 'unchecked' }
  | { readonly kind: 'verified' }
  /** Could not be proved to be the volume's logical unit (weak identifiers): not used, not banned. */
  | { readonly kind: 'unverified'; readonly detail: string }
  /** Proved to be another logical unit: never used until the operator re-admits it. */
  | { readonly kind: 'banned'; readonly detail: string };

/** What the operator wants of a path. */
export type PathOrder =
  | { readonly kind: 'pinned'; readonly path: string | undefined }
  | { readonly kind: 'drain-set'; readonly path: string; readonly drained: boolean }
  | { readonly kind: 'max-weight-set'; readonly path: string; readonly maxWeight: number }
  | { readonly kind: 'path-added'; readonly config: PathConfig }
  | { readonly kind: 'path-removed'; readonly path: string };

export type PathEvent =
  /** The probe asked for by the effect of the same number was answered well. */
  | {
      readonly kind: 'probe-succeeded';
      readonly path: string;
      readonly probe: number;
      readonly latencyUs: number;
    }
  /** `hard`: no second opinion needed (refused, reset, login rejected, LUN absent): down at once. */
  | {
      readonly kind: 'probe-failed';
      readonly path: string;
      readonly probe: number;
      readonly hard: boolean;
      readonly cause: Cause;
    }
  /**
   * The probe of this number has not been answered for another `deadlineMs`, while the front end of the
   * path answers pings: it goes on. Sent again while that lasts.
   */
  | { readonly kind: 'probe-late'; readonly path: string; readonly probe: number }
  /** A hard error seen outside a probe: the session ended, the LUN went away. */
  | { readonly kind: 'path-failed'; readonly path: string; readonly cause: Cause }
  /** Result of comparing the path's logical unit with the volume's record. */
  | { readonly kind: 'identity'; readonly path: string; readonly identity: Identity }
  /**
   * I/O in flight on the current path makes no progress, for half the deadline of its kind. `silentMs`: for
   * so long nothing at all came from it, though a ping was to be answered; 0: it answers pings. Sent again
   * while it lasts.
   */
  | { readonly kind: 'io-stalled'; readonly path: string; readonly silentMs: number }
  /** An answer to I/O arrived on the path: alive, as good as a probe for liveness, not for weight. */
  | {
      readonly kind: 'io-progressed';
      readonly path: string;
      /** It had stood still for so long. */
      readonly stalledMs?: number;
    }
  /** Our own event loop stood still for this long (ms): verdicts of that time prove nothing. */
  | { readonly kind: 'own-stall'; readonly durationMs: number }
  /** The switch asked for is done: the volume's I/O runs on `path`. */
  | { readonly kind: 'switched'; readonly path: string }
  /** A planned switch was given up (drain took too long, re-verification failed): still on the old path. */
  | { readonly kind: 'switch-abandoned'; readonly path: string; readonly reason: string }
  | PathOrder
  /** Several orders that belong to one change: all of them are taken in before anything is decided. */
  | { readonly kind: 'ordered'; readonly orders: readonly PathOrder[] }
  /** The operator changed parameters; they hold from the next decision on. */
  | { readonly kind: 'policy-set' }
  /** The operator lifts a ban: the path is probed and its identity checked anew. */
  | { readonly kind: 'readmitted'; readonly path: string }
  /** Nothing but time has passed: `wakeAt` was reached. */
  | { readonly kind: 'tick' };

/** Kind of a switch: forced, voluntary (weight), or ordered by the operator. */
export type SwitchKind = 'failover' | 'failback' | 'planned';

export type NoteKind =
  | 'path-down'
  | 'path-up'
  | 'path-suspect'
  | 'hold-down'
  | 'brown-out'
  /** The path that took over was as slow: the halving is taken back. */
  | 'brown-out-undone';

export type PathEffect =
  /**
   * Probe the path: log in and verify its identity first if it has no session; then INQUIRY and READ.
   * Answer with `probe-succeeded` or `probe-failed` of this number. `deadlineMs` is for silence: a path
   * that answers pings has its time, and the probe is told of as late (`probe-late`) every `deadlineMs`. At
   * most one probe per path is outstanding.
   */
  | {
      readonly kind: 'probe';
      readonly path: string;
      readonly probe: number;
      readonly deadlineMs: number;
    }
  /** The path was declared down: reset its connection at once (RST), whatever is outstanding. */
  | { readonly kind: 'sever'; readonly path: string; readonly cause: Cause }
  /**
   * Move the volume's I/O to `to`. For a failover the I/O is held from now until `switched`; a later
   * switch effect replaces an unfinished one. `from` is undefined for the first path.
   */
  | {
      readonly kind: 'switch';
      readonly from: string | undefined;
      readonly to: string;
      readonly how: SwitchKind;
      readonly cause: Cause;
    }
  /** No usable path is left: hold and queue all I/O. */
  | { readonly kind: 'hold'; readonly cause: Cause }
  /** I/O was held for noPathTimeout: fail the volume until it is staged again. Emitted once. */
  | { readonly kind: 'latch'; readonly heldMs: number }
  /** Something people want to know; logs and Kubernetes events are made of it. */
  | {
      readonly kind: 'note';
      readonly note: NoteKind;
      readonly path: string;
      readonly weightBefore: number;
      readonly weightAfter: number;
      readonly cause: Cause | undefined;
    };

/** What people see of a path. */
export interface PathView {
  readonly name: string;
  readonly weight: number;
  readonly maxWeight: number;
  readonly up: boolean;
  readonly identity: Identity;
  readonly drained: boolean;
  readonly suspect: boolean;
  /** Held back until this time because it went down again and again; undefined: not. */
  readonly holdDownUntil: Instant | undefined;
  /** p90 of recent probe READs, microseconds; 0: none yet. */
  readonly probeP90Us: number;
}
