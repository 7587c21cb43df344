/**
 * Files whose storage can be made slow, hang, and lose what it held: the back end of a gateway whose
 * front end is well. FUSE files of a process of their own (slow-file-child.ts); the data is in the file
 * behind, so that another gateway may have that one directly. Open them past the page cache (O_DIRECT;
 * `direct` of a Target), or the kernel answers reads from what it has seen before.
 *
 * A write that hangs keeps its inode locked: those behind it wait in the kernel, and a process that
 * waits there cannot even be killed before `letGo` or `drop`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('slow-file-child.ts', import.meta.url));

export class SlowFiles {
  /** What to use in place of each file given, in that order. */
  readonly paths: readonly string[];
  readonly #mounts: readonly string[];
  readonly #child: ChildProcess;
  readonly #waiting: (() => void)[] = [];

  private constructor(files: readonly string[]) {
    this.#mounts = files.map((file) => `${file}.slow`);
    this.paths = this.#mounts.map((mount) => `${mount}/disk`);
    for (const mount of this.#mounts) mkdirSync(mount, { recursive: true });
    const words = files.flatMap((file, index) => [file, this.#mounts[index] ?? '']);
    this.#child = spawn(process.execPath, [CHILD, ...words], {
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    this.#child.stdin?.on('error', () => undefined);
    createInterface({ input: this.#child.stdout! }).on('line', () => this.#waiting.shift()?.());
  }

  static async start(...files: readonly string[]): Promise<SlowFiles> {
    const slow = new SlowFiles(files);
    await slow.#answered();
    return slow;
  }

  /** Every request takes this long from now on, ms. */
  delay(ms: number): Promise<void> {
    return this.#order(`delay ${String(ms)}`);
  }

  /** Every write and every flush does, from now on. */
  delayWrites(ms: number): Promise<void> {
    return this.#order(`delaywrites ${String(ms)}`);
  }

  /** Requests are taken and neither answered nor carried out, until `letGo` or `drop`. */
  hang(): Promise<void> {
    return this.#order('hang');
  }

  /** What was held is carried out, later requests at once. */
  letGo(): Promise<void> {
    return this.#order('letgo');
  }

  /** What was held, and what comes until `letGo`, never happens: it is answered with EIO. */
  drop(): Promise<void> {
    return this.#order('drop');
  }

  /** Takes the files away; whoever has them open gets errors. */
  async close(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await exit;
    clearTimeout(timer);
    for (const mount of this.#mounts) rmdirSync(mount);
  }

  #order(line: string): Promise<void> {
    this.#child.stdin?.write(`${line}\n`);
    return this.#answered();
  }

  #answered(): Promise<void> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('the process of the slow files ended'));
      this.#child.once('exit', ended);
      this.#waiting.push(() => {
        this.#child.off('exit', ended);
        resolve();
      });
    });
  }
}
