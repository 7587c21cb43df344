/**
 * Where one path stands. The state has one name at a time, and what belongs to the state goes with it:
 *
 *          login                   judged: the volume's unit
 *   out ──────────▶ unidentified ────────────────────────────▶ verified ──┐ read again
 *    ▲                   │                                      │    ▲    │
 *    └───────────────────┴──── the session is gone ─────────────┘    └────┘
 *
 *   each of them ── close ──▶ closed, for good
 *
 * Pure. A transition that the picture does not have is a programmer's error and throws.
 */
import { assert } from '../../base/assert.ts';
import type { Session } from '../../ports/session.ts';
import type { LuReading } from '../unit/lu.ts';

/** A session whose identity was read and judged to be the volume's. */
export interface Verified extends LuReading {
  readonly session: Session;
}

export type LinkState =
  /** No session. A login may be under way. */
  | { readonly kind: 'out' }
  /** Logged in. What the path leads to is not known: nothing of the volume goes through it. */
  | { readonly kind: 'unidentified'; readonly session: Session }
  /** Usable. */
  | ({ readonly kind: 'verified' } & Verified)
  /** The path was removed, or the volume has ended. */
  | { readonly kind: 'closed' };

export const OUT: LinkState = { kind: 'out' };
export const CLOSED: LinkState = { kind: 'closed' };

export function sessionOf(state: LinkState): Session | undefined {
  return state.kind === 'unidentified' || state.kind === 'verified' ? state.session : undefined;
}

export function verifiedOf(state: LinkState): Verified | undefined {
  return state.kind === 'verified' ? state : undefined;
}

/** A login has succeeded. */
export function loggedIn(state: LinkState, session: Session): LinkState {
  assert(state.kind === 'out', 'a path has one session at most, and none when it is closed');
  return { kind: 'unidentified', session };
}

/** The unit behind this session was read and judged to be the volume's, for the first time or again. */
export function judgedOurs(state: LinkState, session: Session, reading: LuReading): LinkState {
  assert(sessionOf(state) === session, 'a path is verified through the session that it has');
  return { kind: 'verified', session, ...reading };
}

/** The session was lost, reset or discarded. */
export function withoutSession(state: LinkState): LinkState {
  return state.kind === 'closed' ? state : OUT;
}
