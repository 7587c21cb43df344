/**
 * Was the machine idle beside the bench? Before a cell: all that its processors do while the programs of
 * the bench wait. During a run: what processes use that are not of the bench's tree, and what the host of
 * a virtual machine keeps back (steal). Threads of the kernel count as the bench's then: loop, FUSE and
 * the network work in them.
 *
 * Ticks are hundredths of a second; parts are of all processors together, 0 to 1.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Others may have this part of the machine; above it the ratios are those of a busy machine. */
export const IDLE_LIMIT = 0.05;

/** Set in the flags of a thread of the kernel: PF_KTHREAD. */
const KERNEL_THREAD = 0x20_0000;

export interface Ticks {
  readonly all: number;
  readonly idle: number;
  readonly stolen: number;
}

export interface ProcessTicks {
  readonly pid: number;
  readonly parent: number;
  readonly isKernel: boolean;
  /** User and system time, its own and that of the children it has waited for. */
  readonly ticks: number;
}

/** One look at the machine. */
export interface Look {
  readonly machine: Ticks;
  /** Of the processes that are not of the bench. */
  readonly others: number;
}

/** What the processors did between two looks. */
export interface Load {
  readonly busy: number;
  readonly others: number;
  readonly stolen: number;
}

/** First line of /proc/stat: `cpu user nice system idle iowait irq softirq steal guest guest_nice`. */
export function parseStat(text: string): Ticks {
  const [label, ...numbers] = (text.split('\n')[0] ?? '').split(/ +/u);
  const ticks = numbers.slice(0, 8).map(Number);
  if (label !== 'cpu' || ticks.length < 8 || ticks.some((value) => !(value >= 0))) {
    throw new Error(`/proc/stat begins with ${text.slice(0, 80)}`);
  }
  const [, , , idle = 0, iowait = 0, , , stolen = 0] = ticks;
  return { all: ticks.reduce((sum, value) => sum + value, 0), idle: idle + iowait, stolen };
}

/** /proc/PID/stat; the name of the program may hold anything, brackets and spaces too. */
export function parseProcess(text: string): ProcessTicks {
  const end = text.lastIndexOf(')');
  // From the third field on: state, parent, …; see proc(5).
  const fields = text.slice(end + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  const ticks = field(14) + field(15) + field(16) + field(17);
  if (end < 0 || !(ticks >= 0)) throw new Error(`not a /proc/PID/stat: ${text.slice(0, 80)}`);
  const isKernel = (field(9) & KERNEL_THREAD) !== 0;
  return { pid: Number.parseInt(text, 10), parent: field(4), isKernel, ticks };
}

/** The process itself and what it has started, directly or not. */
export function treeOf(root: number, processes: readonly ProcessTicks[]): ReadonlySet<number> {
  const tree = new Set([root]);
  for (let size = 0; size !== tree.size;) {
    size = tree.size;
    for (const { pid, parent } of processes) if (tree.has(parent)) tree.add(pid);
  }
  return tree;
}

/** Ticks of the processes that neither belong to the tree of `root` nor to the kernel. */
export function ticksOfOthers(root: number, processes: readonly ProcessTicks[]): number {
  const ours = treeOf(root, processes);
  const others = processes.filter(({ pid, isKernel }) => !isKernel && !ours.has(pid));
  return others.reduce((sum, { ticks }) => sum + ticks, 0);
}

export function loadBetween(before: Look, after: Look): Load {
  const all = Math.max(1, after.machine.all - before.machine.all);
  const part = (ticks: number): number => Math.min(1, Math.max(0, ticks / all));
  return {
    busy: part(all - (after.machine.idle - before.machine.idle)),
    others: part(after.others - before.others),
    stolen: part(after.machine.stolen - before.machine.stolen),
  };
}

/** What belongs to others of one cell: before it all that was busy, in its runs the others and the host. */
export function foreignPart(before: Load, runs: readonly Load[]): number {
  return Math.max(before.busy, ...runs.map(({ others, stolen }) => others + stolen));
}

export interface Verdict {
  readonly isIdle: boolean;
  readonly text: string;
}

/** `parts`: of each cell, what others had of the machine. */
export function verdict(parts: readonly number[]): Verdict {
  const loud = parts.filter((part) => part > IDLE_LIMIT).length;
  const mean = parts.reduce((sum, part) => sum + part, 0) / parts.length;
  const figures = `others had ${percent(mean)} of it on average, ${percent(Math.max(...parts))} at most`;
  if (loud === 0) return { isIdle: true, text: `the machine was idle: ${figures}` };
  const cells = `${String(loud)} of ${String(parts.length)} cells`;
  const text = `THE MACHINE WAS BUSY in ${cells}: ${figures}; no figures to compare`;
  return { isIdle: false, text };
}

export function percent(part: number): string {
  return `${(part * 100).toFixed(part < 0.0995 ? 1 : 0)} %`;
}

export function readProcesses(): readonly ProcessTicks[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/u.test(name)) return [];
    try {
      return [parseProcess(readFileSync(`/proc/${name}/stat`, 'utf8'))];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/** This process is the bench. */
export function look(): Look {
  const machine = parseStat(readFileSync('/proc/stat', 'utf8'));
  return { machine, others: ticksOfOthers(process.pid, readProcesses()) };
}

const BEFORE_MS = 400;

/** What goes on while the bench waits. */
export async function loadBefore(): Promise<Load> {
  const before = look();
  await new Promise((resolve) => setTimeout(resolve, BEFORE_MS));
  return loadBetween(before, look());
}

export function processorsText(): string {
  return `${String(availableParallelism())} processors`;
}

const CALLS = 2000;
const ROUNDS = 9;

/**
 * What a short system call costs: reading 4 KiB of zeros. Virtual machines of one kind, and one machine on
 * two days, differ in it; processor times of two runs compare only where it is the same.
 */
function systemCallUs(): number {
  const zeros = openSync('/dev/zero', 'r');
  const buffer = Buffer.allocUnsafeSlow(4096);
  const costs = Array.from({ length: ROUNDS }, () => {
    const before = process.cpuUsage();
    for (let call = 0; call < CALLS; call++) readSync(zeros, buffer, 0, buffer.length, null);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / CALLS;
  });
  closeSync(zeros);
  return Math.min(...costs);
}

export function machineText(): string {
  return `${processorsText()}, ${systemCallUs().toFixed(2)} us a system call`;
}
