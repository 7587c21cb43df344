/** The controller's whole state: immutable, comparable, printable; a step makes the next one. */
import type { Instant, VolumeId } from '../base/brand.ts';
import type { BrownOut } from './brown-out.ts';
import type { Cause, SwitchKind } from './model.ts';
import type { PathState } from './path-state.ts';
import type { Policy } from './policy.ts';
import type { Slowness } from './slowness.ts';
import type { TokenBucket } from './tokens.ts';

/** A switch that was asked for and not yet confirmed. */
export interface Move {
  readonly from: string | undefined;
  readonly to: string;
  readonly how: SwitchKind;
  readonly cause: Cause;
}

export interface ControllerState {
  readonly volumeId: VolumeId;
  /** The volume's: read in each step, never kept. */
  readonly policy: () => Policy;
  /** Time of the latest step; it never goes back. */
  readonly now: Instant;
  readonly paths: readonly PathState[];
  /** Number of the latest probe. */
  readonly probes: number;

  /** The path that carries the I/O (or did, when it is down); undefined before the first one. */
  readonly current: string | undefined;
  /** Invariant: after each step it leads to a path that is up and verified, and nothing is held. */
  readonly move: Move | undefined;
  /** The first path has been chosen: failover rules apply from then on. */
  readonly started: boolean;
  /** When the first path became usable, before anything was chosen. */
  readonly firstUsableAt: Instant | undefined;
  /** The path to prefer at the start: the one in use before a restart. */
  readonly resume: string | undefined;
  readonly switches: number;
  readonly lastSwitchAt: Instant | undefined;

  /** Why the I/O had to leave its path, and since when it cannot run. */
  readonly outage: Cause | undefined;
  readonly heldSince: Instant | undefined;
  /** Since when nothing was answered, across switches: a path that took over has yet to answer. */
  readonly unansweredSince: Instant | undefined;
  /** `hold` was said: no path is usable. */
  readonly holding: boolean;
  /** Evidence of life younger than this decides a failover. */
  readonly evidenceSince: Instant | undefined;
  /** The volume has failed for good: it is never undone, and there is no `move` any more. */
  readonly latched: boolean;

  readonly pin: string | undefined;
  /** A path the operator has just favoured: used without any wait if it is the heaviest. */
  readonly favoured: string | undefined;
  /** Since when some path leads the current one by enough. */
  readonly leadSince: Instant | undefined;
  readonly tokens: TokenBucket;
  /** Planned switches given up in a row, and until when no other is tried. */
  readonly abandoned: number;
  readonly backoffUntil: Instant | undefined;
  readonly brownOut: BrownOut;
  readonly slowness: Slowness;
}
