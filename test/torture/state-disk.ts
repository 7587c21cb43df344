/**
 * The file system that a worker keeps its record on: a small one of its own, in memory, that can be full.
 * What has its space already can be written in place; whatever needs a free block cannot.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SIZE = '256k';
const PAGE = Buffer.alloc(4096, 0xba);

export class StateDisk {
  readonly path = mkdtempSync(join(tmpdir(), 'torture-state-'));
  readonly #ballast = join(this.path, 'ballast');
  #mounted = false;

  constructor() {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=0700`, 'tmpfs', this.path]);
    this.#mounted = true;
    process.on('exit', this.close);
  }

  /** Not a block is free from now on. */
  fill(): void {
    const file = openSync(this.#ballast, 'a');
    try {
      for (;;) writeSync(file, PAGE);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(this.#ballast, { force: true });
  }

  readonly close = (): void => {
    if (!this.#mounted) return;
    this.#mounted = false;
    process.off('exit', this.close);
    // A signal to the whole group ends the first one: what else is to be taken away must have its turn.
    for (let tries = 0; tries < 3; tries++) {
      if (spawnSync('umount', ['--lazy', this.path]).status === 0) break;
    }
    rmSync(this.path, { recursive: true, force: true });
  };
}
