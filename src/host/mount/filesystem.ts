/**
 * Making, checking and growing ext4 and xfs.
 *
 * mkfs options: no discard (`-E nodiscard`, `-K`: a discard of the whole LUN takes minutes on some
 * targets, and a blank LUN has nothing to discard); features that kernels older than the tools cannot
 * mount are off (`orphan_file`, `metadata_csum_seed`: < 5.15 / 4.4; `nrext64`: < 5.19). Neither `-F` nor
 * `-f` is given: they exist to overwrite what is there.
 *
 * fsck: `fsck.ext4 -p` before each writable mount replays the journal and repairs what needs no decision;
 * exit 4 and above must not be mounted. xfs replays its log at mount; xfs_repair is never run by us.
 */
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import { type ExecResult, exec } from '../exec.ts';
import { oneLine } from './mount.ts';

export type FilesystemType = 'ext4' | 'xfs';

export const FILESYSTEM_TYPES: readonly FilesystemType[] = ['ext4', 'xfs'];

/** mkfs writes gigabytes of metadata on big volumes; the caller's lock holds for that long. */
const MKFS_TIMEOUT_MS = 15 * 60_000;
const FSCK_TIMEOUT_MS = 15 * 60_000;
const RESIZE_TIMEOUT_MS = 5 * 60_000;

const MKFS: Readonly<Record<FilesystemType, readonly string[]>> = {
  ext4: ['-q', '-E', 'nodiscard', '-O', '^orphan_file,^metadata_csum_seed'],
  xfs: ['-q', '-K', '-i', 'nrext64=0'],
};

/** Makes a filesystem on a device that was proved blank. The error is one line. */
export async function makeFilesystem(
  device: string,
  type: FilesystemType,
): Promise<Result<void, string>> {
  const options = { timeoutMs: MKFS_TIMEOUT_MS };
  return verdict(`mkfs.${type}`, await exec(`mkfs.${type}`, [...MKFS[type], device], options), 0);
}

/**
 * Checks a filesystem before a writable mount. The value says what was repaired, empty for nothing. Exit
 * codes of e2fsck are bits: 1 repaired, 2 repaired and mounted elsewhere, 4 errors left, 8 and up could
 * not do it.
 */
export async function checkFilesystem(
  device: string,
  type: FilesystemType,
): Promise<Result<string, string>> {
  if (type === 'xfs') return ok('');
  const result = await exec('fsck.ext4', ['-p', device], { timeoutMs: FSCK_TIMEOUT_MS });
  const fine = verdict('fsck.ext4 -p', result, 3);
  if (!fine.ok) return fine;
  return ok(result.code === 0 ? '' : oneLine(result.stdout));
}

/** Full check that changes nothing: whether an interrupted mkfs has left a complete filesystem. */
export async function isComplete(device: string, type: FilesystemType): Promise<boolean> {
  const options = { timeoutMs: FSCK_TIMEOUT_MS };
  const { code } =
    type === 'ext4'
      ? await exec('fsck.ext4', ['-n', '-f', device], options)
      : await exec('xfs_repair', ['-n', device], options);
  return code === 0;
}

/** Grows a mounted filesystem to the size of its device; nothing to do is success. */
export async function growFilesystem(
  device: string,
  mountPoint: string,
  type: FilesystemType,
  timeoutMs = RESIZE_TIMEOUT_MS,
): Promise<Result<void, string>> {
  const [program, args] =
    type === 'ext4' ? ['resize2fs', [device]] : ['xfs_growfs', ['-d', mountPoint]];
  const grown = verdict(program, await exec(program, args, { timeoutMs }), 0);
  if (grown.ok || !grown.error.includes('Permission denied to resize')) return grown;
  // EXT4_IOC_RESIZE_FS (fs/ext4/ioctl.c) asks for this one capability; xfs asks for CAP_SYS_ADMIN.
  return err(`${grown.error} (CAP_SYS_RESOURCE is missing: the container must be privileged)`);
}

function verdict(what: string, result: ExecResult, codeMax: number): Result<void, string> {
  const { code, stdout, stderr, failure } = result;
  if (failure !== undefined) return err(failure);
  if (code <= codeMax) return ok(undefined);
  const said = oneLine(stderr) || oneLine(stdout) || 'no message';
  return err(`${what} ended with code ${String(code)}: ${said}`);
}
