/** The cells of `bench:initiator`, and the goals that its rows are set beside. */
import { type Goal, lowest } from './goals.ts';
import type { Cell } from './initiator-load.ts';
import { geomean, type Row } from './rows.ts';

/** A file in memory; tgt's null store, which answers without touching anything. */
export const STORES = ['file', 'null'] as const;
export type Store = (typeof STORES)[number];

export interface InitiatorRow extends Row {
  readonly cell: Cell;
  /** Processor time a command, us. */
  readonly cpuUs: { readonly ours: number; readonly peer: number };
  /** What others had of the machine. */
  readonly foreign: number;
}

/** The cells of a store whose name has all the words. */
export function cells(store: Store, words: readonly string[]): Cell[] {
  return [4, 64, 128, 1024].flatMap((kib) =>
    [1, 32, 128].flatMap((depth) =>
      [false, true]
        .map((write) => {
          const size = kib === 1024 ? '1 MiB' : `${String(kib)} KiB`;
          const name = `${size} ${write ? 'write' : 'read'} QD${String(depth)}, ${store}`;
          return { name, write, size: kib * 1024, depth };
        })
        .filter(({ name }) =>
          words.every((word) => name.replace(',', '').split(' ').includes(word)),
        ),
    ),
  );
}

/** Of the reads: what writes are compared with has QEMU's block layer above libiscsi. */
export function initiatorGoals(rows: readonly InitiatorRow[]): readonly Goal[] {
  const reads = rows.filter(({ cell }) => !cell.write);
  const ratio = ({ ratio }: Row): number => ratio;
  const none = { found: undefined };
  const shallow = reads.filter(({ cell }) => cell.depth === 1);
  const deep = reads.filter(({ cell }) => cell.depth > 1);
  return [
    {
      ...{ what: 'reads, mean', wanted: 'at least', bound: 1 },
      found: reads.length === 0 ? undefined : geomean(reads),
    },
    {
      ...{ what: 'reads, lowest from queue depth 32 on', wanted: 'at least', bound: 0.95 },
      ...(lowest(deep, ratio) ?? none),
    },
    {
      ...{ what: 'reads, lowest at queue depth 1', wanted: 'at least', bound: 0.85 },
      ...(lowest(shallow, ratio) ?? none),
    },
  ];
}
