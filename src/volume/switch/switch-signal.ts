/**
 * What this room tells the volume. A signal is delivered at once: the volume has acted on it when `emit` returns.
 */
import type { FenceSignal } from '../fence/fence-signal.ts';
import type { ProbeAnswer } from '../unit/probe-answer.ts';
import type { UnitSignal } from '../unit/unit-signal.ts';
import type { SwitchReport } from './switch-report.ts';

export type SwitchSignal =
  /** A command of our own on the current path was answered with a unit attention. */
  | Extract<UnitSignal, { kind: 'attention' }>
  | FenceSignal
  /** The new path has everything. */
  | { readonly kind: 'switched'; readonly report: SwitchReport }
  /** A planned switch was given up: the old path goes on. */
  | { readonly kind: 'switch-abandoned'; readonly to: string; readonly reason: string }
  /** The new path turned out to be no good. */
  | { readonly kind: 'path-rejected'; readonly path: string; readonly answer: ProbeAnswer }
  /** The I/O cannot go on until something changes; each time that it is tried again in vain. */
  | { readonly kind: 'stuck'; readonly what: 'fence' | 'record'; readonly why: string }
  /** It goes on. */
  | { readonly kind: 'unstuck' };
