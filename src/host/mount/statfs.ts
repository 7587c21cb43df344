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
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';

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
  return new Promise((resolve) => {
    const child = start(path);
    if (child instanceof Error) {
      hanging.delete(path);
      resolve(err({ kind: 'failed', detail: `cannot run stat: ${child.message}` }));
      return;
    }
    let stdout = '';
    let stderr = '';
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      const detail = `${path}: statfs did not answer within ${String(timeoutMs)} ms`;
      resolve(err({ kind: 'timeout', detail }));
    }, timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('exit', () => hanging.delete(path));
    child.on('error', (error) => {
      hanging.delete(path);
      clearTimeout(timer);
      resolve(err({ kind: 'failed', detail: `cannot run stat: ${error.message}` }));
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      const usage = code === 0 ? parseStatfs(stdout) : undefined;
      const detail = stderr.trim() || `stat -f ${path} said "${stdout.trim()}"`;
      resolve(usage === undefined ? err({ kind: 'failed', detail }) : ok(usage));
    });
  });
}

/** Where memory is short `spawn` throws; other errors are an event. */
function start(path: string): ChildProcessByStdio<null, Readable, Readable> | Error {
  try {
    return spawn('stat', ['-f', '-c', FORMAT, '--', path], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' },
    });
  } catch (cause) {
    return cause as Error;
  }
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
