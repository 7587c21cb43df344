/**
 * The worker from outside: started, told things, killed. Only the process started here is ever signalled.
 * With `broken` it runs with that rule of the product switched off (test/mutation).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FromWorker, ToWorker } from './messages.ts';

const WORKER = new URL('worker.ts', import.meta.url).pathname;
const HOOK = new URL('../mutation/register.ts', import.meta.url).href;

export class WorkerHandle {
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  /** Told of whatever it says. */
  hear: (message: FromWorker) => void;
  #complaint = '';
  alive = true;
  /** It ended and nobody had told it to. */
  endedByItself = false;

  constructor(broken: string | undefined, hear: (message: FromWorker) => void) {
    const child = spawn(process.execPath, ['--import', HOOK, WORKER], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, SOURCE_PATCHES: broken ?? '' },
    });
    this.#child = child;
    this.hear = hear;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-2_000);
    });
    child.on('message', (message) => {
      if (this.alive) this.hear(message as FromWorker);
    });
    this.#gone = once(child, 'exit').then(() => {
      this.endedByItself = this.alive;
      this.alive = false;
    });
    process.on('exit', this.#endWithUs);
  }

  /** What it had to say when it ended by itself; empty: nothing. */
  get complaint(): string {
    return this.#complaint;
  }

  /** Resolves when the process is gone, whoever ended it. */
  get gone(): Promise<unknown> {
    return this.#gone;
  }

  tell(message: ToWorker): void {
    if (this.alive && this.#child.connected) this.#child.send(message, () => undefined);
  }

  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  /** kill -9. Nothing that it says is heard any more. */
  async kill(): Promise<void> {
    this.alive = false;
    this.#child.kill('SIGKILL');
    await this.#gone;
    process.off('exit', this.#endWithUs);
  }

  readonly #endWithUs = (): void => {
    this.#child.kill('SIGKILL');
  };
}
