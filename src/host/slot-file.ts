/**
 * A small file that is written in place, so that a write needs no free block and no inode (D35): it has
 * the space of two slots (record-slots.ts) from the moment at which it is made. On a full disk the file
 * cannot be made; a write to a file that is there does not fail for lack of space. (A file system that
 * copies on write, as btrfs, needs a free block all the same.)
 *
 * A text that needs more than half of a slot has the file made anew, larger, ahead of time; where there is no
 * room for that it is written in place as long as it fits.
 */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { err, ok, type Result } from '../base/result.ts';
import { type FileError, fileError, removeWhole, writeWhole } from './durable-file.ts';
import { encodeSlot, newestSlot, type SlotIndex, slotBytesFor } from './record-slots.ts';

/** A record of 16 paths with everything that can be said of them is a quarter of it. */
const SLOT_BYTES = 64 * 1024;

/** What is in the file, as far as is known. */
interface Layout {
  readonly slotBytes: number;
  /** The slot that holds the latest text that is certainly on disk. */
  readonly latest: SlotIndex;
}

export class SlotFile {
  readonly path: string;
  /** Undefined: not read yet; 'none': there is no file. */
  #layout: Layout | 'none' | undefined;
  /** The largest that a slot can have: those of writes that failed count. */
  #generation = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** The text; undefined: there is no file; 'damaged': neither slot is whole. */
  async read(): Promise<Result<{ readonly text: string } | 'none' | 'damaged', FileError>> {
    let file: Buffer;
    try {
      file = await readFile(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        return err(fileError(this.path, error));
      this.#layout = 'none';
      return ok('none');
    }
    const slot = newestSlot(file);
    if (slot === undefined) return ok('damaged');
    this.#layout = { slotBytes: file.length / 2, latest: slot.index };
    this.#generation = Math.max(this.#generation, slot.generation);
    return ok({ text: slot.text });
  }

  /** On stable storage when it resolves well. After a failure either text may be there. */
  async write(text: string): Promise<Result<void, FileError>> {
    if (this.#layout === undefined) {
      const found = await this.read();
      if (!found.ok) return found;
      if (found.value === 'damaged') {
        return err({ kind: 'io', detail: `${this.path}: neither slot can be read` });
      }
    }
    const layout = this.#layout;
    const needed = slotBytesFor(text);
    if (layout === undefined || layout === 'none') return this.#make(text, SLOT_BYTES);
    if (needed > layout.slotBytes / 2) {
      const made = await this.#make(text, layout.slotBytes);
      if (made.ok || needed > layout.slotBytes) return made;
    }
    return this.#writeInPlace(text, layout);
  }

  /** Fine when it is not there. */
  async remove(): Promise<Result<void, FileError>> {
    this.#layout = undefined;
    return removeWhole(this.path);
  }

  /** A new file, with room for twice the text at least in each slot. */
  async #make(text: string, atLeast: number): Promise<Result<void, FileError>> {
    let slotBytes = atLeast;
    while (slotBytes < 2 * slotBytesFor(text)) slotBytes *= 2;
    const file = Buffer.alloc(2 * slotBytes);
    encodeSlot(++this.#generation, text, slotBytes).copy(file);
    const made = await writeWhole(this.path, file);
    if (made.ok) this.#layout = { slotBytes, latest: 0 };
    return made;
  }

  async #writeInPlace(
    text: string,
    { slotBytes, latest }: Layout,
  ): Promise<Result<void, FileError>> {
    const next: SlotIndex = latest === 0 ? 1 : 0;
    const slot = encodeSlot(++this.#generation, text, slotBytes);
    let file: FileHandle | undefined;
    try {
      file = await open(this.path, 'r+');
      await writeAll(file, slot, next * slotBytes);
      await file.datasync();
    } catch (error) {
      // Removed by hand: what is to be known is to be on disk all the same.
      const isGone = (error as NodeJS.ErrnoException).code === 'ENOENT';
      return isGone ? await this.#make(text, slotBytes) : err(fileError(this.path, error));
    } finally {
      await file?.close();
    }
    this.#layout = { slotBytes, latest: next };
    return ok(undefined);
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}
