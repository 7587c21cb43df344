/** What this room tells. A signal is delivered at once: the volume has acted on it when `emit` returns. */
import type { FenceRung } from './fence.ts';

/** This path can do no harm any more, by this rung. Another one may still be unfenced. */
export interface FenceSignal {
  readonly kind: 'fenced';
  readonly path: string;
  readonly rung: FenceRung;
}
