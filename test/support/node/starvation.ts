/**
 * How long a process had to wait for a processor. A bound on what the product does in a second is a
 * bound on the product, not on what else the machine was busy with: tests that measure real time add
 * what the kernel says the process lost (second number of schedstat, nanoseconds spent runnable on a
 * run queue). On an idle machine that is next to nothing, and the bound is the bound.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Milliseconds that all threads of these processes have waited so far; threads that ended count not. */
export function waitedForCpuMs(pids: readonly number[]): number {
  let waitedNs = 0;
  for (const pid of pids) {
    const tasks = `/proc/${String(pid)}/task`;
    for (const task of readdirSync(tasks)) {
      waitedNs += Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[1]);
    }
  }
  return waitedNs / 1e6;
}

/** The same for the first thread of each process alone: the event loop of a Node program. */
export function eventLoopWaitedMs(pids: readonly number[]): number {
  const waits = pids.map((pid) => readFileSync(`/proc/${String(pid)}/schedstat`, 'utf8'));
  return waits.reduce((sum, text) => sum + Number(text.split(' ')[1]), 0) / 1e6;
}
