/**
 * A gateway of `--targets embedded`, with the face of support/targets/tgt.ts: a process that can be killed and
 * started again on the same portal. Only the process started here is ever signalled.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface EmbeddedOptions {
  readonly host: string;
  readonly port: number;
  readonly backingFile: string;
  readonly iqn: string;
  readonly serial: string;
}

const CHILD = new URL('embedded-child.ts', import.meta.url).pathname;

export class EmbeddedTarget {
  readonly #options: EmbeddedOptions;
  #child: ChildProcess | undefined;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
  }

  get url(): string {
    const { host, port, iqn } = this.#options;
    return `iscsi://${host}:${port}/${iqn}/1`;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  async start(): Promise<void> {
    const { host, port, backingFile, iqn, serial } = this.#options;
    const args = [CHILD, host, String(port), backingFile, iqn, serial];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
    child.on('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    this.#child = child;
    for await (const line of createInterface(child.stdout)) if (line === 'up') return;
    throw new Error(`the embedded target at ${host} ends: ${complaint.slice(0, 400)}`);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    this.#child = undefined;
  }
}
