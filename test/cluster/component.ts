/**
 * A long-lived program of the cluster: started in the cluster's cgroup and network namespace, in a
 * session of its own
 * (Ctrl-C at the terminal must not reach it before the pods are gone), its output in a log file. It
 * can be stopped, killed, frozen and started again with the same arguments.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { enter, enterCgroup } from '../support/targets/netns.ts';
import { programs } from './cgroups.ts';
import { systemEnv } from './process.ts';

export interface ComponentOptions {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly cgroup: string;
  /** Network namespace to run in. */
  readonly netns: string;
  /** Resolves when it serves; polled until then. Rejections mean "not yet". */
  readonly probe: () => Promise<unknown>;
  readonly readyLimitMs: number;
  /** SIGKILL follows SIGTERM after this, ten seconds unless told. */
  readonly stopGraceMs?: number;
}

const POLL_MS = 100;

export class Component {
  readonly name: string;
  readonly logFile: string;
  readonly #options: ComponentOptions;
  #child: ChildProcess | undefined;

  constructor(options: ComponentOptions) {
    this.#options = options;
    this.name = options.name;
    this.logFile = options.logFile;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} is not running`);
    return pid;
  }

  /** Starts it and waits until it serves; rejects with the end of its log when it does not. */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`${this.name} runs already`);
    const { program, args, cgroup, netns, logFile } = this.#options;
    const inside = [...enterCgroup(programs(cgroup)), ...enter(netns)];
    const [first = '', ...words] = [...inside, program, ...args];
    const log = openSync(logFile, 'a');
    const child = spawn(first, words, {
      stdio: ['ignore', log, log],
      detached: true,
      env: systemEnv(),
    });
    closeSync(log);
    child.on('error', () => undefined); // it has no pid then, which the wait below sees
    child.on('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    this.#child = child;
    await this.#ready(child);
  }

  async #ready(child: ChildProcess): Promise<void> {
    const { probe, readyLimitMs } = this.#options;
    const until = performance.now() + readyLimitMs;
    for (;;) {
      if (this.#child !== child || child.pid === undefined) {
        throw new Error(`${this.name} ended while it started:\n${this.logTail()}`);
      }
      try {
        await probe();
        return;
      } catch (error) {
        if (performance.now() > until) {
          const why = error instanceof Error ? error.message : String(error);
          const limit = `${this.name} does not serve after ${String(readyLimitMs / 1000)} s`;
          throw new Error(`${limit} (${why}):\n${this.logTail()}`, { cause: error });
        }
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** A crash. Resolves when the process is gone. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** SIGTERM, then SIGKILL when that takes too long. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), this.#options.stopGraceMs ?? 10_000);
    await gone;
    clearTimeout(late);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** SIGSTOP freezes, SIGCONT thaws. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  logTail(lines = 20): string {
    try {
      return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
    } catch {
      return '(no log)';
    }
  }
}
