/**
 * A process that is killed must not wait for itself.
 *
 * When a process ends, the kernel releases its open files in the order of falling numbers (close_files queues,
 * task_work_run takes the last one first). The last close of a block device writes its page cache back first
 * (bdev_release). Where /dev/fuse is not released yet, this write back waits for a server that is gone: the process
 * stays in state D for ever, its container never ends, and no other container can be started. Once /dev/fuse is
 * released the kernel aborts the connection, and the write back fails at once.
 *
 * So the descriptor on the loop device has a lower number than that on /dev/fuse. Numbers are reserved for it
 * before /dev/fuse is opened, for open(2) gives the lowest number that is free.
 */
import { closeSync, openSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * While the device is opened, sockets and other threads open files too, and take the lowest number. So more
 * numbers are reserved than one is needed.
 */
const RESERVED = 8;
/** A file that took a number may be closed again. */
const TRIES = 20;
const PAUSE_MS = 5;

/** A device that hangs does not keep the others waiting for longer. */
const TURN_MS = 1000;

/** One device is opened at a time: two of them would take each other's numbers, and keep them. */
let turn: Promise<unknown> = Promise.resolve();

export class LowDescriptor {
  /** Of the file that must have the higher number. */
  readonly above: number;
  #reserved: readonly number[];

  private constructor(above: number, reserved: readonly number[]) {
    this.above = above;
    this.#reserved = reserved;
  }

  /** Opens `path` with the flags of open(2), with lower numbers reserved. Throws what open(2) fails with. */
  static below(path: string, flags: number): LowDescriptor {
    const reserved: number[] = [];
    const opened: number[] = [];
    try {
      while (reserved.length < RESERVED) reserved.push(openSync('/dev/null', 'r'));
      // Another thread may have closed a file with a lower number just now.
      do opened.push(openSync(path, flags));
      while ((opened.at(-1) ?? 0) < Math.max(...reserved));
    } catch (cause) {
      closeAll([...reserved, ...opened]);
      throw cause;
    }
    const above = opened.pop() ?? 0;
    closeAll(opened);
    return new LowDescriptor(above, reserved);
  }

  /** Opens `path` for reading with a reserved number; with a higher number where no lower one is free. */
  async open(path: string): Promise<FileHandle> {
    const opening = turn.then(() => this.#open(path));
    const isLong = turn.then(() => delay(TURN_MS, undefined, { ref: false }));
    turn = Promise.race([opening.catch(() => undefined), isLong]);
    return opening;
  }

  /** The numbers are not needed any more. */
  release(): void {
    closeAll(this.#reserved);
    this.#reserved = [];
  }

  async #open(path: string): Promise<FileHandle> {
    this.release();
    for (let tries = 1; ; tries++) {
      const file = await open(path, 'r');
      if (file.fd < this.above || tries === TRIES) return file;
      await file.close();
      await delay(PAUSE_MS);
    }
  }
}

function closeAll(descriptors: readonly number[]): void {
  for (const fd of descriptors) closeSync(fd);
}
