/**
 * What a logical unit tells beside the answer of a command, on whatever path and to whatever part of the volume.
 * The volume decides what follows (../unit-news.ts).
 */
import type { Sense } from '../../ports/session.ts';

export type UnitSignal =
  /** A unit attention, or a deferred error. */
  | { readonly kind: 'attention'; readonly path: string; readonly sense: Sense }
  /** A command of this node was refused with RESERVATION CONFLICT. */
  | { readonly kind: 'conflict'; readonly path: string; readonly detail: string };
