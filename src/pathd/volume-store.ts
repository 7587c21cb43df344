/**
 * The records of volumes as files: `<state dir>/volumes/<volume id>.record`, which have their space from the
 * first save on (slot-file.ts): a disk that fills up later stops no failover.
 *
 * Versions before this one had `<volume id>.json`, a new file at each save. It is read where there is no
 * other, and goes when the first record was saved. One that is younger than the record is that of a
 * version before that served the volume since (a downgrade): it counts. What the record says of writes
 * that are not fenced is added, because that version did not read the record.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { err, ok, type Result } from '../base/result.ts';
import { type FileError, readWhole, removeWhole } from '../host/durable-file.ts';
import { SlotFile } from '../host/slot-file.ts';
import {
  parseRecord,
  type StoreError,
  type VolumeRecord,
  type VolumeStore,
} from '../volume/record/record.ts';

const RECORD = '.record';
const FORMER = '.json';

export function fileVolumeStore(stateDir: string, volumeId: string): VolumeStore {
  const base = join(stateDir, 'volumes', volumeId);
  const file = new SlotFile(`${base}${RECORD}`);
  const former = `${base}${FORMER}`;
  /** Whether the file of the versions before may still be there. */
  let mayHaveFormer = true;
  return {
    load: async () => {
      const found = await file.read();
      if (!found.ok) return err(storeError(found.error));
      if (found.value === 'damaged')
        return err(corrupt(file.path, 'neither of its two slots is whole'));
      const record =
        found.value === 'none' ? undefined : understood(file.path, found.value.text, volumeId);
      if (record !== undefined && !(record.ok && (await isYounger(former, file.path))))
        return record;
      const text = await readWhole(former);
      if (!text.ok) return err(storeError(text.error));
      if (text.value === undefined) return record ?? ok(undefined);
      const other = understood(former, text.value, volumeId);
      return record?.ok === true && other.ok ? ok(joined(record.value, other.value)) : other;
    },
    save: async (record: VolumeRecord): Promise<Result<void, StoreError>> => {
      const saved = await file.write(`${JSON.stringify(record, undefined, 2)}\n`);
      if (!saved.ok) return err(storeError(saved.error));
      // It is not read while the other one is there, so it does no harm.
      if (mayHaveFormer) mayHaveFormer = !(await removeWhole(former)).ok;
      return ok(undefined);
    },
    remove: async () => {
      // The former one first: left alone it would be read.
      for (const removed of [await removeWhole(former), await file.remove()]) {
        if (!removed.ok) return err(storeError(removed.error));
      }
      return ok(undefined);
    },
  };
}

async function isYounger(path: string, than: string): Promise<boolean> {
  const changed = (file: string): Promise<number> =>
    stat(file).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
  return (await changed(path)) > (await changed(than));
}

/** The newer of two records, with whatever the older one knows of writes that may still take effect. */
function joined(older: VolumeRecord, newer: VolumeRecord): VolumeRecord {
  const both = (of: (record: VolumeRecord) => readonly string[]): readonly string[] => [
    ...new Set([...of(older), ...of(newer)]),
  ];
  return {
    ...older,
    ...newer,
    lu: newer.lu ?? older.lu,
    mayHoldWrites: both(({ mayHoldWrites }) => mayHoldWrites),
    heldAt: { ...older.heldAt, ...newer.heldAt },
    heldKeys: { ...older.heldKeys, ...newer.heldKeys },
    keptOut: both(({ keptOut = [] }) => keptOut),
    keptAt: { ...older.keptAt, ...newer.keptAt },
    keysLeft: older.keysLeft ?? newer.keysLeft,
    leftUnixMs: newer.leftUnixMs ?? older.leftUnixMs,
    debts: [...(older.debts ?? []), ...(newer.debts ?? [])],
    nexuses: { ...older.nexuses, ...newer.nexuses },
    // Keys of the layout of versions before may stand again.
    keyLayout: newer.keyLayout,
    banned: { ...older.banned, ...newer.banned },
  };
}

function understood(
  path: string,
  text: string,
  volumeId: string,
): Result<VolumeRecord, StoreError> {
  const record = parseRecord(text);
  if (!record.ok) return err(corrupt(path, record.error));
  if (record.value.volumeId === volumeId) return record;
  return err(corrupt(path, `it is of volume ${record.value.volumeId}`));
}

function corrupt(path: string, why: string): StoreError {
  return {
    kind: 'corrupt',
    detail:
      `${path} cannot be used: ${why}. It says which paths may still hold writes; restore it, or ` +
      'remove it once every target of the volume has been restarted',
  };
}

/**
 * Volumes of which a target may have something under this node's name: writes that were not fenced, or
 * keys. One whose record cannot be read is among them.
 */
export async function volumesUnderName(stateDir: string): Promise<readonly string[]> {
  const folder = join(stateDir, 'volumes');
  let files: readonly string[];
  try {
    files = await readdir(folder);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? [] : [message];
  }
  const found: string[] = [];
  const names = files.flatMap((file) => {
    const ending = [RECORD, FORMER].find((one) => file.endsWith(one));
    return ending === undefined ? [] : [file.slice(0, -ending.length)];
  });
  for (const volumeId of new Set(names)) {
    const record = await fileVolumeStore(stateDir, volumeId).load();
    const {
      mayHoldWrites = [],
      keptOut = [],
      keysLeft = false,
    } = (record.ok && record.value) || {};
    const paths = mayHoldWrites.length + keptOut.length;
    if (!record.ok || paths > 0 || keysLeft) found.push(volumeId);
  }
  return found;
}

function storeError(error: FileError): StoreError {
  return { kind: error.kind, detail: error.detail };
}
