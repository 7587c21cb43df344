/**
 * What csi has done on this node, one JSON file a volume: `<state dir>/volumes/<volume id>.json`.
 *
 * The CSI calls must be idempotent over a restart of csi, and a call with other arguments must be told
 * apart from a repeated one, so the arguments have to be on disk. The record says what csi has done, not
 * what is there now. What is mounted or attached is read from mountinfo and pathd each time, because a
 * reboot leaves the files and takes the mounts.
 *
 * Written whole or not at all (durable-file.ts). A file that cannot be understood is an error that names
 * the file. To take it for "not staged" would let another node attach the volume while it is mounted
 * here. A full disk is RESOURCE_EXHAUSTED, and the caller has done nothing yet that is not recorded.
 *
 * `<state dir>/formatting/<volume id>.json` exists from before mkfs until pathd has recorded its
 * end. It outlives unstage: a later call learns from it that a filesystem may be half made.
 */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isObject } from '../../base/shape.ts';
import { type FileError, readWhole, removeWhole, writeWhole } from '../../host/durable-file.ts';
import type { FilesystemType } from '../../host/mount/filesystem.ts';
import type { Access, AccessMode, Capability } from '../wire/parse.ts';
import { CsiError } from '../wire/csi-error.ts';
import type { HomeMark } from './home.ts';

export interface Publication {
  readonly targetPath: string;
  readonly readOnly: boolean;
  readonly capability: Capability;
}

export interface StageRecord {
  readonly version: 1;
  readonly volumeId: string;
  /** staging: NodeStageVolume has begun and has not ended well yet. */
  readonly phase: 'staging' | 'staged';
  readonly capability: Capability;
  readonly stagingPath: string;
  /** Device at the time of staging; null while staging. Only pathd knows what it is now. */
  readonly device: string | null;
  readonly publications: readonly Publication[];
}

export interface FormatRecord {
  readonly version: 1;
  readonly volumeId: string;
  readonly fsType: FilesystemType;
  readonly startedAt: string;
}

export class StateStore {
  readonly #volumes: string;
  readonly #formatting: string;
  readonly #mark: HomeMark | undefined;

  /** @param mark says where the records are, as long as there is one. */
  constructor(stateDir: string, mark?: HomeMark) {
    this.#mark = mark;
    this.#volumes = join(stateDir, 'volumes');
    this.#formatting = join(stateDir, 'formatting');
  }

  /** Makes the directories, so that a wrong path shows at start. Rejects as `mkdir` does. */
  async open(): Promise<void> {
    await mkdir(this.#volumes, { recursive: true, mode: 0o700 });
    await mkdir(this.#formatting, { recursive: true, mode: 0o700 });
  }

  /** The volume's record, undefined when there is none. Throws INTERNAL for a damaged file. */
  async read(volumeId: string): Promise<StageRecord | undefined> {
    const file = this.#file(this.#volumes, volumeId);
    const record = await readJson(file);
    if (record === undefined) return undefined;
    if (!isVolumeRecord(record, volumeId)) throw damaged(file, 'unexpected content');
    return record;
  }

  /** Throws RESOURCE_EXHAUSTED when the disk is full; the old record stays then. */
  async write(record: StageRecord): Promise<void> {
    await this.#mark?.set();
    await writeJson(this.#file(this.#volumes, record.volumeId), record);
    // The last one of before may have gone meanwhile, and the mark with it.
    await this.#mark?.set();
  }

  async remove(volumeId: string): Promise<void> {
    await removeFile(this.#file(this.#volumes, volumeId));
    await this.#mark?.clear();
  }

  /** Staging paths of all records that can be read. */
  async stagingPaths(): Promise<ReadonlySet<string>> {
    const paths = new Set<string>();
    for (const file of await readdir(this.#volumes)) {
      const id = /^(.+)\.json$/.exec(file)?.[1];
      const record = id === undefined ? undefined : await this.read(id).catch(() => undefined);
      if (record !== undefined) paths.add(record.stagingPath);
    }
    return paths;
  }

  async readFormatting(volumeId: string): Promise<FormatRecord | undefined> {
    const file = this.#file(this.#formatting, volumeId);
    const record = await readJson(file);
    if (record === undefined) return undefined;
    if (!isFormatRecord(record, volumeId)) throw damaged(file, 'unexpected content');
    return record;
  }

  async writeFormatting(record: FormatRecord): Promise<void> {
    await writeJson(this.#file(this.#formatting, record.volumeId), record);
  }

  async removeFormatting(volumeId: string): Promise<void> {
    await removeFile(this.#file(this.#formatting, volumeId));
  }

  #file(directory: string, volumeId: string): string {
    return join(directory, `${volumeId}.json`);
  }
}

async function readJson(file: string): Promise<unknown> {
  const text = await readWhole(file);
  if (!text.ok) throw fileFailure(text.error);
  if (text.value === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text.value);
    // "null" is damage, not absence.
    return value ?? {};
  } catch {
    throw damaged(file, text.value === '' ? 'it is empty' : 'it is no JSON');
  }
}

async function writeJson(file: string, value: object): Promise<void> {
  const written = await writeWhole(file, `${JSON.stringify(value, undefined, 2)}\n`);
  if (!written.ok) throw fileFailure(written.error);
}

async function removeFile(file: string): Promise<void> {
  const removed = await removeWhole(file);
  if (!removed.ok) throw fileFailure(removed.error);
}

function fileFailure({ kind, detail }: FileError): CsiError {
  return kind === 'no-space'
    ? new CsiError('RESOURCE_EXHAUSTED', `${detail}: free some space, then it is tried again`)
    : new CsiError('INTERNAL', `state file ${detail}`);
}

function damaged(file: string, why: string): CsiError {
  return new CsiError(
    'INTERNAL',
    `state file ${file} is damaged (${why}): make sure that the volume is not mounted on this node ` +
      '(findmnt), then delete the file; nothing is done with the volume until then',
  );
}

// ------------------------------------------------------------------------------- shape of the
// files

function isVolumeRecord(value: unknown, volumeId: string): value is StageRecord {
  return (
    isObject(value) &&
    value['version'] === 1 &&
    value['volumeId'] === volumeId &&
    (value['phase'] === 'staging' || value['phase'] === 'staged') &&
    isCapability(value['capability']) &&
    isPath(value['stagingPath']) &&
    (value['device'] === null || isPath(value['device'])) &&
    Array.isArray(value['publications']) &&
    value['publications'].every(isPublication)
  );
}

function isPublication(value: unknown): value is Publication {
  return (
    isObject(value) &&
    isPath(value['targetPath']) &&
    typeof value['readOnly'] === 'boolean' &&
    isCapability(value['capability'])
  );
}

function isCapability(value: unknown): value is Capability {
  return isObject(value) && isMode(value['mode']) && isAccess(value['access']);
}

function isMode(value: unknown): value is AccessMode {
  return typeof value === 'string' && /^(SINGLE|MULTI)_NODE_[A-Z_]+$/.test(value);
}

function isAccess(value: unknown): value is Access {
  if (!isObject(value)) return false;
  if (value['kind'] === 'block') return true;
  const { kind, fsType, flags } = value;
  return (
    kind === 'mount' &&
    (fsType === 'ext4' || fsType === 'xfs') &&
    Array.isArray(flags) &&
    flags.every((flag) => typeof flag === 'string')
  );
}

function isFormatRecord(value: unknown, volumeId: string): value is FormatRecord {
  return (
    isObject(value) &&
    value['version'] === 1 &&
    value['volumeId'] === volumeId &&
    (value['fsType'] === 'ext4' || value['fsType'] === 'xfs') &&
    typeof value['startedAt'] === 'string'
  );
}

function isPath(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith('/');
}
