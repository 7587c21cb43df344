/** The directories and files that something is mounted at: made before, removed afterwards. */
import { lstat, mkdir, open, rmdir, unlink } from 'node:fs/promises';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';

/** With those above it; fine when it is there. Rejects as `mkdir` does. */
export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o750 });
}

/**
 * An empty file to bind a device node on; an empty directory that the caller made gives way. Rejects as
 * `open` does.
 */
export async function makeFile(path: string): Promise<void> {
  await rmdir(path).catch(() => undefined);
  const handle = await open(path, 'a', 0o600);
  await handle.close();
}

/**
 * Removes an empty directory, or an empty file; fine when there is none. Anything with content was not made
 * by us, and is left with an error: a recursive delete here has destroyed volumes elsewhere.
 */
export async function removePlace(path: string): Promise<Result<void, string>> {
  try {
    const info = await lstat(path);
    if (info.isDirectory()) await rmdir(path);
    else if (info.isFile() && info.size === 0) await unlink(path);
    else return err('it is neither a directory nor an empty file');
    return ok(undefined);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENOTDIR' ? ok(undefined) : err(message);
  }
}
