/**
 * The whole product on real parts, for tests of what matters: several tgtd over one backing file, pathd
 * and csi as processes, one volume staged and published as a kubelet would. Loopback addresses, or one
 * network namespace per target where links must be able to fail silently.
 *
 * `close` takes everything down, however far the start got, and fails when the plugin left something
 * behind.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { VolumeStatus } from '../../../src/pathd/api.ts';
import { connectPathd, type PathdClient } from '../../../src/pathd/pathd-client.ts';
import { type Rack, RackNetwork } from '../targets/netns.ts';
import { freePort, loopbackAddresses, temporaryFolder } from '../targets/ports.ts';
import { makeBackingFile, Target, type TargetAccount, type TargetOptions } from '../targets/tgt.ts';
import { connectKubelet, type Kubelet, mountCapability, type VolumeCapability } from './kubelet.ts';
import { takeStock } from './leaks.ts';
import { Plugin } from './plugin.ts';
import { waitedForCpuMs } from './starvation.ts';

const run = promisify(execFile);

export const SERIAL = 'RIG0001';

export interface RigOptions {
  /** Targets, one path each. Default 3. */
  readonly targets?: number;
  /** Each target in a network namespace of its own. */
  readonly racks?: boolean;
  /** Policy parameters; `expected-serial` is set unless `{ 'expected-serial': '' }`. */
  readonly policy?: Readonly<Record<string, string>>;
  readonly policySet?: 'default' | 'fast' | 'bench';
  readonly sizeBytes?: number;
  /** Options of single targets that differ: another backing file, another serial. */
  readonly target?: (index: number, folder: string) => Partial<TargetOptions>;
  /** Max weights; default 100, 90, 80. */
  readonly weights?: readonly number[];
  /** CHAP at every target; `stage` brings the Secret that fits. */
  readonly chap?: TargetAccount;
  /** Level of the plugin's logs; default info. */
  readonly logLevel?: 'debug';
}

/** A Secret of type kubernetes.io/iscsi-chap. */
export function secretsOf({ user, password, target }: TargetAccount): Record<string, string> {
  return {
    'node.session.auth.username': user,
    'node.session.auth.password': password,
    ...(target === undefined
      ? {}
      : {
          'node.session.auth.username_in': target.user,
          'node.session.auth.password_in': target.password,
        }),
  };
}

const WEIGHTS = [100, 90, 80];

export class Rig {
  readonly volumeId = 'pv-rig';
  readonly folder: string;
  readonly targets: Target[] = [];
  readonly racks: Rack[] = [];
  readonly #options: RigOptions;
  readonly #removeFolder: () => void;
  #network: RackNetwork | undefined;
  #plugin: Plugin | undefined;
  #pathd: PathdClient | undefined;
  #kubelet: Kubelet | undefined;
  #staged: VolumeCapability | undefined;
  #published = false;

  private constructor(options: RigOptions) {
    this.#options = options;
    const folder = temporaryFolder('pp-rig');
    this.folder = folder.path;
    this.#removeFolder = folder.remove;
  }

  static async start(options: RigOptions = {}): Promise<Rig> {
    const rig = new Rig(options);
    try {
      await rig.#startTargets();
      await rig.#startPlugin();
    } catch (error) {
      await rig.close().catch(() => undefined);
      throw error;
    }
    return rig;
  }

  get backingFile(): string {
    return `${this.folder}/disk`;
  }

  /** Where the "pod" sees the volume: a directory, or a device node for raw block. */
  get path(): string {
    return `${this.folder}/pod/volume`;
  }

  get staging(): string {
    return `${this.folder}/staging`;
  }

  get plugin(): Plugin {
    if (this.#plugin === undefined) throw new Error('the plugin is not running');
    return this.#plugin;
  }

  get kubelet(): Kubelet {
    if (this.#kubelet === undefined) throw new Error('no kubelet');
    return this.#kubelet;
  }

  get pathd(): PathdClient {
    if (this.#pathd === undefined) throw new Error('no client');
    return this.#pathd;
  }

  target(index: number): Target {
    const target = this.targets[index];
    if (target === undefined) throw new Error(`no target ${String(index)}`);
    return target;
  }

  rack(index: number): Rack {
    const rack = this.racks[index];
    if (rack === undefined) throw new Error(`no rack ${String(index)}`);
    return rack;
  }

  async #startTargets(): Promise<void> {
    const { targets = 3, racks = false, sizeBytes = 256 * 1024 * 1024, target } = this.#options;
    makeBackingFile(this.backingFile, sizeBytes);
    if (racks) this.#network = RackNetwork.create(targets);
    this.racks.push(...(this.#network?.racks ?? []));
    const addresses = loopbackAddresses(targets);
    for (let index = 0; index < targets; index++) {
      const host = this.racks[index]?.address ?? addresses[index] ?? '';
      const netns = this.racks[index]?.netns;
      this.targets.push(
        await Target.start({
          host,
          port: netns === undefined ? await freePort(host) : 3260,
          backingFile: this.backingFile,
          serial: SERIAL,
          scsiId: SERIAL,
          ...(netns === undefined ? {} : { netns }),
          ...(this.#options.chap === undefined ? {} : { account: this.#options.chap }),
          ...target?.(index, this.folder),
        }),
      );
    }
  }

  async #startPlugin(): Promise<void> {
    const netns = this.#network?.nodeNetns;
    this.#plugin = await Plugin.start({
      folder: this.folder,
      policy: this.#options.policySet ?? 'fast',
      ...(this.#options.logLevel === undefined ? {} : { logLevel: this.#options.logLevel }),
      ...(netns === undefined ? {} : { netns }),
    });
    this.#pathd = connectPathd(this.#plugin.pathdEndpoint);
    this.#kubelet = connectKubelet(this.#plugin.csiSocket);
  }

  /** The volume's attributes, in the words of the Kubernetes contract. */
  get volumeContext(): Record<string, string> {
    const { policy = {}, weights = WEIGHTS } = this.#options;
    const context: Record<string, string> = {};
    for (const [index, target] of this.targets.entries()) {
      context[`path.prioritypath.io/p${String(index)}`] = target.url;
      context[`weight.prioritypath.io/p${String(index)}`] = String(weights[index] ?? 80);
    }
    for (const [name, value] of Object.entries({
      'expected-serial': SERIAL,
      // Processes over one file: each is a device server, and on one host a refused connection means dead.
      fencing: 'gone',
      ...policy,
    })) {
      if (value !== '') context[`policy.prioritypath.io/${name}`] = value;
    }
    return context;
  }

  /** `secrets`: others than those of the targets' account. */
  async stage(
    capability: VolumeCapability = mountCapability(),
    secrets?: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { chap } = this.#options;
    mkdirSync(this.staging, { recursive: true });
    await this.kubelet.stage({
      volumeId: this.volumeId,
      stagingTargetPath: this.staging,
      volumeCapability: capability,
      volumeContext: this.volumeContext,
      secrets: secrets ?? (chap === undefined ? {} : secretsOf(chap)),
    });
    this.#staged = capability;
  }

  async publish(): Promise<void> {
    if (this.#staged === undefined) throw new Error('stage first');
    mkdirSync(`${this.folder}/pod`, { recursive: true });
    await this.kubelet.publish({
      volumeId: this.volumeId,
      stagingTargetPath: this.staging,
      targetPath: this.path,
      volumeCapability: this.#staged,
      volumeContext: this.volumeContext,
    });
    this.#published = true;
  }

  async unpublish(): Promise<void> {
    await this.kubelet.unpublish({ volumeId: this.volumeId, targetPath: this.path });
    this.#published = false;
  }

  async unstage(): Promise<void> {
    await this.kubelet.unstage({ volumeId: this.volumeId, stagingTargetPath: this.staging });
    this.#staged = undefined;
  }

  async status(): Promise<VolumeStatus> {
    const [status] = await this.pathd.status(this.volumeId);
    if (status === undefined) throw new Error('the volume is not attached');
    return status;
  }

  /** Waits until the status is as wanted; fails with the last one and the log after the limit. */
  async until(
    what: string,
    wanted: (status: VolumeStatus) => boolean,
    limitMs = 15_000,
  ): Promise<VolumeStatus> {
    const end = performance.now() + limitMs;
    for (;;) {
      const status = await this.status();
      if (wanted(status)) return status;
      if (performance.now() > end) {
        const text = JSON.stringify(status, undefined, 1);
        throw new Error(`not within ${String(limitMs)} ms: ${what}\n${text}\n${this.log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Time that the plugin's processes have waited for a processor: see starvation.ts. */
  get starvedMs(): number {
    const plugin = this.#plugin;
    return plugin === undefined ? 0 : waitedForCpuMs([plugin.pathd.pid, plugin.csi.pid]);
  }

  get log(): string {
    return this.#plugin?.logTail ?? '';
  }

  /** All targets stop, the file is quiet: its contents as a hash. */
  static hash(file: string): string {
    return createHash('sha256').update(readFileSync(file)).digest('hex');
  }

  /** fsck of the backing file itself; throws with fsck's text when it finds anything. */
  async fsck(): Promise<void> {
    await run('fsck.ext4', ['-fn', this.backingFile]);
  }

  async close(): Promise<void> {
    const problems: string[] = [];
    const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
      await work().catch((error: unknown) => {
        problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      });
    };
    for (const target of this.targets) {
      if (target.running) target.signal('SIGCONT');
    }
    if (this.#published) await attempt('unpublish', () => this.unpublish());
    if (this.#staged !== undefined) await attempt('unstage', () => this.unstage());
    this.#kubelet?.close();
    this.#pathd?.close();
    const log = this.log;
    await attempt('stop', async () => this.#plugin?.stop());
    for (const target of this.targets) await target.kill();
    this.#network?.close();
    const left = takeStock({ pids: [], folders: [this.folder] });
    for (const [what, count] of left) problems.push(`left behind: ${String(count)} ${what}`);
    if (left.size === 0) this.#removeFolder();
    if (problems.length > 0) throw new Error(`${problems.join('\n')}\n${log}`);
  }
}
