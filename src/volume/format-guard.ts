/**
 * May this volume be formatted (D9)? Only if our own reads, through the volume itself, show zeros at its head
 * and its tail, no path erred meanwhile, and the record says that it was never formatted, not even
 * begun: an interrupted mkfs here may have been followed by a good one on another node.
 */
import { err, ok, type Result } from '../base/result.ts';
import type { BlockSource, IoError } from '../ports/block.ts';
import type { FormatState } from './record/record.ts';

/** How much of each end must be zero; file systems and volume managers keep their labels there. */
const HEAD_BYTES = 4 * 1024 * 1024;
const TAIL_BYTES = 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;

export type FormatVerdict =
  { readonly mayFormat: true } | { readonly mayFormat: false; readonly reason: string };

function refused(reason: string): FormatVerdict {
  return { mayFormat: false, reason };
}

function read(source: BlockSource, offset: number, data: Buffer): Promise<Result<void, IoError>> {
  return new Promise((resolve) => {
    const { length } = data;
    const done = (error: IoError | undefined): void =>
      resolve(error === undefined ? ok(undefined) : err(error));
    source.submit({ kind: 'read', offset, length, data, fua: false, done });
  });
}

/** Offset of the first byte that is not zero; undefined: all are. */
async function firstNonZero(
  source: BlockSource,
  from: number,
  to: number,
): Promise<Result<number | undefined, IoError>> {
  for (let offset = from; offset < to; offset += CHUNK_BYTES) {
    const data = Buffer.alloc(Math.min(CHUNK_BYTES, to - offset), 0xff);
    const done = await read(source, offset, data);
    if (!done.ok) return done;
    const at = data.findIndex((byte) => byte !== 0);
    if (at >= 0) return ok(offset + at);
  }
  return ok(undefined);
}

/** Reads both ends. `record` is the format state on disk; `pathErrors` counts path errors so far. */
export async function judgeFormat(
  source: BlockSource,
  record: FormatState,
  pathErrors: () => number,
): Promise<FormatVerdict> {
  if (source.readOnly) return refused('the volume is read-only');
  if (record === 'done') return refused('this node has formatted it before');
  if (record === 'started') {
    return refused(
      'an earlier mkfs on this node was interrupted; if the volume holds nothing, wipe it ' +
        '(wipefs -a) and run "priority-path forget VOLUME" on this node',
    );
  }
  const before = pathErrors();
  const { sizeBytes } = source;
  const headEnd = Math.min(HEAD_BYTES, sizeBytes);
  const ends: readonly (readonly [number, number])[] = [
    [0, headEnd],
    [Math.max(headEnd, sizeBytes - TAIL_BYTES), sizeBytes],
  ];
  for (const [from, to] of ends) {
    const found = await firstNonZero(source, from, to);
    if (!found.ok) return refused(`reading it failed with ${found.error}`);
    if (found.value !== undefined) {
      return refused(`it is not blank: data at byte ${String(found.value)}`);
    }
  }
  if (pathErrors() !== before) return refused('a path failed while it was being read; try again');
  return { mayFormat: true };
}
