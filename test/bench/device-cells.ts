/**
 * The cells of `bench:device`: what fio does to our device and to the peer's. A cell that writes is
 * measured twice on the peer: as it comes (write-back), and with each write on stable storage, as ours is.
 */
import type { FioOptions } from '../support/load/fio.ts';

export type Mode = 'randread' | 'randwrite' | 'randrw';

export interface DeviceCell {
  readonly name: string;
  readonly mode: Mode;
  readonly blockSize: number;
  /** On each device. */
  readonly depth: number;
  /** Devices at the same time. */
  readonly volumes: number;
  /** One of the eight that the means are of. */
  readonly isPlain: boolean;
}

/** How many volumes the last rows have. */
export const VOLUMES = 8;
const READ_PERCENT = 70;
const MIB = 1024 * 1024;
/** Of each volume: a job and iscsi-perf, which takes the whole unit, read the same blocks. */
export const UNIT_BYTES = 128 * MIB;
const WORDS: Readonly<Record<Mode, string>> = {
  ...{
    randread: 'read',
    randwrite: 'write',
    randrw: `mixed ${READ_PERCENT}/${100 - READ_PERCENT}`,
  },
};

function cell(kib: number, mode: Mode, depth: number, volumes = 1): DeviceCell {
  const several = volumes === 1 ? '' : `, ${String(volumes)} volumes`;
  return {
    name: `${String(kib)} KiB ${WORDS[mode]} QD${String(depth)}${several}`,
    ...{ mode, blockSize: kib * 1024, depth, volumes },
    isPlain: volumes === 1 && mode !== 'randrw' && depth !== 4,
  };
}

/** In the order in which they are measured. */
export const DEVICE_CELLS: readonly DeviceCell[] = [
  ...[4, 128].flatMap((kib) =>
    [1, 32].flatMap((depth) => [cell(kib, 'randread', depth), cell(kib, 'randwrite', depth)]),
  ),
  ...[cell(4, 'randread', 4), cell(4, 'randwrite', 4), cell(4, 'randrw', 32)],
  ...[cell(4, 'randread', 4, VOLUMES), cell(4, 'randwrite', 4, VOLUMES)],
];

/** The cells whose name has all the words. */
export function cellsWith(words: readonly string[]): readonly DeviceCell[] {
  return DEVICE_CELLS.filter(({ name }) =>
    words.every((word) => name.replace(',', '').split(' ').includes(word)),
  );
}

/** Does it write, so that "as it comes" and "on stable storage" differ? */
export function writes({ mode }: DeviceCell): boolean {
  return mode !== 'randread';
}

export function stableName({ name }: DeviceCell): string {
  return `${name}, stable`;
}

/** The job of a cell on these devices. */
export function jobOf(
  { mode, blockSize, depth }: DeviceCell,
  [file = '', ...moreFiles]: readonly string[],
  { seconds, sync }: { readonly seconds: number; readonly sync: boolean },
): FioOptions {
  return {
    ...{ file, moreFiles, mode, blockSize, depth, sync, verify: false, runtimeSeconds: seconds },
    sizeBytes: moreFiles.length === 0 ? UNIT_BYTES : 32 * MIB,
    ...(mode === 'randrw' ? { readPercent: READ_PERCENT } : {}),
  };
}
