/**
 * Small files that must survive a crash whole: written beside, fsynced, renamed, and the directory
 * fsynced. A reader sees the old text or the new one. Each write needs free space: what must be written
 * where there is none has a file of its own kind (slot-file.ts).
 */
import { mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { err, ok, type Result } from '../base/result.ts';

export interface FileError {
  readonly kind: 'no-space' | 'io';
  /** Names the file and what happened. */
  readonly detail: string;
}

export function fileError(path: string, error: unknown): FileError {
  const { code, message } = error as NodeJS.ErrnoException;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  if (full) return { kind: 'no-space', detail: `cannot write ${path}: the disk is full` };
  return { kind: 'io', detail: `${path}: ${message}` };
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** A directory that was made is an entry of another one. `top` is the uppermost of those made. */
async function syncMade(lowest: string, top: string): Promise<void> {
  for (let path = lowest; ; path = dirname(path)) {
    await syncDirectory(path);
    if (path === top || path === dirname(path)) return;
  }
}

/** Undefined when there is no such file. */
export async function readWhole(path: string): Promise<Result<string | undefined, FileError>> {
  try {
    return ok(await readFile(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ok(undefined);
    return err(fileError(path, error));
  }
}

/** On stable storage when it resolves well; mode 0600, directories made as needed. */
export async function writeWhole(
  path: string,
  text: string | Buffer,
): Promise<Result<void, FileError>> {
  const temporary = `${path}.tmp`;
  try {
    const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(path);
    if (made !== undefined) await syncMade(dirname(path), made);
    return ok(undefined);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    return err(fileError(path, error));
  }
}

/** Fine when it is not there. */
export async function removeWhole(path: string): Promise<Result<void, FileError>> {
  try {
    await unlink(path);
    await syncDirectory(path);
    return ok(undefined);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ok(undefined);
    return err(fileError(path, error));
  }
}
