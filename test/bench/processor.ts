/**
 * Processor time of programs: every thread of every process, by the kernel's schedstat, in nanoseconds.
 * A thread that ends between two looks is lost: neither side of a bench ends threads under load.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Nanoseconds on a processor so far, by `pid/tid`. */
export type ThreadTimes = ReadonlyMap<string, number>;

/** First number of a schedstat: time on a processor, ns. */
export function ranNs(schedstat: string): number {
  const ns = Number(schedstat.trim().split(' ')[0]);
  if (schedstat.trim() === '' || !(ns >= 0)) throw new Error(`schedstat: ${schedstat}`);
  return ns;
}

export function threadTimes(pids: readonly number[]): ThreadTimes {
  const times = new Map<string, number>();
  for (const pid of pids) {
    for (const tid of listed(`/proc/${String(pid)}/task`)) {
      const text = readable(`/proc/${String(pid)}/task/${tid}/schedstat`);
      if (text !== undefined) times.set(`${String(pid)}/${tid}`, ranNs(text));
    }
  }
  return times;
}

/** Of the process's first thread alone; tgtd's is the only one that reads and writes its sockets. */
export function firstThreadMs(pid: number): number {
  return ranNs(readFileSync(`/proc/${String(pid)}/schedstat`, 'utf8')) / 1e6;
}

/** Microseconds on a processor between two looks; a thread that is new counts from its start. */
export function usedUs(before: ThreadTimes, after: ThreadTimes): number {
  let ns = 0;
  for (const [thread, time] of after) ns += time - (before.get(thread) ?? 0);
  return ns / 1000;
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Undefined: the thread has ended. */
function readable(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
