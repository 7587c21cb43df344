/**
 * The pathd interface as TypeScript: the messages of proto/pathd.proto (camelCase, 64-bit integers as
 * numbers: every size here is below 2^53) and the client's contract. csi and the CLI use `PathdApi`;
 * pathd-client.ts implements it over gRPC, tests with a double. Each field has an entry in facts.ts.
 */
import type { Debt } from '../volume/record/debt.ts';
import type { EventReason } from './event-reasons.ts';

export type { Debt } from '../volume/record/debt.ts';
export { type EventReason, isChatty } from './event-reasons.ts';

export interface PathSpec {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly targetName: string;
  readonly lun: number;
  readonly maxWeight: number;
  readonly drained: boolean;
  /** Where the target stands, for drains of whole racks; empty or absent: not known. */
  readonly rack?: string;
  readonly room?: string;
}

/** CHAP credentials of a volume: never logged, never on disk. */
export interface ChapSpec {
  /** Empty: no CHAP. */
  readonly initiatorName: string;
  readonly initiatorSecret: string;
  /** Mutual CHAP: what the target must prove; empty: it is not asked. */
  readonly targetName: string;
  readonly targetSecret: string;
}

/** Says "no CHAP", which is not the same as saying nothing: see AttachRequest. */
export const NO_CHAP: ChapSpec = {
  initiatorName: '',
  initiatorSecret: '',
  targetName: '',
  targetSecret: '',
};

export interface AttachRequest {
  readonly volumeId: string;
  readonly paths: readonly PathSpec[];
  /** Policy parameters by name as typed by the operator. */
  readonly policy: Readonly<Record<string, string>>;
  readonly readOnly: boolean;
  /** Path to prefer; empty: none. */
  readonly pin: string;
  /** Absent or null: what is kept from before a restart of pathd, if anything. */
  readonly chap?: ChapSpec | null;
  /** One node at a time writes: the unit may be reserved for this one. Absent: it is not. */
  readonly singleNode?: boolean;
  /** The claim of this node was taken from another one for this call. */
  readonly mayTakeOver?: boolean;
  /** Of former nodes; absent: no debt is known. */
  readonly debts?: readonly Debt[];
  /** csi vouches that `debts` is complete; absent: it does not. */
  readonly historyKnown?: boolean;
  /** As `AttachResponse.identity` gave it; empty or absent: not pinned. */
  readonly expectedIdentity?: string;
  /** The caller answers `ClaimQuestioned`; absent: it is not asked. */
  readonly claimQuestions?: boolean;
}

/** What is wanted of an attached volume from now on. */
export type UpdateRequest = Pick<AttachRequest, 'volumeId' | 'paths' | 'policy' | 'pin'>;

/** Something that happened to a volume, for people. */
export interface VolumeNotice {
  /** Counts from 1 at each start of pathd. */
  readonly sequence: number;
  /** Differs between starts of pathd. */
  readonly instance: string;
  readonly volumeId: string;
  readonly reason: EventReason;
  readonly warning: boolean;
  readonly message: string;
  readonly atUnixMs: number;
}

export interface AttachResponse {
  readonly device: string;
  readonly sizeBytes: number;
  readonly blockSize: number;
  /** The debts of former nodes that are not paid. */
  readonly unpaid: readonly Debt[];
  /** Of the logical unit, one line, opaque. */
  readonly identity: string;
}

export interface DetachResponse {
  /** What may still take effect at targets; empty: clean. */
  readonly debts: readonly Debt[];
}

/** Who this node is to the targets of a volume's paths. */
export interface NexusesResponse {
  readonly initiatorName: string;
  readonly isids: readonly { readonly path: string; readonly isid: string }[];
}

/** `lost`: this node is not the owner any more. */
export type ClaimState = 'confirmed' | 'lost';

export interface PathStatus {
  readonly name: string;
  readonly portal: string;
  readonly weight: number;
  readonly maxWeight: number;
  /** `PathState`, or one that only a later pathd knows. */
  readonly state: string;
  readonly drained: boolean;
  readonly holdDown: boolean;
  readonly suspect: boolean;
  readonly lastError: string;
  readonly lastErrorUnixMs: number;
  readonly probeP90Us: number;
  /** As told at attach; empty: not known. */
  readonly rack?: string;
  readonly room?: string;
}

export interface SwitchStatus {
  readonly from: string;
  readonly to: string;
  readonly kind: string;
  readonly cause: string;
  readonly fence: string;
  readonly atUnixMs: number;
  readonly gapMs: number;
  readonly replayed: number;
}

export interface VolumeStatus {
  readonly volumeId: string;
  readonly device: string;
  /**
   * What sysfs shows behind the device, as proof that it is this volume's. Empty or absent: there is
   * nothing to compare (an older pathd).
   */
  readonly backingFile?: string;
  readonly sizeBytes: number;
  /** `VolumeState`; `lost` in what csi writes of a volume that pathd does not have any more. */
  readonly state: string;
  readonly reason: string;
  readonly currentPath: string;
  readonly paths: readonly PathStatus[];
  readonly lastSwitch: SwitchStatus | undefined;
  readonly fencing: string;
  readonly queued: number;
  readonly outstanding: number;
  /** Since the oldest request at the target was first sent, ms; 0: there is none. */
  readonly oldestAgeMs: number;
  /** Which one that is, as in "write 4096+512" (bytes); empty: none. */
  readonly oldestCommand: string;
  readonly ioErrors: number;
  readonly identity: string;
  readonly failovers: number;
  readonly failbacks: number;
  /** Empty: none. */
  readonly pinnedPath: string;
  readonly writePolicy: string;
  /** Acknowledged and not flushed, under write policy `log`. */
  readonly unflushedWrites: number;
  readonly unflushedBytes: number;
  /** Flushes that the bound of the log has forced since attach. */
  readonly forcedFlushes: number;
}

/** gRPC status codes that pathd uses, by name. */
export type PathdErrorCode =
  | 'INVALID_ARGUMENT'
  | 'FAILED_PRECONDITION'
  | 'UNAVAILABLE'
  | 'ABORTED'
  | 'NOT_FOUND'
  | 'INTERNAL'
  | 'RESOURCE_EXHAUSTED'
  | 'OUT_OF_RANGE'
  | 'UNAUTHENTICATED'
  /** An older pathd, that has no such call. */
  | 'UNIMPLEMENTED';

/** A refusal or failure of pathd; the message says what to do. Thrown (rejected) by every call. */
export class PathdError extends Error {
  readonly code: PathdErrorCode;

  constructor(code: PathdErrorCode, message: string) {
    super(message);
    this.name = 'PathdError';
    this.code = code;
  }
}

export interface PathdApi {
  attach(request: AttachRequest): Promise<AttachResponse>;
  detach(volumeId: string): Promise<DetachResponse>;
  expand(volumeId: string, requiredBytes: number): Promise<{ readonly sizeBytes: number }>;
  beginFormat(volumeId: string): Promise<{ readonly mayFormat: boolean; readonly reason: string }>;
  endFormat(volumeId: string): Promise<void>;
  /** Live change of paths, weights, drains, pin and policy. */
  update(request: UpdateRequest): Promise<void>;
  /** The paths alone; pin and policy stay. */
  setPaths(volumeId: string, paths: readonly PathSpec[]): Promise<void>;
  /** New credentials for the next logins of an attached volume; sessions that are up stay. */
  setChap(volumeId: string, chap: ChapSpec): Promise<void>;
  /** Empty path: unpins. */
  pin(volumeId: string, path: string): Promise<void>;
  drain(volumeId: string, path: string, drained: boolean): Promise<void>;
  /** Lifts the ban of a path. */
  readmit(volumeId: string, path: string): Promise<void>;
  /** Forgets the record of a volume that is not attached. */
  forget(volumeId: string): Promise<void>;
  /** Who this node is to the targets of these paths; on disk when it resolves. */
  nexuses(volumeId: string, paths: readonly string[]): Promise<NexusesResponse>;
  /** What became of the claim on an attached volume; `detail` is for people. */
  confirmClaim(volumeId: string, state: ClaimState, detail: string): Promise<void>;
  /**
   * The InitiatorName that the cluster's Node asks for, from the next attach on; empty: none. Refused
   * while volumes are attached or not cleanly left.
   */
  setInitiatorName(name: string): Promise<{ readonly before: string; readonly now: string }>;
  /** One volume (empty list when it is not attached), or all when no id is given. */
  status(volumeId?: string): Promise<readonly VolumeStatus[]>;
}
