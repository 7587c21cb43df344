/** What torture and its worker tell each other, over the IPC channel of a child process. */
import type { VolumePath } from '../../src/volume/path-board.ts';
import type { SwitchReport } from '../../src/volume/switch-report.ts';

export interface WorkerConfig {
  readonly stateDir: string;
  readonly paths: readonly VolumePath[];
  readonly policy: Readonly<Record<string, string>>;
  readonly singleNode: boolean;
}

export type ToWorker =
  | { readonly kind: 'start'; readonly config: WorkerConfig }
  | {
      readonly kind: 'io';
      readonly id: number;
      readonly op: 'read' | 'write' | 'flush';
      /** In blocks of 4 KiB. */
      readonly at: number;
      readonly blocks: number;
      readonly value: number;
    }
  /** The operator lifts the bans of these paths. */
  | { readonly kind: 'readmit'; readonly paths: readonly string[] }
  | { readonly kind: 'status' }
  | { readonly kind: 'close' };

export type News =
  | { readonly kind: 'switched'; readonly report: Omit<SwitchReport, 'at'> }
  | { readonly kind: 'banned'; readonly path: string; readonly detail: string }
  | { readonly kind: 'held'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string };

export type FromWorker =
  | { readonly kind: 'started'; readonly problem: string | undefined }
  | {
      readonly kind: 'done';
      readonly id: number;
      readonly error: string | undefined;
      /** Of a read: the values that each register showed, one or, when torn, two. */
      readonly seen: readonly (readonly number[])[];
    }
  | { readonly kind: 'news'; readonly news: News }
  | { readonly kind: 'status'; readonly text: string }
  | { readonly kind: 'closed' };

/** A block of an operation, bytes. */
export const BLOCK = 4096;
const SECTOR = 512;
/** Offsets in a block of what is a register: its first sector and its last. */
export const REGISTERS = [0, BLOCK - SECTOR] as const;

/** A block that shows the value wherever one looks. */
export function fillBlock(block: Buffer, value: number): void {
  for (let at = 0; at < block.length; at += SECTOR) {
    block.writeUInt32LE(value, at);
    block.writeUInt32LE(value, at + SECTOR - 4);
  }
}

/** Both ends of the sector at `at`. */
export function valuesAt(block: Buffer, at: number): readonly number[] {
  const first = block.readUInt32LE(at);
  const last = block.readUInt32LE(at + SECTOR - 4);
  return first === last ? [first] : [first, last];
}
