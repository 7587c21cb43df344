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

/** Every volume's record says that no path may hold writes. */
export async function nothingUnfenced(stateDir: string): Promise<boolean> {
  const files = await readdir(join(stateDir, 'volumes')).catch(() => []);
  for (const file of files) {
    if (!file.endsWith('.json')) continue;
    const record = await fileVolumeStore(stateDir, file.slice(0, -'.json'.length)).load();
    if (!record.ok || (record.value?.mayHoldWrites.length ?? 0) > 0) return false;
  }
  return true;
}

function storeError(error: FileError): StoreError {
  return { kind: error.kind, detail: error.detail };
}
