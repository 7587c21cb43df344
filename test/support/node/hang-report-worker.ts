/**
 * The thread of hang-report.ts. Of every task that waits in the kernel without a way out (state D), and of
 * every process that the test has started: state, where in the kernel it waits, and for whom.
 */
import { readFileSync, readdirSync, writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

const { what, everyMs, pid } = workerData as { what: string; everyMs: number; pid: number };
const STACK_LINES = 12;

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
};
const list = (path: string): string[] => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};
const field = (status: string, name: string): string =>
  new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? '';

/** The test's process and everything below it. */
function family(parents: ReadonlyMap<string, string>): Set<string> {
  const members = new Set([String(pid)]);
  for (let before = 0; before < members.size;) {
    before = members.size;
    for (const [child, parent] of parents) if (members.has(parent)) members.add(child);
  }
  return members;
}

function* tasks(): Generator<string> {
  const ids = list('/proc').filter((name) => /^\d+$/.test(name));
  const parents = new Map(ids.map((id) => [id, field(read(`/proc/${id}/status`), 'PPid')]));
  const ours = family(parents);
  for (const id of ids) {
    const command = read(`/proc/${id}/cmdline`).slice(0, 160) || `[${read(`/proc/${id}/comm`)}]`;
    for (const task of list(`/proc/${id}/task`)) {
      const folder = `/proc/${id}/task/${task}`;
      const state = field(read(`${folder}/status`), 'State');
      const isChild = ours.has(id) && id !== String(pid);
      const stack = read(`${folder}/stack`).split('\n').slice(0, STACK_LINES);
      const isIdle = task !== id && /^\[<0>\] (futex|do_epoll|do_signal_stop)/.test(stack[0] ?? '');
      if (state !== 'D' && (!ours.has(id) || isIdle)) continue;
      if (state === 'R' && !isChild) continue;
      yield `${id}/${task} parent ${parents.get(id) ?? '?'} ${state} ${read(`${folder}/wchan`)}: ${command}`;
      for (const line of stack) yield `    ${line}`;
    }
  }
}

function* devices(): Generator<string> {
  for (const name of list('/sys/block').filter((one) => one.startsWith('loop'))) {
    const file = read(`/sys/block/${name}/loop/backing_file`);
    if (file !== '') yield `${name} of ${file}, in flight ${read(`/sys/block/${name}/inflight`)}`;
  }
  for (const id of list('/sys/fs/fuse/connections')) {
    const waiting = read(`/sys/fs/fuse/connections/${id}/waiting`);
    yield `FUSE connection ${id}: ${waiting} requests wait`;
  }
  for (const line of read('/proc/self/mountinfo').split('\n')) {
    if (/ - fuse|\/dev\/loop/.test(line)) yield line;
  }
  yield (
    read('/proc/meminfo')
      .match(/^(Dirty|Writeback|MemAvailable):.*$/gm)
      ?.join('  ') ?? ''
  );
  yield `load ${read('/proc/loadavg')}`;
}

let round = 0;
setInterval(() => {
  round += 1;
  const head = `${what} has not ended after ${String((round * everyMs) / 1000)} s; what waits:`;
  writeSync(2, [head, ...tasks(), ...devices(), ''].join('\n'));
}, everyMs);
