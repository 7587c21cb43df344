/**
 * A csi server with the pathd double behind it and a kubelet in front, in a directory of its own; and
 * the certainty that no mount, loop device or process of a test outlives it, whatever the test did.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { LogFields, Logger } from '../../../src/base/log.ts';
import type { ConfigMapName } from '../../../src/csi/cluster/maintenance-watch.ts';
import { type CsiServer, createCsiServer } from '../../../src/csi/grpc-server.ts';
import { parseMountInfo } from '../../../src/host/mount/mountinfo.ts';
import type { Credentials } from '../../../src/kubernetes/credentials.ts';
import { DEFAULT_TOPOLOGY_KEYS } from '../../../src/kubernetes/keys.ts';
import type { Topology } from '../../../src/kubernetes/topology.ts';
import { DEFAULT_WEIGHTS } from '../../../src/kubernetes/topology.ts';
import { CsiDouble } from './csi-double.ts';
import { reportHang } from './hang-report.ts';
import { type Kubelet, type VolumeCapability, codeName, connectKubelet } from './kubelet.ts';

export const run = promisify(execFile);

export const MIB = 1 << 20;
/** mkfs.xfs refuses less than 300 MiB; sparse, so it costs nothing. */
export const XFS_BYTES = 320 * MIB;
export const EXT4_BYTES = 64 * MIB;

const IQN = 'iqn.2026-01.io.prioritypath.test:vol';
export const CONTEXT = { 'path.prioritypath.io/p0': `iscsi://127.0.0.1/${IQN}/1` };

/** A node of a cluster instead of a lone one. */
export interface BenchCluster {
  readonly credentials: () => Promise<Credentials>;
  readonly node: string;
  readonly maintenance?: ConfigMapName;
}

const ALONE: Topology = { rack: 'r1', room: 'a' };
const BY_LABELS: Topology = { rack: undefined, room: undefined };

export class CsiBench {
  readonly dir: string;
  readonly pathd: CsiDouble;
  readonly stateDir: string;
  /** Every log line, fields and message, as one text. */
  readonly logged: string[] = [];
  kubelet: Kubelet;
  #server: CsiServer;
  readonly #children: ChildProcess[] = [];
  readonly #path = process.env['PATH'] ?? '';

  readonly #cluster: BenchCluster | undefined;
  readonly #endReports: () => Promise<void>;

  private constructor(dir: string, sizeBytes: number, cluster: BenchCluster | undefined) {
    this.dir = dir;
    this.#endReports = reportHang(`a test with ${dir}`);
    this.#cluster = cluster;
    this.stateDir = join(dir, 'state');
    mkdirSync(join(dir, 'images'));
    this.pathd = new CsiDouble(join(dir, 'images'), sizeBytes);
    this.#server = this.#makeServer();
    this.kubelet = connectKubelet(this.socket);
  }

  static async open(sizeBytes = EXT4_BYTES, cluster?: BenchCluster): Promise<CsiBench> {
    const bench = new CsiBench(mkdtempSync('/dev/shm/csi-bench-'), sizeBytes, cluster);
    await bench.#server.start();
    return bench;
  }

  get socket(): string {
    return join(this.dir, 'csi.sock');
  }

  get staging(): string {
    return join(this.dir, 'staging');
  }

  target(name = 'pod-1'): string {
    return join(this.dir, 'pods', name);
  }

  /** Ends csi and starts another on the same state, as an upgrade does. */
  async restart(): Promise<void> {
    this.kubelet.close();
    await this.#server.stop(1_000);
    this.#server = this.#makeServer();
    await this.#server.start();
    this.kubelet = connectKubelet(this.socket);
  }

  /** Connections and requests of csi to the API server. */
  get counters(): { readonly connections: number; readonly requests: number } {
    return this.#server.cluster?.counters ?? { connections: 0, requests: 0 };
  }

  async stage(
    volumeId: string,
    volumeCapability: VolumeCapability,
    volumeContext: Readonly<Record<string, string>> = CONTEXT,
    secrets: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    mkdirSync(this.staging, { recursive: true });
    const stagingTargetPath = this.staging;
    const request = { volumeId, stagingTargetPath, volumeCapability, volumeContext, secrets };
    await this.kubelet.stage(request);
  }

  async publish(
    volumeId: string,
    volumeCapability: VolumeCapability,
    pod = 'pod-1',
    readonly = false,
  ): Promise<void> {
    mkdirSync(join(this.dir, 'pods'), { recursive: true });
    await this.kubelet.publish({
      volumeId,
      volumeCapability,
      stagingTargetPath: this.staging,
      targetPath: this.target(pod),
      volumeContext: CONTEXT,
      readonly,
    });
  }

  /**
   * What the kubelet does with a published raw block volume: a bind mount of its own, on which it
   * asks for stats. Resolves with that path.
   */
  async mapBlock(volumeId: string, pod: string): Promise<string> {
    const folder = join(this.dir, 'plugins/kubernetes.io/csi/volumeDevices', volumeId, 'dev');
    mkdirSync(folder, { recursive: true });
    const path = join(folder, pod);
    writeFileSync(path, '');
    await run('mount', ['--bind', this.target(pod), path]);
    return path;
  }

  async unpublish(volumeId: string, pod = 'pod-1'): Promise<void> {
    await this.kubelet.unpublish({ volumeId, targetPath: this.target(pod) });
  }

  async unstage(volumeId: string): Promise<void> {
    await this.kubelet.unstage({ volumeId, stagingTargetPath: this.staging });
  }

  /** Device of an attached volume. */
  device(volumeId: string): string {
    const device = this.pathd.device(volumeId);
    if (device === undefined) throw new Error(`${volumeId} is not attached`);
    return device;
  }

  /** Proof that an image was not written. */
  digest(volumeId: string): string {
    return createHash('sha256')
      .update(readFileSync(this.pathd.image(volumeId)))
      .digest('hex');
  }

  /** Where something is mounted below this bench's directory. */
  mounts(): string[] {
    return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))
      .map((entry) => entry.mountPoint)
      .filter((path) => path.startsWith(`${this.dir}/`));
  }

  /** Puts a shell script in front of a program of the system. */
  fakeProgram(name: string, script: string): void {
    const bin = join(this.dir, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
    process.env['PATH'] = `${bin}:${this.#path}`;
  }

  /** Only programs that were faked can be found. */
  hideOtherPrograms(): void {
    process.env['PATH'] = join(this.dir, 'bin');
  }

  restorePrograms(): void {
    process.env['PATH'] = this.#path;
  }

  /** A process that is ended with the bench. */
  spawn(program: string, args: string[], stdin: number | 'ignore' = 'ignore'): ChildProcess {
    const child = spawn(program, args, { stdio: [stdin, 'ignore', 'ignore'] });
    this.#children.push(child);
    return child;
  }

  async close(): Promise<void> {
    this.restorePrograms();
    for (const child of this.#children) await end(child);
    this.kubelet.close();
    await this.#server.stop(500);
    for (const path of this.mounts().reverse()) await run('umount', [path]).catch(() => undefined);
    await this.pathd.crash();
    if (this.mounts().length === 0) rmSync(this.dir, { recursive: true, force: true });
    await this.#endReports();
  }

  #makeServer(): CsiServer {
    const say = (fields: LogFields, message: string): void =>
      void this.logged.push(`${message} ${JSON.stringify(fields)}`);
    const log: Logger = { debug: say, info: say, warn: say, error: say };
    const kubernetes =
      this.#cluster === undefined
        ? {}
        : {
            kubernetes: {
              ...this.#cluster,
              topologyKeys: DEFAULT_TOPOLOGY_KEYS,
              policyDefaults: {},
            },
          };
    return createCsiServer({
      ...kubernetes,
      endpoint: `unix://${this.socket}`,
      stateDir: this.stateDir,
      pathdEndpoint: 'unix:///double',
      nodeId: this.#cluster?.node ?? 'node-1',
      topology: this.#cluster === undefined ? ALONE : BY_LABELS,
      weights: DEFAULT_WEIGHTS,
      pathd: this.pathd,
      log,
      maxVolumes: 128,
      version: '0.1.0-test',
    });
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

/** The code and message a call was refused with; throws when it was not. */
export async function refusal(call: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await call;
  } catch (error) {
    const code = codeName(error);
    if (code === undefined) throw error;
    return { code, message: (error as { details: string }).details };
  }
  throw new Error('the call succeeded');
}
