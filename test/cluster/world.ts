/**
 * The cluster with the plugin installed as a user installs it: the image of deploy/Dockerfile, the
 * chart by helm, policy `fast` so that failback takes seconds. Volumes are volumes.ts.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Cluster } from './cluster.ts';
import type { KubeObject } from './client.ts';
import { testPodImage } from './images.ts';
import { PLUGIN_IMAGE, pluginImage } from './plugin-image.ts';
import { say, timed } from './process.ts';

const CHART = new URL('../../charts/priority-path-csi', import.meta.url).pathname;
const RELEASE = 'priority-path';
const NAMESPACE = 'priority-path';

export class World {
  readonly cluster: Cluster;
  /** Image of pods that use volumes: Debian with fio. */
  readonly podImage: string;

  private constructor(cluster: Cluster, podImage: string) {
    this.cluster = cluster;
    this.podImage = podImage;
  }

  static async start(): Promise<World> {
    const [plugin, pod] = [await pluginImage(), await testPodImage()];
    const cluster = await timed('cluster', () =>
      Cluster.start({
        images: [plugin, pod],
        nodeLabels: {
          'topology.prioritypath.io/rack': 'r1',
          'topology.prioritypath.io/room': 'a',
        },
      }),
    );
    const world = new World(cluster, pod.name);
    try {
      await timed('helm install', () => world.install());
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
    return join(this.cluster.layout.root, 'pp-run');
  }

  get stateDir(): string {
    return join(this.cluster.layout.root, 'pp-state');
  }

  async install(): Promise<void> {
    const { cluster } = this;
    const namespace = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: NAMESPACE,
        labels: { 'pod-security.kubernetes.io/enforce': 'privileged' },
      },
    };
    await cluster.apply(namespace);
    const values = {
      'image.repository': PLUGIN_IMAGE.repository,
      'image.tag': PLUGIN_IMAGE.tag,
      'image.pullPolicy': 'Never',
      kubeletDir: cluster.layout.kubelet,
      runDir: this.runDir,
      stateDir: this.stateDir,
      'kubernetes.apiServer.host': cluster.apiServer.host,
      'kubernetes.apiServer.port': String(cluster.apiServer.port),
      'policy.set': 'fast',
      initiatorNameTemplate: 'iqn.2026-01.io.prioritypath.test:cluster:\\{\\{node\\}\\}',
    };
    const flags = Object.entries(values).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    const wait = ['--wait', '--timeout', '120s'];
    await cluster.helm('install', RELEASE, CHART, '-n', NAMESPACE, ...flags, ...wait);
    await cluster.waitFor('the driver is registered', () => this.driver());
  }

  /** The driver's entry of the node's CSINode. */
  async driver(): Promise<object | undefined> {
    const node = await this.cluster.get('csinode', this.cluster.nodeName);
    const spec = node?.['spec'] as { drivers?: { name: string }[] | null } | undefined;
    return spec?.drivers?.find(({ name }) => name === 'iscsi.prioritypath.io');
  }

  /** Output of `helm uninstall`; rejects when the chart refuses. */
  uninstall(): Promise<string> {
    return this.cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--wait', '--timeout', '90s');
  }

  /** A component's pod. */
  async pod(component: 'csi' | 'pathd'): Promise<KubeObject> {
    const label = `app.kubernetes.io/component=${component}`;
    const [pod] = await this.cluster.list('pods', '-n', NAMESPACE, '-l', label);
    if (pod === undefined) throw new Error(`there is no pod of ${component}`);
    return pod;
  }

  /** Replaces csi's pod as an upgrade does. */
  async rollCsi(): Promise<void> {
    const set = `daemonset/${RELEASE}-priority-path-csi-csi`;
    const [found = set] = (
      await this.cluster.kubectl('get', 'daemonsets', '-n', NAMESPACE, '-o', 'name')
    )
      .split('\n')
      .filter((name) => name.endsWith('-csi'));
    await this.cluster.kubectl('rollout', 'restart', found, '-n', NAMESPACE);
    await this.cluster.kubectl('rollout', 'status', found, '-n', NAMESPACE, '--timeout=60s');
  }

  /** What one wants to see when a test failed. */
  async report(): Promise<string> {
    const logs = async (component: 'csi' | 'pathd'): Promise<string> => {
      const { name } = (await this.pod(component)).metadata;
      return this.cluster.kubectl('logs', name, '-n', NAMESPACE, '--tail=25');
    };
    const parts = await Promise.allSettled([this.cluster.report(), logs('csi'), logs('pathd')]);
    return parts.map((part) => (part.status === 'fulfilled' ? part.value : '')).join('\n----\n');
  }

  async stop(): Promise<void> {
    await timed('stop', () => this.cluster.stop());
    for (const folder of [this.runDir, this.stateDir]) {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}
