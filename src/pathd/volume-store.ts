/** The records of volumes as files: `<state dir>/volumes/<volume id>.json`. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { err, ok, type Result } from '../base/result.ts';
import { type FileError, readWhole, removeWhole, writeWhole } from '../host/durable-file.ts';
import {
  parseRecord,
  type StoreError,
  type VolumeRecord,
  type VolumeStore,
} from '../volume/record.ts';

export function fileVolumeStore(stateDir: string, volumeId: string): VolumeStore {
  const path = join(stateDir, 'volumes', `${volumeId}.json`);
  const corrupt = (why: string): StoreError => ({
    kind: 'corrupt',
    detail:
      `${path} cannot be used: ${why}. It says which paths may still hold writes; restore it, or ` +
      'remove it once every target of the volume has been restarted',
  });
  return {
    load: async () => {
      const text = await readWhole(path);
      if (!text.ok) return err(storeError(text.error));
      if (text.value === undefined) return ok(undefined);
      const record = parseRecord(text.value);
      if (!record.ok) return err(corrupt(record.error));
      if (record.value.volumeId !== volumeId) {
        return err(corrupt(`it is of volume ${record.value.volumeId}`));
      }
      return ok(record.value);
    },
    save: async (record: VolumeRecord): Promise<Result<void, StoreError>> => {
      const saved = await writeWhole(path, `${JSON.stringify(record, undefined, 2)}\n`);
      return saved.ok ? saved : err(storeError(saved.error));
    },
    remove: async () => {
      const removed = await removeWhole(path);
      return removed.ok ? removed : err(storeError(removed.error));
    },
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
  for (const file of files) {
    if (!file.endsWith('.json')) continue;
    const volumeId = file.slice(0, -'.json'.length);
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
