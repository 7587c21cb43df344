/**
 * A long-running child program of a test: its log is kept (the last lines, for the message when
 * something fails), it can be stopped, killed, frozen, and it does not outlive this process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const TAIL_LINES = 60;

export class ChildProgram {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #tail: string[] = [];
  readonly #listeners = new Set<(line: string) => void>();
  #ended: string | undefined;

  /** Starts it in a process group of its own, with the given variables added to the environment. */
  constructor(name: string, argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.name = name;
    const [program = '', ...args] = argv;
    this.#child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...env },
    });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.#tail.push(line);
        if (this.#tail.length > TAIL_LINES) this.#tail.shift();
        for (const listener of this.#listeners) listener(line);
      });
    }
    process.on('exit', this.#killAtExit);
    this.#child.on('error', (error) => (this.#ended = error.message));
    this.#child.on('exit', (code, signal) => {
      this.#ended = signal === null ? `exit code ${String(code)}` : `signal ${signal}`;
      process.off('exit', this.#killAtExit);
    });
  }

  readonly #killAtExit = (): void => {
    this.#child.kill('SIGKILL');
  };

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.#ended === undefined;
  }

  /** How it ended: "exit code 0", "signal SIGKILL"; undefined while it runs. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** The last lines it wrote to stdout and stderr. */
  get tail(): readonly string[] {
    return this.#tail;
  }

  /** Calls back for every further line; returns how to stop that. */
  onLine(listener: (line: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** SIGTERM; SIGKILL after `timeoutMs`. Returns false if it had to be killed. */
  async stop(timeoutMs = 10_000): Promise<boolean> {
    if (!this.running) return true;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    let polite = true;
    const timer = setTimeout(() => {
      polite = false;
      this.#child.kill('SIGKILL');
    }, timeoutMs);
    await exit;
    clearTimeout(timer);
    return polite;
  }

  /** A crash: SIGKILL, resolves when the process is gone. */
  async kill(): Promise<void> {
    if (!this.running) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  /** Message for a failure: what happened, how it ended, its last words. */
  postMortem(what: string): string {
    const state = this.#ended === undefined ? 'running' : this.#ended;
    const last = this.#tail.slice(-15).map((line) => `  ${line.slice(0, 300)}`);
    return [`${this.name} ${what} (${state})`, ...last].join('\n');
  }
}
