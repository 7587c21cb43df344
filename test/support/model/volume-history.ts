/**
 * Was that a register? The history of a run in virtual time, put to the checker (register-checker.ts):
 * each write has a value of its own, discard and write-zeroes leave zeros.
 */
import { type Operation, RegisterChecker } from './register-checker.ts';
import type { Io } from './volume-world.ts';

export interface Recorded {
  readonly io: Io;
  readonly value: number;
  /** Order of submission and of the answer, on one counter: finer than milliseconds. */
  readonly start: number;
  end: number;
  /** Values read, a block each. */
  seen: readonly number[];
}

interface Moment {
  readonly at: number;
  readonly tell: () => string | undefined;
}

/**
 * What is wrong, a line for each block; empty: linearizable. `settled`: from when on writes that were
 * never answered have taken effect or never will.
 */
export function checkHistory(
  history: readonly Recorded[],
  blocks: number,
  settled: readonly number[] = [],
): string[] {
  const checker = new RegisterChecker(blocks);
  const moments: Moment[] = history.flatMap((recorded) => momentsOf(recorded, blocks, checker));
  for (const at of settled) {
    const tell = (): undefined => {
      checker.settle(at);
    };
    moments.push({ at, tell });
  }
  // Not by a difference: those never answered end at Infinity.
  moments.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  return moments.map(({ tell }) => tell()).filter((problem) => problem !== undefined);
}

function momentsOf(recorded: Recorded, blocks: number, checker: RegisterChecker): Moment[] {
  const { io, value, start, end, seen } = recorded;
  if (io.kind === 'flush') return [];
  const kind = io.kind === 'read' ? 'read' : 'write';
  const good = io.answers > 0 && io.error === undefined;
  const moments: Moment[] = [];
  for (let block = io.lba; block < Math.min(blocks, io.lba + io.blocks); block++) {
    let operation: Operation;
    const begin = (): undefined => {
      operation = checker.begin({ kind, block, value, start });
    };
    const tellEnd = (): string | undefined => {
      if (!good) {
        checker.lose(operation, end);
        return undefined;
      }
      const wrong = checker.end(
        operation,
        end,
        kind === 'read' ? [seen[block - io.lba] ?? -1] : [],
      );
      return wrong && `block ${String(block)}: ${wrong.what}`;
    };
    moments.push({ at: start, tell: begin }, { at: end, tell: tellEnd });
  }
  return moments;
}
