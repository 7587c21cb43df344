/**
 * What must be known about a volume after this process is gone; written before it is relied on.
 *
 * `mayHoldWrites` names the paths whose target may still execute a write of ours: a path is in it, on
 * disk, before the first write goes out on it, and leaves it when it was fenced or cleanly drained. A
 * restart finds it and fences those paths before the device is served again (D34, D37).
 *
 * The format is JSON, one file a volume, replaced atomically. A file that cannot be understood is an
 * error for the operator, never an empty record.
 */
import { err, ok, type Result } from '../../base/result.ts';
import { isCount, isObject, isStrings, isTexts } from '../../base/shape.ts';
import type { Portal, Session } from '../../ports/session.ts';
import { formatPortal, parseTargetAddress } from '../../protocol/iscsi/address.ts';
import { type LuRecord, parseIdentity } from '../unit/identity.ts';
import { type NamedPath, pathKey } from '../unit/path-key.ts';
import { keyOf } from '../unit/session-key.ts';
import { type Debt, parseDebts, parseNexuses, type RecordedNexus } from './debt.ts';
import { type MemoryRecord, parseMemory } from './memory-record.ts';

export type FormatState = 'never' | 'started' | 'done';

export interface VolumeRecord {
  readonly version: 1;
  readonly volumeId: string;
  /** Undefined until the first path was verified. */
  readonly lu: LuRecord | undefined;
  readonly mayHoldWrites: readonly string[];
  /** "address:port" that the writes of such a path went to; it need not be the configured one. */
  readonly heldAt: Readonly<Record<string, string>>;
  /** The key that was registered by the session that such a path was written through, if one was. */
  readonly heldKeys?: Readonly<Record<string, string>> | undefined;
  /** Paths proved to lead to one device server, which is reserved for this node. */
  readonly oneServer: readonly string[];
  /**
   * Paths that were fenced by `preempt` and not logged in since: their writes may still come, and only the
   * reservation refuses them. It stays when the volume is detached.
   */
  readonly keptOut?: readonly string[] | undefined;
  /** "address:port" that the writes of such a path went to; not there in records of the versions before. */
  readonly keptAt?: Readonly<Record<string, string>> | undefined;
  /** Keys of this node may be registered at a target; on disk before the first one is. */
  readonly keysLeft?: true | undefined;
  /** Since when this node has left the volume without a clean end, Unix ms. */
  readonly leftUnixMs?: number | undefined;
  /** Of former nodes: not fenced yet, or kept out by the reservation of this node alone. */
  readonly debts?: readonly Debt[] | undefined;
  /** The login of this node on each path that may hold writes or is kept out, configured still or not. */
  readonly nexuses?: Readonly<Record<string, RecordedNexus>> | undefined;
  /** 2: none of them is of the layout of versions before (reservation-key.ts). */
  readonly keyLayout?: 2 | undefined;
  readonly format: FormatState;
  /**
   * Paths found to be another logical unit, by `pathKey`, with what was found. Only the operator
   * re-admits them; a path that was given another target is another path.
   */
  readonly banned: Readonly<Record<string, string>>;
  /** What the controller knew; not there in records of the versions before it. */
  readonly memory?: MemoryRecord | undefined;
}

/** The bans that concern these paths, by path name. */
export function bansOf(
  record: VolumeRecord,
  paths: readonly NamedPath[],
): Readonly<Record<string, string>> {
  const bans = paths.flatMap((path) => {
    const detail = record.banned[pathKey(path)];
    return detail === undefined ? [] : [[path.name, detail] as const];
  });
  return Object.fromEntries(bans);
}

/** Bans by path name, as they are recorded. */
export function banRecord(
  paths: readonly NamedPath[],
  banned: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const bans = paths.flatMap((path) => {
    const detail = banned[path.name];
    return detail === undefined ? [] : [[pathKey(path), detail] as const];
  });
  return Object.fromEntries(bans);
}

/** The record without the bans of this path name, whatever target it had; undefined: there are none. */
export function withoutBan(record: VolumeRecord, path: string): VolumeRecord | undefined {
  const bans = Object.entries(record.banned);
  const left = bans.filter(([key]) => !key.startsWith(`${path} `));
  return left.length === bans.length ? undefined : { ...record, banned: Object.fromEntries(left) };
}

/** Whether keys of this node may be registered for the volume; `former`: of the layout before. */
export function keysLeftBefore(record: VolumeRecord): 'none' | 'some' | 'former' {
  const { mayHoldWrites, keptOut = [], keysLeft, keyLayout } = record;
  if (keysLeft !== true && mayHoldWrites.length + keptOut.length === 0) return 'none';
  return keyLayout === 2 ? 'some' : 'former';
}

export interface StoreError {
  readonly kind: 'no-space' | 'io' | 'corrupt';
  /** Names the file and what to do. */
  readonly detail: string;
}

/** Durable store of one volume's record. */
export interface VolumeStore {
  load(): Promise<Result<VolumeRecord | undefined, StoreError>>;
  /** Resolves when the record is on stable storage. Calls are executed in order. */
  save(record: VolumeRecord): Promise<Result<void, StoreError>>;
  remove(): Promise<Result<void, StoreError>>;
}

/** Paths that may hold writes, and the sessions through which they got them. */
export function writtenPaths(
  ...paths: readonly { readonly path: string; readonly session: Pick<Session, 'portal'> }[]
): Pick<VolumeRecord, 'mayHoldWrites' | 'heldAt' | 'heldKeys'> {
  const portals = paths.map(({ path, session }) => [path, formatPortal(session.portal)] as const);
  const keys = paths.flatMap(({ path, session }) => {
    const key = keyOf(session);
    return key === undefined ? [] : [[path, key] as const];
  });
  return {
    mayHoldWrites: paths.map(({ path }) => path),
    heldAt: Object.fromEntries(portals),
    heldKeys: keys.length === 0 ? undefined : Object.fromEntries(keys),
  };
}

/** `heldKeys` with the key that this session has by now: keys are tried after the first login. */
export function writtenKeysNow(
  { heldKeys, mayHoldWrites }: VolumeRecord,
  route: { readonly path: string; readonly session: object } | undefined,
): VolumeRecord['heldKeys'] {
  const key = route === undefined ? undefined : keyOf(route.session);
  if (route === undefined || key === undefined) return heldKeys;
  return mayHoldWrites.includes(route.path) ? { ...heldKeys, [route.path]: key } : heldKeys;
}

/** Where the writes of a path went; undefined: not known. */
export function writtenAt(record: VolumeRecord, path: string): Portal | undefined {
  const address = parseTargetAddress(record.heldAt[path] ?? record.keptAt?.[path] ?? '');
  return address === undefined ? undefined : { host: address.host, port: address.port };
}

export function emptyRecord(volumeId: string): VolumeRecord {
  return {
    version: 1,
    volumeId,
    lu: undefined,
    ...writtenPaths(),
    oneServer: [],
    format: 'never',
    banned: {},
  };
}

function parseLu(value: unknown): LuRecord | undefined {
  if (!isObject(value) || typeof value['founder'] !== 'string') return undefined;
  const identity = parseIdentity(value['identity']);
  return identity === undefined ? undefined : { identity, founder: value['founder'] };
}

function isFormatState(value: unknown): value is FormatState {
  return value === 'never' || value === 'started' || value === 'done';
}

/** Reads a record; the error says what is wrong with the text. */
export function parseRecord(text: string): Result<VolumeRecord, string> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return err('not JSON (cut short?)');
  }
  if (!isObject(value)) return err('not a JSON object');
  if (value['version'] !== 1) return err(`version ${String(value['version'])} is not known here`);
  const { volumeId, mayHoldWrites, format, banned } = value;
  if (typeof volumeId !== 'string') return err('volumeId is missing');
  if (!isStrings(mayHoldWrites)) return err('mayHoldWrites is missing');
  // Not there in records of earlier versions: then it is not known.
  const { heldAt = {} } = value;
  if (!isObject(heldAt) || !isStrings(Object.values(heldAt))) return err('heldAt is malformed');
  const { heldKeys } = value;
  if (heldKeys !== undefined && !isTexts(heldKeys)) return err('heldKeys is malformed');
  const { oneServer = [] } = value;
  if (!isStrings(oneServer)) return err('oneServer is malformed');
  if (!isFormatState(format)) return err('format is missing');
  if (!isObject(banned) || !isStrings(Object.values(banned))) return err('banned is missing');
  const lu = value['lu'] === undefined ? undefined : parseLu(value['lu']);
  if (value['lu'] !== undefined && lu === undefined) return err('lu is malformed');
  const bans = banned as Record<string, string>;
  const held = heldAt as Record<string, string>;
  const memory = parseMemory(value['memory']);
  const { keptOut } = value;
  if (keptOut !== undefined && !isStrings(keptOut)) return err('keptOut is malformed');
  const { keptAt } = value;
  if (keptAt !== undefined && !isTexts(keptAt)) return err('keptAt is malformed');
  const keysLeft = value['keysLeft'] === true || undefined;
  const debts = parseDebts(value['debts']);
  if (debts === 'malformed') return err('debts is malformed');
  const nexuses = parseNexuses(value['nexuses']);
  if (nexuses === 'malformed') return err('nexuses is malformed');
  const leftUnixMs = isCount(value['leftUnixMs']) ? value['leftUnixMs'] : undefined;
  const keyLayout = value['keyLayout'] === 2 ? (2 as const) : undefined;
  const left = { keptOut, keptAt, keysLeft, keyLayout, leftUnixMs, debts, nexuses };
  const rest = { heldAt: held, heldKeys, oneServer, ...left, format, banned: bans, memory };
  const record = { version: 1 as const, volumeId, lu, mayHoldWrites, ...rest };
  // A field that is saved and not read here does not compile: an optional one would be lost without a word.
  return ok(record satisfies Readonly<Record<keyof VolumeRecord, unknown>>);
}
