/**
 * How many threads libuv's pool must have: some for files, DNS lookups and zlib; and where /dev/fuse is
 * not read in the event loop (fuse-trial.ts), some for each volume.
 *
 * Every reader parked on /dev/fuse holds a pool thread for as long as the volume lives. With a pool of 4
 * threads, the default, one volume with four readers would stop every `readFile` of the process, our own
 * detach included, for ever.
 *
 * libuv reads UV_THREADPOOL_SIZE when the first piece of work is queued, and on Node 24 loading ESM
 * queues none (measured: an assignment in the entry file works, after static imports too, as long
 * as none of them uses the pool while it is evaluated). So the process need not be spawned with the
 * variable in its environment: `setThreadPoolSize` as the first statement of the entry file will
 * do. libuv caps the size at 1024 and makes all threads at once; an idle one costs its stack, 8 MiB
 * of address space of which a few KiB are resident.
 */
import { availableParallelism } from 'node:os';

/** Parked readers per volume (measured: more than two gain nothing, one loses at queue depth). */
export const FUSE_READERS_PER_VOLUME = 2;

/** Threads for everything else: files, getaddrinfo, zlib. */
const OTHER_THREADS = 8;

/** Largest pool that libuv makes. */
const LIBUV_MAX_THREADS = 1024;

/** Pool size for a process that serves up to `volumes` volumes with parked readers at the same time. */
export function threadPoolSize(volumes: number): number {
  const wanted = volumes * FUSE_READERS_PER_VOLUME + OTHER_THREADS + availableParallelism();
  return Math.min(wanted, LIBUV_MAX_THREADS);
}

/**
 * Sizes the pool of this process. Only effective before anything used the pool. A larger value that
 * the environment already has is left alone.
 */
export function setThreadPoolSize(volumes: number): void {
  const current = Number(process.env['UV_THREADPOOL_SIZE'] ?? 0);
  const wanted = threadPoolSize(volumes);
  if (!(current >= wanted)) process.env['UV_THREADPOOL_SIZE'] = String(wanted);
}

/**
 * What `--max-volumes` says among the words of a command that is not parsed yet; 100 without it. Both
 * spellings count, and the last one wins, as for the parser that comes later.
 */
export function volumesAskedFor(argv: readonly string[]): number {
  const values = argv.flatMap((word, at) => {
    if (word === '--max-volumes') return [argv[at + 1]];
    return word.startsWith('--max-volumes=') ? [word.slice(word.indexOf('=') + 1)] : [];
  });
  const asked = Number(values.at(-1));
  return asked >= 1 ? asked : 100;
}

/** Size of this process's pool, by the rule of libuv. */
function currentThreadPoolSize(): number {
  const text = process.env['UV_THREADPOOL_SIZE'];
  if (text === undefined) return 4;
  return Math.min(Math.max(Number.parseInt(text, 10) || 1, 1), LIBUV_MAX_THREADS);
}

/**
 * Whether one more volume leaves threads for anything else. Two are the least that makes progress;
 * without this check the process would stop without a word.
 */
export function hasThreadsFor(volumes: number): boolean {
  return volumes * FUSE_READERS_PER_VOLUME + 2 <= currentThreadPoolSize();
}
