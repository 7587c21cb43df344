/**
 * istgt as a second real target: another code base than tgt's, with mutual CHAP, digests and PREEMPT
 * AND ABORT. One process, one target, one logical unit at LUN 0, its configuration in a directory of
 * its own. Only processes started here are ever signalled, by their pid.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TEST_IQN } from './tgt.ts';

export interface IstgtUser {
  readonly name: string;
  readonly secret: string;
  /** What the target proves itself with. */
  readonly mutual?: { readonly name: string; readonly secret: string };
}

export interface IstgtOptions {
  /** IPv4 loopback address, or IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly backingFile: string;
  readonly sizeBytes: number;
  /** Asks for CHAP, or for mutual CHAP; default: nobody is asked. */
  readonly authentication?: 'CHAP' | 'CHAP Mutual';
  readonly users?: readonly IstgtUser[];
  /** Keys of [Global], e.g. MaxBurstLength. */
  readonly settings?: Readonly<Record<string, string>>;
}

const DEFAULTS: Readonly<Record<string, string>> = {
  MaxOutstandingR2T: '16',
  DefaultTime2Wait: '2',
  DefaultTime2Retain: '60',
  FirstBurstLength: '262144',
  MaxBurstLength: '1048576',
  MaxRecvDataSegmentLength: '262144',
  InitialR2T: 'Yes',
  ImmediateData: 'Yes',
  DataPDUInOrder: 'Yes',
  DataSequenceInOrder: 'Yes',
  ErrorRecoveryLevel: '0',
};

export class Istgt {
  readonly options: IstgtOptions;
  readonly #directory: string;
  #child: ChildProcess | undefined;

  private constructor(options: IstgtOptions) {
    this.options = options;
    this.#directory = mkdtempSync(join(tmpdir(), 'istgt-'));
  }

  static async start(options: IstgtOptions): Promise<Istgt> {
    const target = new Istgt(options);
    await target.#start();
    return target;
  }

  get iqn(): string {
    return TEST_IQN;
  }

  async #start(): Promise<void> {
    const path = join(this.#directory, 'istgt.conf');
    writeFileSync(path, this.#configuration());
    const users = join(this.#directory, 'auth.conf');
    writeFileSync(users, authorization(this.options.users ?? []));
    chmodSync(users, 0o600); // istgt wants that
    const child = spawn('istgt', ['-D', '-q', '-c', path], { stdio: 'ignore', detached: true });
    child.on('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    this.#child = child;
    process.on('exit', this.#killAtExit);
    for (let tries = 0; !(await this.#answers()); tries++) {
      if (tries === 100 || this.#isGone()) throw new Error('istgt does not start');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** A method, so that the compiler does not take an answer from before an await for granted. */
  #isGone(): boolean {
    return this.#child === undefined;
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child !== undefined) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
    process.off('exit', this.#killAtExit);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  readonly #killAtExit = (): void => {
    this.#child?.kill('SIGKILL');
  };

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.options.port, this.options.host);
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  }

  #configuration(): string {
    const { host, port, backingFile, sizeBytes, authentication, settings } = this.options;
    const isV6 = host.includes(':');
    const portal = `${isV6 ? `[${host}]` : host}:${String(port)}`;
    const global = Object.entries({ ...DEFAULTS, ...settings });
    return [
      '[Global]',
      '  NodeBase "iqn.2026-01.io.prioritypath.test"',
      `  PidFile ${join(this.#directory, 'istgt.pid')}`,
      `  AuthFile ${join(this.#directory, 'auth.conf')}`,
      `  MediaDirectory ${this.#directory}`,
      '  LogFacility "local7"',
      '  Timeout 30',
      '  NopInInterval 20',
      '  DiscoveryAuthMethod Auto',
      '  MaxSessions 16',
      '  MaxConnections 4',
      '  MaxR2T 32',
      ...global.map(([key, value]) => `  ${key} ${value}`),
      // Nobody may control it from outside; without the section it does not start.
      '[UnitControl]',
      '  AuthMethod CHAP Mutual',
      '  AuthGroup AuthGroup1',
      '[PortalGroup1]',
      `  Portal P1 ${portal}`,
      '[InitiatorGroup1]',
      '  InitiatorName "ALL"',
      isV6 ? '  Netmask [::1]/128' : '  Netmask 127.0.0.0/8',
      '[LogicalUnit1]',
      `  TargetName "${TEST_IQN}"`,
      '  TargetAlias "a second opinion"',
      '  Mapping PortalGroup1 InitiatorGroup1',
      `  AuthMethod ${authentication ?? 'None'}`,
      '  AuthGroup AuthGroup1',
      '  UseDigest Auto',
      '  UnitType Disk',
      '  UnitInquiry "PRIOPATH" "istgt" "0001" "serial-istgt"',
      '  QueueDepth 32',
      `  LUN0 Storage ${backingFile} ${String(sizeBytes / 1024 / 1024)}MB`,
      '',
    ].join('\n');
  }
}

function authorization(users: readonly IstgtUser[]): string {
  const lines = users.map(({ name, secret, mutual }) => {
    const other = mutual === undefined ? '' : ` "${mutual.name}" "${mutual.secret}"`;
    return `  Auth "${name}" "${secret}"${other}`;
  });
  return ['[AuthGroup1]', ...lines, ''].join('\n');
}
