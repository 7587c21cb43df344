/**
 * statfs(2) that cannot hang us.
 *
 * On a filesystem whose device does not answer, statfs may block in the kernel. Node's own
 * `fs.statfs` would then keep one of libuv's four threads for as long as that lasts; four such
 * volumes and no file can be opened any more. So a child does it (`stat -f`, coreutils), with a
 * time limit, after which it is killed and not waited for. A child stuck in the kernel cannot be
 * killed either: as long as one is there for a path, no second one is started, so they do not pile
 * up.
 */
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import { exec } from '../exec.ts';

export interface FilesystemUsage {
  readonly totalBytes: number;
  readonly usedBytes: number;
  /** What an unprivileged writer can still use: less than total - used. */
  readonly availableBytes: number;
  readonly totalInodes: number;
  readonly usedInodes: number;
  readonly availableInodes: number;
}

export interface StatfsError {
  /**
   * timeout: the filesystem does not answer; failed: it answered with an error, or is not there.
   */
  readonly kind: 'timeout' | 'failed';
  readonly detail: string;
}

const FORMAT = '%S %b %f %a %c %d';
/** Paths that a child of ours still hangs on. */
const hanging = new Set<string>();

/** Usage of the filesystem at `path`, or an error after `timeoutMs` at the latest. */
export function statfs(
  path: string,
  timeoutMs: number,
): Promise<Result<FilesystemUsage, StatfsError>> {
  if (hanging.has(path)) {
    const detail = `${path}: an earlier statfs is still waiting for the device`;
    return Promise.resolve(err({ kind: 'timeout', detail }));
  }
  hanging.add(path);
  return ask(path, timeoutMs);
}

async function ask(path: string, timeoutMs: number): Promise<Result<FilesystemUsage, StatfsError>> {
  const child = { isGone: false };
  const { code, stdout, stderr, failure } = await exec('stat', ['-f', '-c', FORMAT, '--', path], {
    timeoutMs,
    onGone: () => {
      child.isGone = true;
      hanging.delete(path);
    },
  });
  if (!child.isGone) {
    const detail = `${path}: statfs did not answer within ${String(timeoutMs)} ms`;
    return err({ kind: 'timeout', detail });
  }
  const usage = code === 0 ? parseStatfs(stdout) : undefined;
  const said = failure ?? stderr.trim();
  const detail = said || `stat -f ${path} said "${stdout.trim()}"`;
  return usage === undefined ? err({ kind: 'failed', detail }) : ok(usage);
}

/** `stat -f -c '%S %b %f %a %c %d'`: block size, blocks, free, available, inodes, free inodes. */
export function parseStatfs(line: string): FilesystemUsage | undefined {
  const match = /^(\d+) (\d+) (\d+) (\d+) (\d+) (\d+)\s*$/.exec(line);
  if (match === null) return undefined;
  const [blockSize = 0, blocks = 0, free = 0, available = 0, inodes = 0, freeInodes = 0] = match
    .slice(1)
    .map(Number);
  return {
    totalBytes: blocks * blockSize,
    usedBytes: (blocks - free) * blockSize,
    availableBytes: available * blockSize,
    totalInodes: inodes,
    usedInodes: inodes - freeInodes,
    availableInodes: freeInodes,
  };
}
