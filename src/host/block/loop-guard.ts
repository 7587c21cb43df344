/**
 * Whether a loop device still is what it was set up as (D67).
 *
 * A pod that has a raw block volume may issue the ioctls of the loop driver on it, without any capability
 * (drivers/block/loop.c asks for an open descriptor, nothing more): direct I/O off, another block size,
 * an offset, a partition scan, a detach, another file behind a read-only device. So it is looked at from
 * time to time, in sysfs, which costs microseconds and never blocks; but for the block size, which is asked
 * for by a child (queue-attributes.ts).
 *
 * What losetup(8) can put back is put back, a few times. After that, and for what it cannot put back, the
 * device is lost: I/O must not go on at a shifted offset, or with a tenant's partition table in the
 * node's kernel.
 *
 * The file is compared by its path, and the path of a file in a container may read like ours. So the
 * server is asked as well: when the loop device lets go of our file, the last open of it ends.
 */
import type { DeviceVerdict } from '../../ports/block.ts';
import { exec } from '../exec.ts';
import { askSysfs, type LoopDevice, readLoop } from './loop.ts';

/** What a device is set up as. */
export interface LoopSetup {
  readonly path: string;
  readonly backingFile: string;
  readonly sectorBytes: number;
}

/** What the kernel shows of it now. */
export interface LoopNow {
  readonly backingFile: string;
  readonly directIo: boolean;
  readonly partscan: boolean;
  readonly offset: number;
  readonly sizeLimit: number;
  /** Undefined: the kernel does not say. */
  readonly sectorBytes: number | undefined;
  /** A detach was asked for. */
  readonly autoclear: boolean;
}

export type LoopVerdict =
  | { readonly kind: 'fine' }
  /** Arguments of losetup that put it right. */
  | { readonly kind: 'changed'; readonly what: string; readonly mend: readonly string[] }
  | { readonly kind: 'lost'; readonly why: string };

/** Changes that are put back; a tenant that goes on loses the volume. */
const MEND_MAX = 3;
/** losetup waits for the I/O under way, which may be held for as long as no path lives. */
const MEND_TIMEOUT_MS = 10_000;

/** `now` undefined: no file is attached to it. Pure. */
export function judgeLoop(setup: LoopSetup, now: LoopNow | undefined): LoopVerdict {
  const { path, backingFile, sectorBytes } = setup;
  const lost = (why: string): LoopVerdict => ({ kind: 'lost', why: `${path} ${why}` });
  if (now === undefined) return lost('was detached (LOOP_CLR_FD)');
  if (now.backingFile !== backingFile) {
    return lost(`shows ${now.backingFile}, not ${backingFile} (LOOP_CHANGE_FD)`);
  }
  if (now.offset !== 0 || now.sizeLimit !== 0) {
    const shift = `offset ${String(now.offset)}, size limit ${String(now.sizeLimit)}`;
    return lost(`was shifted (LOOP_SET_STATUS: ${shift})`);
  }
  if (now.partscan) return lost('was told to scan for partitions (LOOP_SET_STATUS: PARTSCAN)');
  if (now.sectorBytes !== undefined && now.sectorBytes !== sectorBytes) {
    const what = `${path} was given blocks of ${String(now.sectorBytes)} bytes (LOOP_SET_BLOCK_SIZE)`;
    return { kind: 'changed', what, mend: [`--sector-size=${String(sectorBytes)}`, path] };
  }
  if (!now.directIo) {
    const what = `direct I/O of ${path} was switched off (LOOP_SET_DIRECT_IO)`;
    return { kind: 'changed', what, mend: ['--direct-io=on', path] };
  }
  return { kind: 'fine' };
}

/** What else is asked for at each look. */
export interface LoopQuestions {
  /** How often the backing file is open, as its server knows. */
  readonly openFiles: () => number;
  /** Logical block size in bytes; undefined where the kernel does not say. */
  readonly blockSize: () => Promise<number | undefined>;
}

/** Looks after one device of ours. */
export class LoopGuard {
  readonly #setup: LoopSetup;
  readonly #name: string;
  readonly #questions: LoopQuestions;
  #mended = 0;
  #toldOfDetach = false;

  constructor(loop: LoopDevice, sectorBytes: number, questions: LoopQuestions) {
    const { path, backingFile } = loop;
    this.#setup = { path, backingFile, sectorBytes };
    this.#name = loop.name;
    this.#questions = questions;
  }

  /** A detach is our own: nothing is told. */
  expectDetach(): void {
    this.#toldOfDetach = true;
  }

  async inspect(): Promise<DeviceVerdict> {
    const now = await this.#look();
    // The next look tells: a node short of memory or of descriptors is no tenant that tampers.
    if (now === 'unknown') return { kind: 'fine' };
    const verdict = judgeLoop(this.#setup, now);
    if (verdict.kind === 'changed') return this.#mend(verdict.what, verdict.mend);
    if (verdict.kind === 'fine' && this.#questions.openFiles() === 0) {
      const why = `${this.#setup.path} shows another file than the volume's (LOOP_CHANGE_FD)`;
      return { kind: 'lost', why };
    }
    if (verdict.kind === 'lost') return verdict;
    if (now?.autoclear !== true || this.#toldOfDetach) return { kind: 'fine' };
    this.#toldOfDetach = true;
    const what = `a detach of ${this.#setup.path} was asked for (LOOP_CLR_FD)`;
    return { kind: 'restored', what: `${what}; the device stays` };
  }

  async #mend(what: string, args: readonly string[]): Promise<DeviceVerdict> {
    if (this.#mended === MEND_MAX) {
      const why = `${what}, and was put back ${String(MEND_MAX)} times before`;
      return { kind: 'lost', why };
    }
    this.#mended++;
    const done = await exec('losetup', args, { timeoutMs: MEND_TIMEOUT_MS });
    const now = await this.#look();
    const isSeen = now !== 'unknown' && now?.sectorBytes !== undefined;
    const after = now === 'unknown' ? undefined : judgeLoop(this.#setup, now);
    if (after?.kind === 'lost') return after;
    if (after?.kind === 'fine' && isSeen)
      return { kind: 'restored', what: `${what}; it was put back` };
    const reason = done.failure ?? (done.stderr.trim() || 'the kernel does not take it');
    return { kind: 'restored', what: `${what}; putting it back failed (${reason}): tried again` };
  }

  /** Undefined: nothing is attached to it. */
  async #look(): Promise<LoopNow | 'unknown' | undefined> {
    const number = async (attribute: string): Promise<number> =>
      Number((await askSysfs(this.#name, attribute)) ?? 0);
    try {
      const loop = await readLoop(this.#name, askSysfs);
      if (loop === undefined) return undefined;
      return {
        ...loop,
        partscan: (await number('loop/partscan')) !== 0,
        offset: await number('loop/offset'),
        sizeLimit: await number('loop/sizelimit'),
        sectorBytes: await this.#questions.blockSize(),
      };
    } catch {
      return 'unknown';
    }
  }
}
