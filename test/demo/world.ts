/**
 * Everything the demo runs on, and its end: three targets on three loopback addresses over one backing
 * file, pathd and csi, and the calls a kubelet would make. Whatever is started is put on a list, and
 * `close` takes it down in reverse order, each step with a time limit, however far the start got.
 *
 * After that it looks at the machine: a mount or loop device that is still there was forgotten by the
 * plugin. It is reported (the demo fails for it) and then removed. Only what lies below the demo's
 * own folder is touched.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { connectPathd, type PathdClient } from '../../src/pathd/pathd-client.ts';
import { connectKubelet, type Kubelet, mountCapability } from '../support/node/kubelet.ts';
import { parseMountInfo } from '../support/node/leaks.ts';
import { Plugin } from '../support/node/plugin.ts';
import { loopbackAddresses, temporaryFolder } from '../support/targets/ports.ts';
import { makeBackingFile, Target } from '../support/targets/tgt.ts';
import { EmbeddedTarget } from './embedded-target.ts';
import type { StatusSource } from './status-watch.ts';

const run = promisify(execFile);

export const VOLUME = 'pv-demo';
const SERIAL = 'demo-0001';
const IQN = 'iqn.2026-01.io.prioritypath.demo:disk';
/** Sparse. From 512 MiB on mkfs.ext4 takes blocks of 4 KiB, as on any real volume. */
const DISK_BYTES = 1024 * 1024 * 1024;
const NODE = { rack: 'rack-1', room: 'room-1' } as const;
/** Where the targets stand; the words are what the panel shows. */
const PLACES = [
  { rack: 'rack-1', room: 'room-1', words: 'same rack' },
  { rack: 'rack-2', room: 'room-1', words: 'same room' },
  { rack: 'rack-7', room: 'room-2', words: 'other room' },
] as const;

/** Who serves the disk: tgtd, or the scripted target of the tests where there is no tgt. */
export type TargetKind = 'tgt' | 'embedded';

/** One gateway's process. */
type DemoTarget = Pick<Target, 'url' | 'running' | 'start' | 'kill'>;

export interface Gateway {
  readonly name: string;
  readonly portal: string;
  readonly place: string;
  readonly target: DemoTarget;
}

type Step = () => Promise<unknown>;

export class World {
  readonly gateways: Gateway[] = [];
  readonly #folder = temporaryFolder('pp-demo');
  readonly #steps: { readonly what: string; readonly undo: Step }[] = [];
  #pathd: PathdClient | undefined;
  #plugin: Plugin | undefined;
  #kubelet: Kubelet | undefined;
  readonly #targets: TargetKind;

  constructor(targets: TargetKind) {
    this.#targets = targets;
  }

  /** "three tgtd". */
  get targetWords(): string {
    return this.#targets === 'tgt' ? 'three tgtd' : 'three embedded targets';
  }

  get backingFile(): string {
    return `${this.#folder.path}/disk`;
  }

  /** Where the "pod" sees its volume. */
  get mountPoint(): string {
    return `${this.#folder.path}/pod/volume`;
  }

  get #staging(): string {
    return `${this.#folder.path}/staging`;
  }

  get status(): StatusSource {
    if (this.#pathd === undefined) throw new Error('pathd is not connected');
    return this.#pathd;
  }

  /** For unix sockets: what `priority-path status --endpoint` takes. */
  get pathdEndpoint(): string {
    return this.#plugin?.pathdEndpoint ?? '';
  }

  get logTail(): string {
    return this.#plugin?.logTail ?? '';
  }

  async startTargets(): Promise<void> {
    makeBackingFile(this.backingFile, DISK_BYTES);
    for (const [n, host] of loopbackAddresses(PLACES.length).entries()) {
      const identity = { iqn: IQN, serial: SERIAL, scsiId: SERIAL };
      const options = { host, port: 3260, backingFile: this.backingFile, ...identity };
      const target = this.#targets === 'tgt' ? new Target(options) : new EmbeddedTarget(options);
      this.#steps.push({ what: `target p${String(n)}`, undo: () => target.kill() });
      await target.start();
      const place = PLACES[n]?.words ?? '';
      this.gateways.push({ name: `p${String(n)}`, portal: `${host}:3260`, place, target });
    }
  }

  async startPlugin(policy: 'default' | 'fast' | 'bench'): Promise<void> {
    const folder = this.#folder.path;
    this.#plugin = await Plugin.start({ folder, policy, nodeId: 'demo-node', ...NODE });
    const plugin = this.#plugin;
    this.#steps.push({ what: 'pathd and csi', undo: () => plugin.stop() });
    const pathd = connectPathd(plugin.pathdEndpoint);
    this.#pathd = pathd;
    this.#steps.push({ what: 'connection to pathd', undo: async () => pathd.close() });
    const kubelet = connectKubelet(plugin.csiSocket);
    this.#kubelet = kubelet;
    this.#steps.push({ what: 'connection to csi', undo: async () => kubelet.close() });
  }

  /** The keys a PersistentVolume carries. */
  #volumeAttributes(): Record<string, string> {
    const keys: Record<string, string> = {
      'policy.prioritypath.io/expected-serial': SERIAL,
      // A refused connection means a dead target here: the process that held the writes is gone.
      'policy.prioritypath.io/fencing': 'gone',
    };
    for (const [n, { name, target }] of this.gateways.entries()) {
      keys[`path.prioritypath.io/${name}`] = target.url;
      keys[`rack.prioritypath.io/${name}`] = PLACES[n]?.rack ?? '';
      keys[`room.prioritypath.io/${name}`] = PLACES[n]?.room ?? '';
    }
    return keys;
  }

  /** NodeStageVolume and NodePublishVolume, as the kubelet calls them. */
  async stageAndPublish(): Promise<void> {
    const request = {
      volumeId: VOLUME,
      stagingTargetPath: this.#staging,
      volumeCapability: mountCapability('ext4'),
      volumeContext: this.#volumeAttributes(),
    };
    mkdirSync(this.#staging);
    mkdirSync(`${this.#folder.path}/pod`);
    this.#steps.push({ what: 'staged volume', undo: () => this.#unstage() });
    await this.#csi.stage(request);
    this.#steps.push({ what: 'published volume', undo: () => this.#unpublish() });
    await this.#csi.publish({ ...request, targetPath: this.mountPoint });
  }

  get #csi(): Kubelet {
    if (this.#kubelet === undefined) throw new Error('csi is not connected');
    return this.#kubelet;
  }

  async unpublishAndUnstage(): Promise<void> {
    for (const what of ['published volume', 'staged volume']) {
      const index = this.#steps.findIndex((step) => step.what === what);
      if (index < 0) continue;
      await this.#steps[index]?.undo();
      this.#steps.splice(index, 1);
    }
  }

  async #unpublish(): Promise<void> {
    await this.#csi.unpublish({ volumeId: VOLUME, targetPath: this.mountPoint });
  }

  async #unstage(): Promise<void> {
    await this.#csi.unstage({ volumeId: VOLUME, stagingTargetPath: this.#staging });
  }

  /** Registers something of the story's own to be taken down first. */
  onClose(what: string, undo: Step): void {
    this.#steps.push({ what, undo });
  }

  /**
   * Takes everything down; returns what went wrong or was left behind, one line each. Unstaging needs
   * a live target to flush to, so dead ones are started again first.
   */
  async close(): Promise<string[]> {
    const problems: string[] = [];
    if (this.#steps.some(({ what }) => what === 'staged volume')) {
      for (const { target } of this.gateways) {
        if (!target.running) await target.start().catch(() => undefined);
      }
    }
    for (const { what, undo } of this.#steps.toReversed()) {
      const problem = await limited(undo, 25_000);
      if (problem !== undefined) problems.push(`could not take down the ${what}: ${problem}`);
    }
    this.#steps.length = 0;
    for (const left of await sweep(this.#folder.path)) problems.push(`left behind: ${left}`);
    this.#folder.remove();
    return problems;
  }
}

async function limited(undo: Step, limitMs: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const seconds = String(limitMs / 1000);
  const timer = setTimeout(() => resolve(`not done after ${seconds} s`), limitMs);
  undo().then(
    () => resolve(undefined),
    (error: unknown) =>
      resolve((error instanceof Error ? error.message : String(error)).slice(0, 160)),
  );
  return promise.finally(() => clearTimeout(timer));
}

/** Removes mounts and loop devices below the folder; returns what there was. */
async function sweep(folder: string): Promise<string[]> {
  const found: string[] = [];
  const ours = (path: string): boolean => path.startsWith(`${folder}/`);
  const mounts = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  const loops = readdirSync('/sys/block').filter((name) => {
    try {
      return ours(readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8'));
    } catch {
      return false;
    }
  });
  // Latest first: a mount may lie upon another, a loop device upon a FUSE mount.
  for (const { mountPoint, type } of mounts.filter((one) => ours(one.mountPoint)).toReversed()) {
    found.push(`mount of ${type} at ${mountPoint}`);
    await run('umount', ['--lazy', mountPoint]).catch(() => undefined);
  }
  for (const loop of loops) {
    found.push(`loop device /dev/${loop}`);
    await run('losetup', ['--detach', `/dev/${loop}`]).catch(() => undefined);
  }
  return found;
}

/** Whether e2fsck finds nothing to repair (read-only check). */
export async function fsckClean(image: string): Promise<boolean> {
  return run('e2fsck', ['-f', '-n', image], { timeout: 60_000 }).then(
    () => true,
    () => false,
  );
}
