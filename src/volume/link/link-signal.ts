/**
 * What this room tells the volume. A signal is delivered at once: the volume has acted on it when `emit` returns.
 */
import type { Cause, Identity, PathEvent } from '../../paths/model.ts';
import type { UnitSignal } from '../unit/unit-signal.ts';

/** What one path tells the board (path-link.ts). */
export type SessionSignal =
  | UnitSignal
  /** The session ended and not because we wanted it to. */
  | { readonly kind: 'session-lost'; readonly path: string; readonly cause: Cause };

/** What the board tells the volume (path-board.ts). */
export type LinkSignal =
  | UnitSignal
  /** What came back from a path, as the controller takes it in. */
  | { readonly kind: 'path-event'; readonly event: PathEvent }
  /** A path was found to be, or not to be, the volume's logical unit. */
  | { readonly kind: 'identity'; readonly path: string; readonly identity: Identity }
  /** CHAP has failed, after it had not or differently. */
  | { readonly kind: 'unauthenticated'; readonly path: string; readonly detail: string }
  /** The path is none of the volume's any more; its session is about to be closed. */
  | { readonly kind: 'path-dropped'; readonly path: string }
  /** Something about a path has changed. */
  | { readonly kind: 'paths-changed' };
