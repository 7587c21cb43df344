/** Where the commands of a volume go, and what their answers may tell beside what they answer. */
import type { Sense, Session } from '../../ports/session.ts';
import type { LuFacts } from '../unit/lu.ts';
import type { Verdict } from '../unit/outcome.ts';

/** Where commands go now. */
export interface Route {
  readonly path: string;
  readonly session: Session;
  readonly facts: LuFacts;
}

export interface DispatchEvents {
  /** An answer says that the logical unit cannot be reached this way. */
  pathFault(verdict: Extract<Verdict, { kind: 'path' }>): void;
  attention(sense: Sense): void;
  /** A command (for people, as in "write 4096+512") has been put off for half a minute. */
  busy(path: string, command: string): void;
  /** Another node took the volume. */
  fenced(detail: string): void;
  /** Writes that were acknowledged are lost, or may be. */
  lost(detail: string): void;
}
