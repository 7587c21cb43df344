/**
 * What the controller knows of one path. Immutable; every rule about a single path (liveness,
 * weight, hold-down, latency) is a function from one of these to the next in a file of its own.
 */
import type { Instant } from '../base/brand.ts';
import type { CauseKind, Identity, PathConfig } from './model.ts';

/** A probe that was asked for and not yet answered. */
export interface OutstandingProbe {
  readonly number: number;
  readonly sentAt: Instant;
  /** Our own process stood still meanwhile: a timeout of this probe proves nothing. */
  readonly excused: boolean;
  /** A newer answer is needed: probe again as soon as this one is answered. */
  readonly again: boolean;
  /** How often it was told of as late, and the latest sign that it is waited for. */
  readonly late: number;
  readonly heardAt: Instant;
  /** `sentAt`, and later by every stall of our own since. */
  readonly waitsSince: Instant;
}

export interface PathState {
  readonly name: string;
  readonly maxWeight: number;
  readonly drained: boolean;
  /** Removed by the operator while it carries the I/O: goes as soon as another path does. */
  readonly leaving: boolean;
  readonly identity: Identity;

  /** `unknown`: never answered a probe yet; neither usable nor punished. */
  readonly liveness: 'unknown' | 'up' | 'down';
  /** The first probe has been answered, well or badly. */
  readonly answered: boolean;
  /** What the latest failure was; it means something while the path is down. */
  readonly lastFailure: CauseKind | undefined;
  /** Failed probes in a row while not down; while down, those since the declaration. */
  readonly failures: number;
  /** Good probes in a row while down. */
  readonly successes: number;
  /** Since when something speaks against the path, while it is not down. */
  readonly suspectSince: Instant | undefined;
  /**
   * I/O in flight makes no progress. suspected: all paths are asked. slow: the path has answered a probe
   * since, so it is not to blame. silent: it does not even answer pings.
   */
  readonly stall: 'none' | 'suspected' | 'slow' | 'silent';
  readonly silentMs: number;
  /** When the latest well answered probe was sent: it proves that the path lived after that. */
  readonly goodSentAt: Instant | undefined;
  /** When the latest answer to I/O arrived. */
  readonly progressAt: Instant | undefined;
  /** Own stalls in a row that have excused this path, and until when the latest does. */
  readonly excuses: number;
  readonly excusedUntil: Instant | undefined;

  /** Invariant: 1 … `maxWeight`. */
  readonly weight: number;
  readonly weightMovedAt: Instant | undefined;

  /** Times it went down, decaying; when the count was last brought up to date. */
  readonly downs: number;
  readonly downsAt: Instant;
  readonly holdDownUntil: Instant | undefined;

  /** Invariant: one at a time. */
  readonly probe: OutstandingProbe | undefined;
  readonly probesSent: number;
  readonly lastProbeAt: Instant | undefined;
  readonly nextProbeAt: Instant;
  /** Latest probe READs, microseconds, newest last. */
  readonly latenciesUs: readonly number[];
}

/** A path nothing is known of: full weight, to be probed at once. */
export function newPath(config: PathConfig, now: Instant): PathState {
  return {
    name: config.name,
    maxWeight: config.maxWeight,
    drained: config.drained,
    leaving: false,
    identity: { kind: 'unchecked' },
    liveness: 'unknown',
    answered: false,
    lastFailure: undefined,
    failures: 0,
    successes: 0,
    suspectSince: undefined,
    stall: 'none',
    silentMs: 0,
    goodSentAt: undefined,
    progressAt: undefined,
    excuses: 0,
    excusedUntil: undefined,
    weight: config.maxWeight,
    weightMovedAt: undefined,
    downs: 0,
    downsAt: now,
    holdDownUntil: undefined,
    probe: undefined,
    probesSent: 0,
    lastProbeAt: undefined,
    nextProbeAt: now,
    latenciesUs: [],
  };
}

/** The two conditions of carrying I/O that are never dropped: up, and verified to be the volume. */
export function usable(path: PathState): boolean {
  return path.liveness === 'up' && path.identity.kind === 'verified';
}

export function isInHoldDown(path: PathState, now: Instant): boolean {
  return path.holdDownUntil !== undefined && now < path.holdDownUntil;
}
