/** What torture and its worker tell each other, over the IPC channel of a child process. */
import type { IoKind } from '../../src/ports/block.ts';
import type { Debt } from '../../src/volume/record/debt.ts';
import type { VolumePath } from '../../src/volume/link/path-board.ts';
import type { SwitchReport } from '../../src/volume/switch/switch-report.ts';

export interface WorkerConfig {
  readonly stateDir: string;
  readonly paths: readonly VolumePath[];
  readonly policy: Readonly<Record<string, string>>;
  readonly singleNode: boolean;
  readonly initiatorName: string;
  /** Of earlier holders, as the claim has them. */
  readonly debts: readonly Debt[];
  /** The claim was taken from a node that never released it. */
  readonly taken: boolean;
}

/** What an operator does to a volume that serves. */
export type Order =
  | { readonly kind: 'pin'; readonly path: string }
  | { readonly kind: 'drain'; readonly path: string; readonly drained: boolean }
  | {
      readonly kind: 'reconfigure';
      readonly paths: readonly VolumePath[];
      readonly policy: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'expand' };

export type ToWorker =
  | { readonly kind: 'start'; readonly config: WorkerConfig }
  | {
      readonly kind: 'io';
      readonly id: number;
      readonly op: IoKind;
      /** In sectors. */
      readonly at: number;
      readonly sectors: number;
      readonly value: number;
      readonly fua: boolean;
    }
  | { readonly kind: 'order'; readonly order: Order }
  /** The operator lifts the bans of these paths. */
  | { readonly kind: 'readmit'; readonly paths: readonly string[] }
  /** The claim is still this node's. */
  | { readonly kind: 'confirm' }
  /** It is not any more. */
  | { readonly kind: 'disown' }
  | { readonly kind: 'status' }
  | { readonly kind: 'close' };

export type News =
  | { readonly kind: 'switched'; readonly report: Omit<SwitchReport, 'at'> }
  | { readonly kind: 'banned'; readonly path: string; readonly detail: string }
  | { readonly kind: 'held'; readonly what: 'fence' | 'record'; readonly why: string }
  /** Is the volume still this node's? */
  | { readonly kind: 'questioned' }
  | { readonly kind: 'failed'; readonly why: string };

/** So many sectors one after the other show this value, or, when torn, these. */
export type Run = readonly [sectors: number, ...values: number[]];

export type FromWorker =
  | {
      readonly kind: 'started';
      readonly problem: string | undefined;
      /** What the volume can do beyond reads, writes and flushes. */
      readonly offers: readonly IoKind[];
      /** What is left of the debts of earlier holders. */
      readonly unpaid: readonly Debt[];
    }
  | {
      readonly kind: 'done';
      readonly id: number;
      readonly error: string | undefined;
      /** Of a read: what its sectors showed. */
      readonly seen: readonly Run[];
    }
  | { readonly kind: 'ordered'; readonly order: string; readonly outcome: string }
  | { readonly kind: 'news'; readonly news: News }
  | { readonly kind: 'status'; readonly text: string }
  | { readonly kind: 'disowned' }
  /** With what may still take effect. */
  | { readonly kind: 'closed'; readonly debts: readonly Debt[] };

/** A register, bytes. */
export const SECTOR = 512;
/** Of a block of 4 KiB. */
export const BLOCK_SECTORS = 8;
/** Values of a torn sector that are told. */
const MOST_VALUES = 4;

/** Sectors that show the value wherever one looks. */
export function filled(sectors: number, value: number): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(value);
  return Buffer.alloc(sectors * SECTOR, word);
}

/** What each sector shows; those that follow each other and show the same are one run. */
export function runsOf(data: Buffer): readonly Run[] {
  const runs: { sectors: number; values: readonly number[] }[] = [];
  for (let at = 0; at < data.length; at += SECTOR) {
    const values = valuesOf(data.subarray(at, at + SECTOR));
    const last = runs.at(-1);
    if (last?.values.length === 1 && values.length === 1 && last.values[0] === values[0]) {
      last.sectors++;
    } else runs.push({ sectors: 1, values });
  }
  return runs.map(({ sectors, values }) => [sectors, ...values]);
}

/** The other way. */
export function sectorsOf(runs: readonly Run[]): readonly (readonly number[])[] {
  return runs.flatMap(([sectors, ...values]) => Array.from({ length: sectors }, () => values));
}

/** Every word of a sector is looked at. */
function valuesOf(sector: Buffer): readonly number[] {
  const first = sector.readUInt32LE(0);
  if (sector.compare(sector, 4, SECTOR, 0, SECTOR - 4) === 0) return [first];
  const values = new Set<number>();
  for (let at = 0; at < SECTOR; at += 4) values.add(sector.readUInt32LE(at));
  return [...values].slice(0, MOST_VALUES);
}
