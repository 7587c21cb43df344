/**
 * What pathd tells and is told, described once: the fields of a status, the attributes of a path, the fields of
 * an attach, the states. (The reasons of events: event-reasons.ts.) The compiler asks for an entry of each
 * field of the interface (api.ts). Code that compares two of them uses these tables, and
 * `test/unit/pathd/facts.test.ts` compares them with all that has a list of its own: the proto, the wire, the
 * screens of the command line, the annotation.
 */
import type {
  AttachRequest,
  PathSpec,
  PathStatus,
  SwitchStatus,
  UpdateRequest,
  VolumeStatus,
} from './api.ts';

/** Type of a field in proto/pathd.proto; `[]`: repeated. */
export type WireType =
  | 'string'
  | 'bool'
  | 'uint32'
  | 'uint64'
  | 'int64'
  | 'map'
  | 'Chap'
  | 'Switch'
  | 'Debt[]'
  | 'Path[]'
  | 'PathStatus[]';

export interface StatusField {
  readonly wire: WireType;
  /** Where it is shown: `priority-path status`, `priority-path explain`, the annotation on the PersistentVolume. */
  readonly shown: readonly ('status' | 'explain' | 'annotation')[];
  /** A change of it writes the annotation: soon, or once in a while. Absent: it goes along with the next write. */
  readonly writes?: 'soon' | 'slowly';
  /** Changes while nothing happens, as an age does: alone it is sent to a watch once a second at most. */
  readonly volatile?: true;
}

/** A description of each field of `T`, whether it may be absent or not. */
type Fields<T, F> = Readonly<Record<keyof T, F>>;

export const SWITCH_STATUS = {
  from: { wire: 'string', shown: ['status', 'explain', 'annotation'] },
  to: { wire: 'string', shown: ['status', 'explain', 'annotation'] },
  kind: { wire: 'string', shown: ['status', 'explain', 'annotation'] },
  cause: { wire: 'string', shown: ['status', 'explain', 'annotation'] },
  fence: { wire: 'string', shown: ['status', 'annotation'] },
  atUnixMs: { wire: 'int64', shown: ['status', 'explain', 'annotation'], writes: 'soon' },
  gapMs: { wire: 'uint32', shown: ['status', 'annotation'], writes: 'soon' },
  replayed: { wire: 'uint32', shown: ['status', 'annotation'] },
} satisfies Fields<SwitchStatus, StatusField>;

export const PATH_STATUS = {
  name: { wire: 'string', shown: ['status', 'explain', 'annotation'], writes: 'soon' },
  portal: { wire: 'string', shown: ['status', 'annotation'], writes: 'soon' },
  weight: { wire: 'uint32', shown: ['status', 'explain', 'annotation'], writes: 'slowly' },
  maxWeight: { wire: 'uint32', shown: ['status', 'explain', 'annotation'], writes: 'soon' },
  state: { wire: 'string', shown: ['status', 'explain', 'annotation'], writes: 'soon' },
  drained: { wire: 'bool', shown: ['status', 'explain', 'annotation'], writes: 'soon' },
  holdDown: { wire: 'bool', shown: ['status', 'explain', 'annotation'], writes: 'soon' },
  suspect: { wire: 'bool', shown: ['status', 'explain', 'annotation'] },
  lastError: { wire: 'string', shown: ['status', 'explain', 'annotation'] },
  lastErrorUnixMs: { wire: 'int64', shown: ['status', 'annotation'] },
  probeP90Us: { wire: 'uint32', shown: ['status'] },
  // For drains of whole racks (cli/drain.ts).
  rack: { wire: 'string', shown: [] },
  room: { wire: 'string', shown: [] },
} satisfies Fields<PathStatus, StatusField>;

export const VOLUME_STATUS = {
  volumeId: { wire: 'string', shown: ['status', 'explain'] },
  device: { wire: 'string', shown: ['status', 'annotation'], writes: 'soon' },
  backingFile: { wire: 'string', shown: [] },
  sizeBytes: { wire: 'uint64', shown: ['status'] },
  state: { wire: 'string', shown: ['status', 'explain', 'annotation'], writes: 'soon' },
  reason: { wire: 'string', shown: ['status', 'explain', 'annotation'], writes: 'soon' },
  currentPath: { wire: 'string', shown: ['status', 'explain'], writes: 'soon' },
  paths: { wire: 'PathStatus[]', shown: ['status', 'explain', 'annotation'] },
  lastSwitch: { wire: 'Switch', shown: ['status', 'explain', 'annotation'] },
  fencing: { wire: 'string', shown: ['status', 'annotation'], writes: 'soon' },
  queued: { wire: 'uint64', shown: ['status'] },
  outstanding: { wire: 'uint64', shown: ['status'] },
  oldestAgeMs: { wire: 'uint64', shown: ['status'], volatile: true },
  oldestCommand: { wire: 'string', shown: ['status'] },
  ioErrors: { wire: 'uint64', shown: ['status', 'annotation'] },
  identity: { wire: 'string', shown: ['status'] },
  failovers: { wire: 'uint32', shown: ['status', 'annotation'] },
  failbacks: { wire: 'uint32', shown: ['status', 'annotation'] },
  pinnedPath: { wire: 'string', shown: ['explain', 'annotation'], writes: 'soon' },
  writePolicy: { wire: 'string', shown: ['status'] },
  unflushedWrites: { wire: 'uint64', shown: ['status'] },
  unflushedBytes: { wire: 'uint64', shown: ['status'] },
  forcedFlushes: { wire: 'uint64', shown: ['status'] },
} satisfies Fields<VolumeStatus, StatusField>;

/** Fields of a volume that have fields of their own. */
const PARTS: ReadonlySet<WireType> = new Set<WireType>(['PathStatus[]', 'Switch']);

/** Reads from a status, its paths and its last switch all fields that a predicate holds for. */
export function picker(
  holds: (field: StatusField) => boolean,
): (volume: VolumeStatus) => readonly unknown[] {
  const ofVolume = namesOf<VolumeStatus>(
    VOLUME_STATUS,
    (field) => !PARTS.has(field.wire) && holds(field),
  );
  const ofPath = namesOf<PathStatus>(PATH_STATUS, holds);
  const ofSwitch = namesOf<SwitchStatus>(SWITCH_STATUS, holds);
  return (volume) => [
    ofVolume.map((name) => volume[name]),
    volume.paths.map((path) => ofPath.map((name) => path[name])),
    ofSwitch.map((name) => volume.lastSwitch?.[name]),
  ];
}

function namesOf<T>(
  fields: Fields<T, StatusField>,
  holds: (field: StatusField) => boolean,
): readonly (keyof T)[] {
  return (Object.keys(fields) as (keyof T)[]).filter((name) => holds(fields[name]));
}

/** Paths of a volume. */
export const PATHS_MAX = 16;
/** Of a path's max weight. */
export const WEIGHT_MAX = 1_000;
/** Characters of a path's name. */
export const PATH_NAME_MAX = 32;
const PATH_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

/** What a path may be called, wherever it is said: on a command line, on a PersistentVolume, to pathd. */
export function isPathName(text: string): boolean {
  return text.length <= PATH_NAME_MAX && PATH_NAME.test(text);
}

/** Attributes of a path, in the order in which two requests are compared. */
export const PATH_SPEC = {
  name: 'string',
  host: 'string',
  port: 'uint32',
  targetName: 'string',
  lun: 'uint32',
  maxWeight: 'uint32',
  drained: 'bool',
  rack: 'string',
  room: 'string',
} satisfies Fields<PathSpec, WireType>;

export const ATTACH_REQUEST = {
  volumeId: 'string',
  paths: 'Path[]',
  policy: 'map',
  readOnly: 'bool',
  pin: 'string',
  chap: 'Chap',
  singleNode: 'bool',
  mayTakeOver: 'bool',
  debts: 'Debt[]',
  historyKnown: 'bool',
  expectedIdentity: 'string',
  claimQuestions: 'bool',
} satisfies Fields<AttachRequest, WireType>;

export const UPDATE_REQUEST = {
  volumeId: 'string',
  paths: 'Path[]',
  policy: 'map',
  pin: 'string',
} satisfies Fields<UpdateRequest, WireType>;

export const VOLUME_STATES = ['serving', 'holding', 'failed'] as const;
export type VolumeState = (typeof VOLUME_STATES)[number];

interface PathStateFacts {
  /** It answers. */
  readonly up: boolean;
  /** Nothing is known against its carrying this volume's I/O. */
  readonly verified: boolean;
}

export type ShownPathState =
  'current' | 'standby' | 'down' | 'banned' | 'unverified' | 'write-protected' | 'connecting';

export const PATH_STATES: Readonly<Record<ShownPathState, PathStateFacts>> = {
  current: { up: true, verified: true },
  standby: { up: true, verified: true },
  down: { up: false, verified: true },
  banned: { up: true, verified: false },
  unverified: { up: true, verified: false },
  'write-protected': { up: true, verified: false },
  connecting: { up: false, verified: false },
};

/** Undefined: a state that only a later pathd knows. */
export function asPathState(text: string): ShownPathState | undefined {
  return Object.hasOwn(PATH_STATES, text) ? (text as ShownPathState) : undefined;
}
