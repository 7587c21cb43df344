/**
 * The product under test: `pathd` and `csi` as the two processes they are in production, started from
 * src/main.ts over sockets in a folder of their own. Only these two are ever signalled, by pid.
 *
 * They run in process groups of their own: Ctrl-C in a terminal is for the test or demo, which then
 * takes them down in order. `stop` ends them politely, `kill` is the crash.
 */
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { enter, enterCgroup } from '../targets/netns.ts';
import { ChildProgram } from './plugin-process.ts';

export interface PluginOptions {
  /** Folder for sockets and state; must exist. Short: a unix socket's path has 107 bytes. */
  readonly folder: string;
  /** Default `fast`. */
  readonly policy?: 'default' | 'fast' | 'bench';
  readonly nodeId?: string;
  readonly rack?: string;
  readonly room?: string;
  /** Default: one made of this process's pid. */
  readonly initiatorName?: string;
  /** Network namespace that pathd and csi run in (netns.ts). */
  readonly netns?: string;
  /** Default info. */
  readonly logLevel?: 'debug';
  /** Folder of a cgroup that both run in. */
  readonly cgroup?: string;
  /** Further flags of pathd and of csi, by name. */
  readonly pathdFlags?: Readonly<Record<string, string>>;
  readonly csiFlags?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const READY_MS = 15_000;

export class Plugin {
  readonly pathdEndpoint: string;
  readonly csiEndpoint: string;
  /** What pathd keeps in the run directory: FUSE mounts, sockets. */
  readonly runDir: string;
  /** Where pathd keeps secrets of attached volumes. */
  readonly secretDir: string;
  readonly #options: PluginOptions;
  #pathd: ChildProgram | undefined;
  #csi: ChildProgram | undefined;

  private constructor(options: PluginOptions) {
    this.#options = options;
    const { folder } = options;
    this.runDir = `${folder}/run`;
    this.secretDir = `${folder}/secrets`;
    this.pathdEndpoint = `unix://${folder}/pathd.sock`;
    this.csiEndpoint = `unix://${folder}/csi.sock`;
  }

  /** Starts both; resolves when both answer on their sockets. */
  static async start(options: PluginOptions): Promise<Plugin> {
    const plugin = new Plugin(options);
    try {
      await plugin.startPathd();
      await plugin.startCsi();
    } catch (error) {
      await plugin.stop();
      throw error;
    }
    return plugin;
  }

  get pathd(): ChildProgram {
    if (this.#pathd === undefined) throw new Error('pathd was not started');
    return this.#pathd;
  }

  get csi(): ChildProgram {
    if (this.#csi === undefined) throw new Error('csi was not started');
    return this.#csi;
  }

  /** Path of csi's socket, as a kubelet knows it. */
  get csiSocket(): string {
    return socketPath(this.csiEndpoint);
  }

  /** (Again) after `pathd.kill()` or `pathd.stop()`. */
  async startPathd(): Promise<void> {
    const { folder, policy = 'fast', initiatorName, pathdFlags } = this.#options;
    const iqn = initiatorName ?? `iqn.2026-01.io.prioritypath.test:node-${String(process.pid)}`;
    this.#pathd = this.#spawn('pathd', {
      'run-dir': this.runDir,
      'secret-dir': this.secretDir,
      'state-dir': `${folder}/state-pathd`,
      endpoint: this.pathdEndpoint,
      'initiator-name': iqn,
      policy,
      ...pathdFlags,
    });
    await this.#ready(this.#pathd, this.pathdEndpoint);
  }

  async startCsi(): Promise<void> {
    const { folder, nodeId = 'node-a', rack = 'r1', room = 'm1', csiFlags } = this.#options;
    this.#csi = this.#spawn('csi', {
      endpoint: this.csiEndpoint,
      pathd: this.pathdEndpoint,
      'state-dir': `${folder}/state-csi`,
      'node-id': nodeId,
      rack,
      room,
      ...csiFlags,
    });
    await this.#ready(this.#csi, this.csiEndpoint);
  }

  #spawn(subcommand: string, flags: Readonly<Record<string, string>>): ChildProgram {
    const { netns, cgroup, logLevel = 'info', env = {} } = this.#options;
    const words = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
    const log = ['--log-format', 'json', '--log-level', logLevel];
    const argv = [process.execPath, MAIN, subcommand, ...words, ...log];
    const inside = [
      ...(cgroup === undefined ? [] : enterCgroup(cgroup)),
      ...(netns === undefined ? [] : enter(netns)),
    ];
    return new ChildProgram(subcommand, [...inside, ...argv], env);
  }

  async #ready(child: ChildProgram, endpoint: string): Promise<void> {
    const until = Date.now() + READY_MS;
    while (!(await accepts(socketPath(endpoint)))) {
      if (!child.running) throw new Error(child.postMortem('ended before it was ready'));
      if (Date.now() > until) throw new Error(child.postMortem('was not ready in 15 s'));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** csi first, then pathd; each is killed when it does not end within `timeoutMs`. */
  async stop(timeoutMs = 10_000): Promise<void> {
    await this.#csi?.stop(timeoutMs);
    await this.#pathd?.stop(timeoutMs);
  }

  /** Last lines of both logs, for the message of a failed test. */
  get logTail(): string {
    const logs = [this.#pathd, this.#csi].map((child) => child?.postMortem('') ?? '');
    return logs.filter((text) => text !== '').join('\n');
  }
}

function socketPath(endpoint: string): string {
  return endpoint.replace(/^unix:(\/\/)?/, '');
}

async function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
