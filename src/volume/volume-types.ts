/**
 * What a volume is made of and what it tells: its options, its events, its errors, and the snapshot
 * that people see.
 */
import type { Instant, VolumeId } from '../base/brand.ts';
import type { ControllerOptions } from '../paths/controller.ts';
import type { Cause, Identity, PathEffect, PathView } from '../paths/model.ts';
import type { Policy } from '../paths/policy.ts';
import type { Clock } from '../ports/clock.ts';
import type { ChapCredentials, Initiator } from '../ports/session.ts';
import type { Debt } from './record/debt.ts';
import type { LastError, VolumePath } from './link/path-board.ts';
import type { LuRecord } from './unit/identity.ts';
import { recollect } from './record/memory-record.ts';
import type { VolumeRecord, VolumeStore } from './record/record.ts';
import type { SwitchReport } from './switch/switch-report.ts';

export interface VolumeOptions {
  readonly volumeId: string;
  /** In the operator's order: the first one founds the record where identities are weak. */
  readonly paths: readonly VolumePath[];
  readonly policy: Policy;
  readonly initiatorName: string;
  /** ISIDs of the other volumes of this node: keys that name them are this node's. */
  readonly otherIsids?: () => readonly string[];
  readonly readOnly: boolean;
  /**
   * One node writes at a time: the unit may be reserved for it. Absent: nothing is reserved. False: others
   * may write as well, so what was written here need not be what is there.
   */
  readonly singleNode?: boolean;
  /** The claim was taken from another node: of one whose initiator name is not known any key is taken. */
  readonly mayTakeOver?: boolean;
  /** Of former nodes, fenced before the first write; absent: those on record. */
  readonly debts?: readonly Debt[];
  /** The unit that the volume was first staged on, by whatever node. Absent: not known. */
  readonly pinned?: LuRecord | undefined;
  /** csi answers `claim-questioned`; absent: it is not asked. */
  readonly claimQuestions?: boolean;
  /** ISIDs of this node for addresses of debts that are not configured, by path name. */
  readonly debtIsids?: ReadonlyMap<string, string>;
  /**
   * Since when no process has sent anything to its paths: from then on `delay` counts for those that may
   * hold writes of a process before us. Absent: since now.
   */
  readonly quietSince?: Instant;
  readonly clock: Clock;
  readonly initiator: Initiator;
  /** Asked at each login of each path; undefined: no CHAP. */
  readonly credentials: () => ChapCredentials | undefined;
  readonly store: VolumeStore;
  readonly record: VolumeRecord;
  readonly onEvent: (event: VolumeEvent) => void;
}

/** What is worth telling people; logs and Kubernetes events are made of it. */
export type VolumeEvent =
  | Extract<PathEffect, { kind: 'note' }>
  | { readonly kind: 'switched'; readonly report: SwitchReport }
  | { readonly kind: 'switch-abandoned'; readonly to: string; readonly reason: string }
  | { readonly kind: 'identity'; readonly path: string; readonly identity: Identity }
  /** A login failed for CHAP; told once until the path has been up again or fails differently. */
  | { readonly kind: 'unauthenticated'; readonly path: string; readonly detail: string }
  | { readonly kind: 'all-paths-down'; readonly cause: Cause }
  /** I/O is held because no fence works, or because the record cannot be saved. */
  | { readonly kind: 'stuck'; readonly what: 'fence' | 'record'; readonly why: string }
  /** The target puts a command off: it answers BUSY, TASK SET FULL or "becoming ready" for half a minute. */
  | { readonly kind: 'busy'; readonly path: string; readonly command: string }
  /** A node that has left may still have writes under way, and nothing is done about it. */
  | { readonly kind: 'debts-left'; readonly detail: string }
  /** A command is given up on a path that answers others: how old its request is. Told once a minute. */
  | {
      readonly kind: 'slow-storage';
      readonly path: string;
      readonly command: string;
      readonly ageMs: number;
    }
  /** A silent path could not be fenced, as far as is known; told when it becomes known. */
  | { readonly kind: 'fence-undeclared'; readonly detail: string }
  /** The registrations of this node are gone from the target of this path: is it still the owner? */
  | { readonly kind: 'claim-questioned'; readonly path: string }
  /** With what is answered with an error for it: requests, and bytes that they were to change. */
  | {
      readonly kind: 'failed';
      readonly why: string;
      readonly discarded: { readonly requests: number; readonly bytesToChange: number };
    };

export type VolumeErrorKind =
  'no-path' | 'authentication' | 'dispute' | 'stuck' | 'record' | 'failed' | 'refused';

export interface VolumeError {
  readonly kind: VolumeErrorKind;
  readonly detail: string;
}

/** Everything people can see of a volume at one moment. */
export interface VolumeSnapshot {
  readonly state: 'serving' | 'holding' | 'failed';
  readonly reason: string;
  readonly current: string | undefined;
  readonly paths: readonly (PathView & {
    readonly portal: string;
    readonly answered: boolean;
    readonly lastError: LastError | undefined;
  })[];
  readonly lastSwitch: SwitchReport | undefined;
  readonly queued: number;
  readonly outstanding: number;
  /** The request at the target that was first sent longest ago. */
  readonly oldest: { readonly what: string; readonly ageMs: number } | undefined;
  readonly ioErrors: number;
  /** Acknowledged writes that may be in a volatile cache only, and flushes that their bound has forced. */
  readonly unflushed: {
    readonly count: number;
    readonly bytes: number;
    readonly forcedFlushes: number;
  };
  readonly identity: string;
  readonly failovers: number;
  readonly failbacks: number;
  /** Paths of one device server that is reserved for this node, for the rung `preempt`. */
  readonly preemptible: readonly (readonly string[])[];
  /** Path pinned by the operator; empty: none. */
  readonly pinned: string;
}

/** What is wanted of an attached volume from now on. */
export interface Wanted {
  readonly paths: readonly VolumePath[];
  readonly policy: Policy;
  /** Empty: none. */
  readonly pin: string;
}

/** The volume as its controller sees it. */
export function controllerOptions(options: VolumeOptions, policy: () => Policy): ControllerOptions {
  const { clock, paths, record } = options;
  const resume = recollect(record.memory, paths, clock.wallTime().getTime());
  return {
    ...(resume === undefined ? {} : { resume }),
    volumeId: options.volumeId as VolumeId,
    policy,
    paths: options.paths.map(({ name, maxWeight, drained }) => ({
      name,
      maxWeight,
      drained,
    })),
  };
}
