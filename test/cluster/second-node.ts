/**
 * A second node, as far as the plugin goes: a Node object without a kubelet, and csi and pathd as
 * processes of their own, in the cluster's network, with folders of their own. The test is its kubelet.
 *
 * csi speaks to the API server as a pod of the DaemonSet on that node does: with a token that is bound
 * to the very pod which the DaemonSet's controller has made for the Node and which nobody starts. So
 * RBAC and the admission policy see what they would see.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  blockCapability,
  type Kubelet,
  connectKubelet,
  mountCapability,
} from '../support/node/kubelet.ts';
import { Plugin } from '../support/node/plugin.ts';
import { programs } from './cgroups.ts';
import { unmountBelow } from './mounts.ts';
import { detachLoops } from './remains.ts';
import { API_SERVER } from './settings.ts';
import { NAMESPACE, type World } from './world.ts';

const NAME = 'node2';
/** What its Node asks for by annotation; pathd's flag says something else. */
const INITIATOR_NAME = 'iqn.2026-01.io.prioritypath.test:asked-for-by-node2';

export class SecondNode {
  readonly name = NAME;
  readonly initiatorName = INITIATOR_NAME;
  readonly #world: World;
  readonly #plugin: Plugin;
  readonly #kubelet: Kubelet;
  readonly #folder: string;

  private constructor(world: World, plugin: Plugin, folder: string) {
    this.#world = world;
    this.#plugin = plugin;
    this.#kubelet = connectKubelet(plugin.csiSocket);
    this.#folder = folder;
  }

  static async start(world: World): Promise<SecondNode> {
    const { cluster } = world;
    const folder = join(cluster.layout.root, NAME);
    mkdirSync(folder, { recursive: true });
    await cluster.apply(node());
    const pod = await cluster.waitFor('the DaemonSet has a pod for it', () =>
      world.pod('csi', NAME),
    );
    const bound = ['--bound-object-kind=Pod', `--bound-object-name=${pod.metadata.name}`];
    const token = await cluster.kubectl(
      ...['create', 'token', 'priority-path-csi', '-n', NAMESPACE, ...bound],
      `--bound-object-uid=${String(pod.metadata['uid'])}`,
    );
    const kubeconfig = join(folder, 'kubeconfig');
    const authority = readFileSync(cluster.layout.pki('ca.crt')).toString('base64');
    writeFileSync(kubeconfig, JSON.stringify(kubeconfigOf(token.trim(), authority)));
    const plugin = await Plugin.start({
      ...{ folder, nodeId: NAME, rack: 'r2', room: 'a', netns: cluster.netns },
      cgroup: programs(cluster.layout.cgroup),
      initiatorName: `iqn.2026-01.io.prioritypath.test:cluster:${NAME}`,
      csiFlags: { kubernetes: 'on', kubeconfig },
    });
    return new SecondNode(world, plugin, folder);
  }

  stagingPath(volumeId: string): string {
    return join(this.#folder, 'staging', volumeId);
  }

  async stage(volumeId: string): Promise<void> {
    const stagingTargetPath = this.stagingPath(volumeId);
    const volumeCapability = mountCapability('ext4');
    await this.#kubelet.stage({ volumeId, stagingTargetPath, volumeCapability });
  }

  /** For raw block; returns the path of the device that a pod would have. */
  async publishBlock(volumeId: string): Promise<string> {
    const stagingTargetPath = this.stagingPath(volumeId);
    const targetPath = this.#devicePath(volumeId);
    const asked = { volumeId, stagingTargetPath, volumeCapability: blockCapability() };
    await this.#kubelet.stage(asked);
    mkdirSync(dirname(targetPath), { recursive: true });
    await this.#kubelet.publish({ ...asked, targetPath });
    return targetPath;
  }

  async unpublishBlock(volumeId: string): Promise<void> {
    await this.#kubelet.unpublish({ volumeId, targetPath: this.#devicePath(volumeId) });
    await this.unstage(volumeId);
  }

  #devicePath(volumeId: string): string {
    return join(this.#folder, 'pods', volumeId, 'device');
  }

  async unstage(volumeId: string): Promise<void> {
    await this.#kubelet.unstage({ volumeId, stagingTargetPath: this.stagingPath(volumeId) });
  }

  /** Off from one moment to the next. What is mounted there is gone as with a reboot. */
  async powerOff(): Promise<void> {
    await this.#plugin.csi.kill();
    await this.#plugin.pathd.kill();
    detachLoops(this.#folder);
    unmountBelow(this.#folder);
  }

  async remove(): Promise<void> {
    const { cluster } = this.#world;
    this.#kubelet.close();
    await this.#plugin.stop(5_000);
    detachLoops(this.#folder);
    unmountBelow(this.#folder);
    await cluster.kubectl('delete', 'node', NAME, '--ignore-not-found');
    // Nobody else would: they wait for a kubelet.
    const where = ['-n', NAMESPACE, '--field-selector', `spec.nodeName=${NAME}`];
    await cluster.kubectl('delete', 'pods', ...where, '--force', '--grace-period=0');
  }
}

function node(): object {
  const capacity = { cpu: '8', memory: '16Gi', pods: '110' };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: NAME,
      annotations: { 'prioritypath.io/initiator-name': INITIATOR_NAME },
      labels: { 'kubernetes.io/hostname': NAME, 'kubernetes.io/os': 'linux' },
    },
    // For DaemonSets only: nobody would start another pod there.
    spec: { taints: [{ key: 'no-kubelet', effect: 'NoSchedule' }] },
    status: { capacity, allocatable: capacity },
  };
}

function kubeconfigOf(token: string, authority: string): object {
  const cluster = { server: API_SERVER, 'certificate-authority-data': authority };
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
}
