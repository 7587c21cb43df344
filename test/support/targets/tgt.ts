/**
 * Real iSCSI targets for tests and the demo: tgtd processes, each with a portal of its own, any number
 * of them over one backing file (that is how several gateways to one logical unit are had on one
 * machine). Only processes started here are ever signalled, by their pid.
 *
 * tgt derives identifiers from tid and LUN number, so all gateways of one LU use tid 1, LUN 1 and get
 * scsi_id and scsi_sn alike; two unrelated LUNs look equal unless these are set.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, openSync, closeSync, ftruncateSync } from 'node:fs';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { enter, enterCgroup } from './netns.ts';

const run = promisify(execFile);

/** One logical unit. */
export interface UnitOptions {
  readonly backingFile: string;
  /** SCSI serial number (VPD 80h). Left out: tgt's default, equal for unrelated LUNs. */
  readonly serial?: string;
  readonly scsiId?: string;
}

/** The unit given here is LUN 1. */
export interface TargetOptions extends UnitOptions {
  /** Loopback address, or the address inside `netns`. */
  readonly host: string;
  /** More addresses of the same target, on the same port: several paths to one device server. */
  readonly otherHosts?: readonly string[];
  readonly port: number;
  readonly iqn?: string;
  /** LUN 2 and so on. */
  readonly moreUnits?: readonly UnitOptions[];
  /** Network namespace to run in. */
  readonly netns?: string;
  /** Folder of a cgroup to run in: whoever ends that cgroup ends the target. */
  readonly cgroup?: string;
  /** Logical block size, 512 unless told. */
  readonly blockSize?: 512 | 4096;
  /** tgt backing store type: rdwr (default), null, aio. */
  readonly store?: string;
  /** The backing file is opened past the page cache: somebody else writes to it as well. */
  readonly direct?: boolean;
  /** `tgtadm --op update --mode logicalunit --params` of every LUN, e.g. "thin_provisioning=1". */
  readonly params?: string;
  /** `tgtadm --op update --mode target -n NAME -v VALUE` pairs, e.g. MaxRecvDataSegmentLength. */
  readonly settings?: Readonly<Record<string, string>>;
  /** CHAP that the target asks for; `target`: and gives, to those who ask (mutual). */
  readonly account?: TargetAccount;
}

export interface TargetAccount {
  readonly user: string;
  readonly password: string;
  readonly target?: { readonly user: string; readonly password: string };
}

export const TEST_IQN = 'iqn.2026-01.io.prioritypath.test:vol';

/** A hundred for each process: runs side by side have neighbouring pids. At most 32767 (tgtd). */
let nextControl = 100 + (process.pid % 320) * 100;

/** A tgtd that can be killed, frozen and started again on the same portal. */
export class Target {
  readonly options: TargetOptions;
  #child: ChildProcess | undefined;
  #control = 0;
  #account: TargetAccount | undefined;

  constructor(options: TargetOptions) {
    this.options = options;
    this.#account = options.account;
  }

  static async start(options: TargetOptions): Promise<Target> {
    const target = new Target(options);
    await target.start();
    return target;
  }

  get iqn(): string {
    return this.options.iqn ?? TEST_IQN;
  }

  /** As in the annotation: iscsi://host:port/iqn/lun. */
  get url(): string {
    return `iscsi://${this.options.host}:${String(this.options.port)}/${this.iqn}/1`;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('target is not running');
    return pid;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error('target runs already');
    mkdirSync('/var/run/tgtd', { recursive: true });
    this.#control = nextControl++;
    const { host, port } = this.options;
    const hosts = [host, ...(this.options.otherHosts ?? [])];
    const portals = hosts.map((each) => `portal=${each}:${String(port)}`).join(',');
    const args = ['-f', '-C', String(this.#control), '--iscsi', portals];
    const { netns, cgroup } = this.options;
    const [program = '', ...all] = [
      ...(cgroup === undefined ? [] : enterCgroup(cgroup)),
      ...(netns === undefined ? [] : enter(netns)),
      ...['tgtd', ...args],
    ];
    const child = spawn(program, all, { stdio: 'ignore', detached: true });
    child.on('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    this.#child = child;
    process.on('exit', this.#killAtExit);
    await this.#configure();
  }

  /** Sends a signal: SIGKILL is a crash, SIGSTOP freezes, SIGCONT thaws. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Kills the process and waits until its portal refuses. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    this.#child = undefined;
    process.off('exit', this.#killAtExit);
  }

  readonly #killAtExit = (): void => {
    this.#child?.kill('SIGKILL');
  };

  /** Another account instead of the one it has; sessions that are up stay. Survives a restart. */
  async changeAccount(account: TargetAccount): Promise<void> {
    const old = this.#account;
    for (const user of [old?.user, old?.target?.user]) {
      if (user !== undefined) await this.#accountAdmin('delete', '--user', user);
    }
    this.#account = account;
    await this.#addAccount(account);
  }

  async #addAccount({ user, password, target }: TargetAccount): Promise<void> {
    await this.#accountAdmin('new', '--user', user, '--password', password);
    await this.#accountAdmin('bind', '--tid', '1', '--user', user);
    if (target === undefined) return;
    await this.#accountAdmin('new', '--user', target.user, '--password', target.password);
    await this.#accountAdmin('bind', '--tid', '1', '--user', target.user, '--outgoing');
  }

  async #accountAdmin(operation: string, ...words: string[]): Promise<void> {
    await this.admin('--op', operation, '--mode', 'account', ...words);
  }

  /** tgtadm against this daemon. */
  async admin(...args: string[]): Promise<string> {
    const all = ['-C', String(this.#control), '--lld', 'iscsi', ...args];
    const { stdout } = await run('tgtadm', all, { timeout: 10_000 });
    return stdout;
  }

  async #configure(): Promise<void> {
    await this.#retry(() => this.admin('--op', 'show', '--mode', 'sys'));
    const { moreUnits = [], settings } = this.options;
    await this.admin('--op', 'new', '--mode', 'target', '--tid', '1', '-T', this.iqn);
    for (const [index, unit] of [this.options, ...moreUnits].entries()) {
      await this.#addUnit(index + 1, unit);
    }
    for (const [name, value] of Object.entries(settings ?? {})) {
      await this.admin('--op', 'update', '--mode', 'target', '--tid', '1', '-n', name, '-v', value);
    }
    if (this.#account !== undefined) await this.#addAccount(this.#account);
    await this.admin('--op', 'bind', '--mode', 'target', '--tid', '1', '-I', 'ALL');
    if (this.options.netns === undefined) await this.#retry(() => this.#answers());
  }

  async #addUnit(number: number, unit: UnitOptions): Promise<void> {
    const lun = ['--mode', 'logicalunit', '--tid', '1', '--lun', String(number)];
    const { backingFile, serial, scsiId } = unit;
    const { blockSize, store, direct, params } = this.options;
    const create = ['--op', 'new', ...lun, '-b', backingFile, '--bstype', store ?? 'rdwr'];
    if (blockSize !== undefined) create.push('--blocksize', String(blockSize));
    if (direct === true) create.push('--bsoflags', 'direct');
    await this.admin(...create);
    const identity = [
      ...(serial === undefined ? [] : [`scsi_sn=${serial}`]),
      ...(scsiId === undefined ? [] : [`scsi_id=${scsiId}`]),
      ...(params === undefined ? [] : [params]),
    ].join(',');
    if (identity !== '') await this.admin('--op', 'update', ...lun, '--params', identity);
  }

  async #answers(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(this.options.port, this.options.host);
      socket.once('connect', () => {
        socket.destroy();
        resolve();
      });
      socket.once('error', reject);
    });
  }

  async #retry<T>(attempt: () => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (tries === 100 || this.#child === undefined) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}

/** Makes a sparse backing file. */
export function makeBackingFile(path: string, sizeBytes: number): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeBytes);
  closeSync(fd);
}
