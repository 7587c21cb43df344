/**
 * Was that a register? Checks the history of every block for linearizability, given that each write has
 * a value of its own (Gibbons and Korach, "Testing shared memories", 1997: with unique values it is
 * enough that the values can be put in one order, so a cycle is the only way to fail).
 *
 * A write that was answered with an error, or never, may take effect at any time or not at all.
 * Zeros (discard, write-zeroes, the beginning) are not unique: they get the weaker rules of staleness.
 */
import type { Io } from './volume-world.ts';

interface Span {
  readonly value: number;
  readonly start: number;
  readonly end: number;
}

interface BlockHistory {
  readonly writes: Span[];
  readonly zeros: Span[];
  readonly reads: Span[];
}

export interface Recorded {
  readonly io: Io;
  readonly value: number;
  /** Order of submission and of the answer, on one counter: finer than milliseconds. */
  readonly start: number;
  end: number;
  /** Values read, a block each. */
  seen: readonly number[];
}

/** What is wrong, a line for each block; empty: linearizable. */
export function checkHistory(history: readonly Recorded[], blocks: number): string[] {
  const problems: string[] = [];
  for (let lba = 0; lba < blocks; lba++) {
    const problem = checkBlock(blockHistory(history, lba));
    if (problem !== undefined) problems.push(`block ${String(lba)}: ${problem}`);
  }
  return problems;
}

function blockHistory(history: readonly Recorded[], lba: number): BlockHistory {
  const zeros: Span[] = [{ value: 0, start: -2, end: -1 }];
  const block: BlockHistory = { writes: [], zeros, reads: [] };
  for (const { io, value, start, end, seen } of history) {
    if (lba < io.lba || lba >= io.lba + io.blocks) continue;
    const good = io.answers > 0 && io.error === undefined;
    if (io.kind === 'read') {
      if (good) block.reads.push({ value: seen[lba - io.lba] ?? -1, start, end });
      continue;
    }
    const span = { value, start, end: good ? end : Number.POSITIVE_INFINITY };
    if (io.kind === 'write') block.writes.push(span);
    else zeros.push({ ...span, value: 0 });
  }
  return block;
}

function checkBlock({ writes, zeros, reads }: BlockHistory): string | undefined {
  for (const read of reads) {
    const sources = read.value === 0 ? zeros : writes.filter(({ value }) => value === read.value);
    if (sources.length === 0) return `read ${String(read.value)}, which nobody has written`;
    const fresh = sources.some(
      (source) =>
        source.start < read.end &&
        ![...writes, ...zeros].some((later) => source.end < later.start && later.end < read.start),
    );
    if (!fresh) return `read ${String(read.value)}, which was overwritten before the read began`;
  }
  return cycle(writes, reads);
}

/** Values in the order that time imposes on them; a cycle is a contradiction. */
function cycle(writes: readonly Span[], reads: readonly Span[]): string | undefined {
  const clusters = writes
    .filter(({ value, end }) => end !== Infinity || reads.some((read) => read.value === value))
    .map((write) => {
      const mine = [write, ...reads.filter(({ value }) => value === write.value)];
      return {
        value: write.value,
        firstEnd: Math.min(...mine.map(({ end }) => end)),
        lastStart: Math.max(...mine.map(({ start }) => start)),
      };
    });
  // a before b when something of a ended before something of b began.
  for (const a of clusters) {
    for (const b of clusters) {
      if (a === b) continue;
      if (a.firstEnd < b.lastStart && b.firstEnd < a.lastStart) {
        return `${String(a.value)} and ${String(b.value)} are each before the other`;
      }
    }
  }
  return undefined;
}
