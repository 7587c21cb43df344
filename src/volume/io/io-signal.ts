/**
 * What this room tells the volume. A signal is delivered at once: the volume has acted on it when `emit` returns,
 * and may have taken the route away by then.
 */
import type { Verdict } from '../unit/outcome.ts';
import type { UnitSignal } from '../unit/unit-signal.ts';

export type IoSignal = AnswerSignal | StallSignal | AgeSignal;

/** What the answer of a command tells beside what it answers (dispatch.ts, synchronize.ts). */
export type AnswerSignal =
  | UnitSignal
  /** The logical unit cannot be reached this way. */
  | {
      readonly kind: 'path-fault';
      readonly path: string;
      readonly verdict: Extract<Verdict, { kind: 'path' }>;
    }
  /** The target has put a command off for half a minute. `command` is for people: "write 4096+512". */
  | { readonly kind: 'put-off'; readonly path: string; readonly command: string }
  /** Writes that were acknowledged are lost, or may be. */
  | { readonly kind: 'writes-lost'; readonly detail: string };

/** Whether the I/O on the current path moves (stall-watch.ts). */
export type StallSignal =
  /** `silentMs`: for so long a ping was not answered either, and nothing else came; 0: something did. */
  | { readonly kind: 'io-stalled'; readonly silentMs: number }
  /** After standing still for so long; 0: what takes long on healthy targets stood still. */
  | { readonly kind: 'io-progressed'; readonly stalledMs: number }
  /** This process stood still. */
  | { readonly kind: 'own-stall'; readonly durationMs: number };

/** Commands that a path does not answer while it answers others (command-age.ts). */
export type AgeSignal =
  /** A command is given up. */
  | {
      readonly kind: 'given-up';
      readonly path: string;
      readonly command: string;
      readonly ageMs: number;
    }
  /** Its request has to go on: on another path, or on this one with a new login, fenced. */
  | {
      readonly kind: 'overdue';
      readonly path: string;
      readonly detail: string;
      readonly goesOn: 'on-another-path' | 'after-a-login';
    };
