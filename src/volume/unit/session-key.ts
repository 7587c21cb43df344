/**
 * The key that a session has registered. It is what a device server knows the session by when its connection
 * is gone: a fence that finds it there has found the old session (nexus-proof.ts), and the record says it
 * beside the address that was written to.
 */
import type { Session } from '../../ports/session.ts';

/** A path as a device server knows it: each login of it has the same ISID. */
export interface ReservedPath {
  readonly name: string;
  readonly isid: string;
}

/** An abandoned path, and the key that the session that was left had registered; undefined: not known. */
export interface Victim extends ReservedPath {
  readonly key?: string | undefined;
}

const KEYS = new WeakMap<object, string>();

export function setKeyOf(session: Session, key: string): void {
  KEYS.set(session, key);
}

/** Undefined: it has registered none. */
export function keyOf(session: object): string | undefined {
  return KEYS.get(session);
}
