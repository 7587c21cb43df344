/**
 * A process that is killed must not wait for itself.
 *
 * When a process ends, the kernel releases its open files in the order of falling numbers (close_files queues,
 * task_work_run takes the last one first). The last close of a block device writes its page cache back first
 * (bdev_release). Where /dev/fuse is not released yet, this write back waits for a server that is gone: the process
 * stays in state D for ever, its container never ends, and no other container can be started. Once /dev/fuse is
 * released the kernel aborts the connection, and the write back fails at once.
 *
 * So the descriptor on the loop device has a lower number than that on /dev/fuse. A number is reserved for it
 * before /dev/fuse is opened, for open(2) gives the lowest number that is free.
 */
import { closeSync, openSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** Other threads open files too: one of them may have a number for a moment. */
const TRIES = 20;
const PAUSE_MS = 5;

export class LowDescriptor {
  /** Of the file that must have the higher number. */
  readonly above: number;
  #reserved: number;

  private constructor(above: number, reserved: number) {
    this.above = above;
    this.#reserved = reserved;
  }

  /** Opens `path` with the flags of open(2), with a lower number reserved. Throws what open(2) fails with. */
  static below(path: string, flags: number): LowDescriptor {
    const reserved = openSync('/dev/null', 'r');
    const opened: number[] = [];
    try {
      // Another thread may have closed a file with a lower number just now.
      do opened.push(openSync(path, flags));
      while ((opened.at(-1) ?? 0) < reserved);
    } catch (cause) {
      for (const fd of [reserved, ...opened]) closeSync(fd);
      throw cause;
    }
    const above = opened.pop() ?? reserved;
    for (const fd of opened) closeSync(fd);
    return new LowDescriptor(above, reserved);
  }

  /** Opens `path` for reading with the reserved number; with a higher number where no lower one is free. */
  async open(path: string): Promise<FileHandle> {
    this.release();
    for (let tries = 1; ; tries++) {
      const file = await open(path, 'r');
      if (file.fd < this.above || tries === TRIES) return file;
      await file.close();
      await delay(PAUSE_MS);
    }
  }

  /** The number is not needed any more. */
  release(): void {
    if (this.#reserved === -1) return;
    closeSync(this.#reserved);
    this.#reserved = -1;
  }
}
