/**
 * The cluster with the plugin installed as a user installs it: by the commands of the README
 * (quickstart.ts), with policy `fast` so that failback takes seconds. Volumes are volumes.ts.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBeforehand } from './beforehand.ts';
import { toolsFolder } from './cache.ts';
import { processesIn } from './cgroups.ts';
import { Cluster } from './cluster.ts';
import type { KubeObject } from './client.ts';
import { makeDocker } from './docker.ts';
import { run, say, timed } from './process.ts';
import { filledIn, quickstartCommands } from './quickstart.ts';
import type { VolumeStatus } from '../../src/pathd/api.ts';
import { connectPathd } from '../../src/pathd/pathd-client.ts';

const REPOSITORY = new URL('../..', import.meta.url).pathname;
const RELEASE = 'priority-path';
export const NAMESPACE = 'priority-path';
/** `namespace:name` of csi's service account. */
export const CSI_ACCOUNT = `${NAMESPACE}:priority-path-csi`;
/** A cold build fetches Debian and npm packages. */
const BUILD_LIMIT_MS = 20 * 60_000;

export type Part = 'csi' | 'pathd';

export class World {
  readonly cluster: Cluster;
  /** Image of pods that use volumes: Debian with fio. */
  readonly podImage: string;
  /** Since when nothing has disturbed csi: no restart of it, of the node or of the API server. */
  quietSinceMs = Date.now();

  private constructor(cluster: Cluster, podImage: string) {
    this.cluster = cluster;
    this.podImage = podImage;
  }

  static async start(): Promise<World> {
    const { pod, base } = await makeBeforehand();
    const cluster = await timed('cluster', () => Cluster.start({ images: [pod, base] }));
    const world = new World(cluster, pod.name);
    try {
      await world.install();
      return world;
    } catch (error) {
      const report = await world.report();
      await cluster.stop().catch((problem: unknown) => say(String(problem)));
      throw new Error(`the plugin was not installed: ${String(error)}\n${report}`, {
        cause: error,
      });
    }
  }

  get runDir(): string {
    return join(this.cluster.layout.root, 'host/run/priority-path');
  }

  get stateDir(): string {
    return join(this.cluster.layout.root, 'host/var/priority-path');
  }

  /** Folder of csi's socket, in the kubelet's. */
  get pluginDir(): string {
    return join(this.cluster.layout.kubelet, 'plugins/iscsi.prioritypath.io');
  }

  /** The README's commands up to the volume, and what happens by itself after them. */
  async install(): Promise<void> {
    for (const command of quickstartCommands().slice(0, -1)) {
      await timed(command.slice(0, 60), () => this.readme(command));
    }
    // Ready means registered with the kubelet and answered by pathd.
    const set = `daemonset/${RELEASE}-csi`;
    await this.cluster.kubectl('rollout', 'status', set, '-n', NAMESPACE, '--timeout=120s');
    await this.cluster.waitFor('the driver is registered', () => this.driver());
    this.quietSinceMs = Date.now();
  }

  /** Runs a command of the README; see quickstart.ts. Returns what it printed. */
  async readme(command: string): Promise<string> {
    const { cluster } = this;
    const { root, settings, containerdSocket } = cluster.layout;
    const bin = makeDocker(join(root, 'bin'), containerdSocket);
    const values = join(settings, 'values.json');
    writeFileSync(values, JSON.stringify(this.#values()));
    const registry = 'docker.io/prioritypath';
    const words = filledIn(command, { registry, node: cluster.nodeName, values });
    const script = `cd ${REPOSITORY} && PATH=${bin}:${toolsFolder()}:$PATH && ${words}`;
    // Building wants the machine's network, kubectl and helm the cluster's.
    return command.startsWith('docker')
      ? run('sh', ['-c', script], { limitMs: BUILD_LIMIT_MS })
      : cluster.run('sh', ['-c', script]);
  }

  #values(): object {
    const { layout, apiServer } = this.cluster;
    return {
      kubeletDir: layout.kubelet,
      runDir: this.runDir,
      stateDir: this.stateDir,
      kubernetes: { apiServer },
      policy: { set: 'fast' },
      initiatorNameTemplate: 'iqn.2026-01.io.prioritypath.test:cluster:{{node}}',
      pathd: { stopTimeoutSeconds: 3 },
    };
  }

  /** The driver's entry of the node's CSINode. */
  async driver(): Promise<object | undefined> {
    const node = await this.cluster.get('csinode', this.cluster.nodeName);
    const spec = node?.['spec'] as { drivers?: { name: string }[] | null } | undefined;
    return spec?.drivers?.find(({ name }) => name === 'iscsi.prioritypath.io');
  }

  /** What pathd itself says of a volume of this node. */
  async served(volumeId: string): Promise<VolumeStatus> {
    const pathd = connectPathd(`unix://${join(this.runDir, 'pathd.sock')}`);
    try {
      const [volume] = await pathd.status(volumeId);
      if (volume === undefined) throw new Error(`pathd does not have ${volumeId}`);
      return volume;
    } finally {
      pathd.close();
    }
  }

  /** Waits until what pathd says of a volume is so; returns it. */
  waitServed(
    volumeId: string,
    what: string,
    isSo: (volume: VolumeStatus) => boolean,
  ): Promise<VolumeStatus> {
    return this.cluster.waitFor(`${volumeId}: ${what}`, async () => {
      const volume = await this.served(volumeId);
      return isSo(volume) && volume;
    });
  }

  /** Output of `helm upgrade` with further values. */
  upgrade(...flags: readonly string[]): Promise<string> {
    const chart = join(REPOSITORY, 'charts/priority-path-csi');
    const words = ['upgrade', RELEASE, chart, '-n', NAMESPACE, '--reuse-values', '--wait'];
    return this.cluster.helm(...words, ...flags);
  }

  /** Output of `helm test`; rejects when its pod finds something missing. */
  helmTest(): Promise<string> {
    return this.cluster.helm('test', RELEASE, '-n', NAMESPACE, '--logs', '--timeout', '60s');
  }

  /** Makes what was installed first the release again, after an uninstall that was refused. */
  rollback(): Promise<string> {
    return this.cluster.helm('rollback', RELEASE, '1', '-n', NAMESPACE, '--wait');
  }

  /** Output of `helm uninstall`; rejects when the chart refuses. */
  uninstall(): Promise<string> {
    return this.cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--wait', '--timeout', '90s');
  }

  /** A component's pod on a node; this cluster's own unless told. */
  async pod(part: Part, node = this.cluster.nodeName): Promise<KubeObject> {
    const label = `app.kubernetes.io/component=${part}`;
    const where = ['--field-selector', `spec.nodeName=${node}`];
    const [pod] = await this.cluster.list('pods', '-n', NAMESPACE, '-l', label, ...where);
    if (pod === undefined) throw new Error(`there is no pod of ${part} on ${node}`);
    return pod;
  }

  /** Pid of the process in a component's pod. */
  pid(part: Part): number {
    const words = `/app/priority-path.mjs\0${part}\0`;
    const found = processesIn(this.cluster.layout.cgroup).find((pid) => {
      try {
        return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').includes(words);
      } catch {
        return false; // ended meanwhile
      }
    });
    if (found === undefined) throw new Error(`no process of ${part}`);
    return found;
  }

  /** Where the kubelet stages a volume of this handle; as it has done since Kubernetes 1.24. */
  stagingPath(volumeHandle: string): string {
    const hash = createHash('sha256').update(volumeHandle).digest('hex');
    const plugins = join(this.cluster.layout.kubelet, 'plugins/kubernetes.io/csi');
    return join(plugins, 'iscsi.prioritypath.io', hash, 'globalmount');
  }

  /** Open TCP connections of csi's process to the API server. */
  async connectionsOfCsi(): Promise<number> {
    const port = `:${String(this.cluster.apiServer.port)}`;
    const words = ['-Htnp', 'state', 'established', 'dport', '=', port];
    const lines = (await this.cluster.run('ss', words)).split('\n');
    return lines.filter((line) => line.includes(`pid=${String(this.pid('csi'))},`)).length;
  }

  /** Replaces csi's pod as an upgrade does. */
  async rollCsi(): Promise<void> {
    const set = `daemonset/${RELEASE}-csi`;
    await this.cluster.kubectl('rollout', 'restart', set, '-n', NAMESPACE);
    await this.cluster.kubectl('rollout', 'status', set, '-n', NAMESPACE, '--timeout=60s');
    this.quietSinceMs = Date.now();
  }

  /** What one wants to see when a test failed. */
  async report(): Promise<string> {
    const logs = async (part: Part): Promise<string> => {
      const { name } = (await this.pod(part)).metadata;
      return this.cluster.kubectl('logs', name, '-n', NAMESPACE, '--tail=25');
    };
    const parts = await Promise.allSettled([this.cluster.report(), logs('csi'), logs('pathd')]);
    return parts.map((part) => (part.status === 'fulfilled' ? part.value : '')).join('\n----\n');
  }

  async stop(): Promise<void> {
    await timed('stop', () => this.cluster.stop());
  }
}
