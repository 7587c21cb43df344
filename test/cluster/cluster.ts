/**
 * A real one-node Kubernetes on this machine: etcd, kube-apiserver, kube-controller-manager,
 * kube-scheduler, containerd and kubelet as processes of our own, all state in one temporary
 * folder, every address in one network namespace of the cluster's own (racks with their targets and
 * hostNetwork pods are in there too; the machine's network is not touched). The node is ready a few seconds after the first process starts.
 *
 * Ends leave nothing behind: `stop` deletes pods in the order in which a CSI driver needs it, stops
 * the programs, then sweeps (remains.ts). Ctrl-C does the same, a second Ctrl-C only sweeps, and so
 * do a failed start and the process's exit. After kill -9 the next start sweeps.
 *
 * One cluster at a time on a machine: the sysctls that the kubelet sets are the whole machine's.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { ensurePackages, ensureTools } from './build-tools.ts';
import { CLUSTER_TOOLS, toolPath } from './cache.ts';
import { makeCertificates } from './certificates.ts';
import { makeCgroup } from './cgroups.ts';
import { Client, type KubeObject } from './client.ts';
import { Component, type ComponentOptions } from './component.ts';
import { type Image, importImage, pauseImage } from './images.ts';
import { mountsBelow } from './mounts.ts';
import { answers } from './probes.ts';
import { run, say } from './process.ts';
import { makeRoot, removeRemains, rememberShared } from './remains.ts';
import {
  API_PORT,
  API_SERVER,
  LOCAL_ADDRESS,
  Layout,
  NODE_ADDRESS,
  NODE_NAME,
} from './settings.ts';
import {
  SERVER_NAMES,
  apiServerFlags,
  auditPolicy,
  cniConfig,
  containerdConfig,
} from './settings.ts';
import { controllerManagerFlags, etcdFlags, kubeletConfig, kubeletFlags } from './settings.ts';
import { schedulerFlags } from './settings.ts';

export type ComponentName =
  | 'etcd'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'containerd'
  | 'kubelet';

export interface ClusterOptions {
  /** Images that pods use, beside the sandbox image. */
  readonly images?: readonly Image[];
  readonly nodeLabels?: Readonly<Record<string, string>>;
  /**
   * Flags added to a component's own, e.g. kube-controller-manager:
   * --node-monitor-grace-period=10s.
   */
  readonly flags?: Readonly<Partial<Record<ComponentName, readonly string[]>>>;
  /** Called with the name and duration of each step of the start. */
  readonly onStep?: (name: string, durationMs: number) => void;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const START_LIMIT_MS = 60_000;
const POD_DELETE_LIMIT_S = 60;

export class Cluster extends Client {
  readonly layout: Layout;
  readonly nodeName = NODE_NAME;
  /** Where pods find the API server: the chart's kubernetes.apiServer.host and port. */
  readonly apiServer = { host: NODE_ADDRESS, port: API_PORT } as const;
  readonly #components = new Map<ComponentName, Component>();
  readonly #options: ClusterOptions;
  #phase: 'starting' | 'running' | 'stopping' | 'gone' = 'starting';

  private constructor(layout: Layout, options: ClusterOptions) {
    super(layout.pki('admin.kubeconfig'), join(layout.root, 'home'), layout.netns);
    this.layout = layout;
    this.#options = options;
  }

  /** Builds what is missing, starts everything, waits for the Ready node. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    await ensurePackages();
    // One compiles, the other mostly waits for the network.
    const [pause] = await Promise.all([pauseImage(), ensureTools(CLUSTER_TOOLS)]);
    const { root, cgroup } = makeRoot();
    const cluster = new Cluster(new Layout(root, cgroup), options);
    process.on('exit', cluster.#atExit);
    for (const signal of SIGNALS) process.on(signal, cluster.#onSignal);
    try {
      await cluster.#start([pause, ...(options.images ?? [])]);
      return cluster;
    } catch (error) {
      await cluster.#killComponents();
      const left = cluster.#sweep();
      const remains = left.length === 0 ? '' : `\nleft behind: ${left.join('; ')}`;
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`the cluster did not start: ${why}${remains}`, { cause: error });
    }
  }

  /** For `component('kubelet').restart()`, `component('kube-apiserver').stop()` and `.start()`. */
  component(name: ComponentName): Component {
    const component = this.#components.get(name);
    if (component === undefined) throw new Error(`${name} has not been started`);
    return component;
  }

  /** Makes an image known to the node; pods say `imagePullPolicy: IfNotPresent` or `Never`. */
  async load(image: Image): Promise<void> {
    await importImage(this.layout.containerdSocket, image);
  }

  /**
   * Makes a folder a shared mount of its own, as every folder is on a machine with systemd: without
   * it a pod's Bidirectional mount of it is refused. Teardown unmounts it and what is mounted
   * below.
   */
  async share(folder: string): Promise<void> {
    rememberShared(this.layout.root, folder);
    await run('mount', ['--bind', folder, folder]);
    await run('mount', ['--make-rshared', folder]);
  }

  async #step<T>(name: string, step: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const value = await step();
    this.#options.onStep?.(name, performance.now() - startedAt);
    return value;
  }

  async #start(images: readonly Image[]): Promise<void> {
    const { layout } = this;
    await this.#step('certificates and settings', () => this.#prepare());
    await Promise.all([
      this.#step('etcd, API server', async () => {
        await this.#run('etcd', '/usr/bin/etcd', etcdFlags(layout), () =>
          answers(layout.netns, `http://${LOCAL_ADDRESS}:2379/health`),
        );
        const ca = layout.pki('ca.crt');
        const program = toolPath('kube-apiserver');
        await this.#run('kube-apiserver', program, apiServerFlags(layout), () =>
          answers(layout.netns, `${API_SERVER}/readyz`, ca),
        );
      }),
      this.#step('containerd, images', async () => {
        const config = ['--config', join(layout.settings, 'containerd.toml')];
        await this.#run('containerd', '/usr/bin/containerd', config, () =>
          run('ctr', ['--address', layout.containerdSocket, 'version']),
        );
        for (const image of images) await this.load(image);
      }),
    ]);
    await this.#step('controllers, kubelet', () => this.#startNode());
    await this.#step('node ready', async () => {
      await this.waitReady('node', NODE_NAME, { limitMs: START_LIMIT_MS });
      await this.waitFor('default service account', () => this.get('serviceaccount', 'default'));
    });
    const labels = Object.entries(this.#options.nodeLabels ?? {});
    if (labels.length > 0) {
      const words = labels.map(([key, value]) => `${key}=${value}`);
      await this.kubectl('label', 'node', NODE_NAME, ...words);
    }
    this.#phase = 'running';
  }

  async #prepare(): Promise<void> {
    const { layout } = this;
    makeCgroup(layout.cgroup);
    const ip = (...args: string[]): Promise<string> => run('ip', ['-n', layout.netns, ...args]);
    await run('ip', ['netns', 'add', layout.netns]);
    await ip('link', 'set', 'lo', 'up');
    await ip('address', 'add', `${NODE_ADDRESS}/32`, 'dev', 'lo');
    const folders = [layout.certificates, layout.logs, layout.settings, layout.cni, layout.kubelet];
    for (const folder of [...folders, layout.podLogs]) mkdirSync(folder);
    await makeCertificates({
      folder: layout.certificates,
      nodeName: NODE_NAME,
      server: API_SERVER,
      serverNames: SERVER_NAMES,
      nodeAddress: NODE_ADDRESS,
    });
    const write = (name: string, text: string): void =>
      writeFileSync(join(layout.settings, name), text);
    write('containerd.toml', containerdConfig(layout));
    write('audit.json', JSON.stringify(auditPolicy()));
    write('kubelet.json', JSON.stringify(kubeletConfig(layout)));
    writeFileSync(join(layout.cni, '10-pods.conflist'), JSON.stringify(cniConfig(layout)));
  }

  async #startNode(): Promise<void> {
    const { layout } = this;
    await Promise.all([
      this.#run(
        'kube-controller-manager',
        toolPath('kube-controller-manager'),
        controllerManagerFlags(layout),
        () => answers(layout.netns, `https://${LOCAL_ADDRESS}:10257/healthz`),
      ),
      this.#run('kube-scheduler', toolPath('kube-scheduler'), schedulerFlags(layout), () =>
        answers(layout.netns, `https://${LOCAL_ADDRESS}:10259/healthz`),
      ),
      this.#run('kubelet', toolPath('kubelet'), kubeletFlags(layout), () =>
        answers(layout.netns, `http://${LOCAL_ADDRESS}:10248/healthz`),
      ),
    ]);
  }

  async #run(
    name: ComponentName,
    program: string,
    flags: readonly string[],
    probe: ComponentOptions['probe'],
  ): Promise<void> {
    const component = new Component({
      name,
      program,
      args: [...flags, ...(this.#options.flags?.[name] ?? [])],
      logFile: this.layout.log(name),
      cgroup: this.layout.cgroup,
      netns: this.layout.netns,
      probe,
      readyLimitMs: START_LIMIT_MS,
      // It would wait for its watchers, a minute long.
      ...(name === 'kube-apiserver' ? { stopGraceMs: 1_000 } : {}),
    });
    this.#components.set(name, component);
    await component.start();
  }

  /** Takes the cluster down and throws when anything of it is left on the machine. */
  async stop(): Promise<void> {
    if (this.#phase === 'gone') return;
    this.#phase = 'stopping';
    const problems: string[] = [];
    const attempt = async (step: () => Promise<unknown>): Promise<void> => {
      await step().catch((error: unknown) => problems.push(String(error)));
    };
    const serving = (['kube-apiserver', 'kubelet', 'containerd'] as const).every(
      (name) => this.#components.get(name)?.running === true,
    );
    if (serving) await attempt(() => this.#deletePods());
    // The kubelet first, or it would bring containers back. What the others hold nobody needs.
    await this.#components.get('kubelet')?.stop();
    await this.#killComponents();
    problems.push(...this.#sweep());
    if (problems.length > 0) throw new Error(`teardown: ${problems.join('\n')}`);
  }

  /** Pods that use volumes first: the pods of DaemonSets are what unmounts those. */
  async #deletePods(): Promise<void> {
    const everything = ['--all', '--all-namespaces'];
    const makers = 'deployments,statefulsets,replicasets,jobs,cronjobs';
    await this.kubectl('delete', makers, ...everything, '--wait=false');
    const limit = `--timeout=${String(POD_DELETE_LIMIT_S)}s`;
    const deletePods = async (pods: readonly KubeObject[]): Promise<void> => {
      await Promise.all(
        pods.map(({ metadata: { name, namespace = 'default' } }) =>
          this.kubectl('delete', 'pod', name, '-n', namespace, '--grace-period=2', limit),
        ),
      );
    };
    const pods = await this.list('pods', '--all-namespaces');
    await deletePods(pods.filter((pod) => !madeByDaemonSet(pod)));
    await this.waitFor(
      'volumes are unstaged',
      async () => mountsBelow(join(this.layout.kubelet, 'plugins')).length === 0,
      { limitMs: 20_000 },
    );
    await this.kubectl('delete', 'daemonsets', ...everything, '--cascade=orphan', limit);
    await deletePods(await this.list('pods', '--all-namespaces'));
  }

  /** Before the sweep, which would kill them too, but leave them as zombies of this process. */
  async #killComponents(): Promise<void> {
    await Promise.all([...this.#components.values()].map((component) => component.kill()));
  }

  #sweep(): string[] {
    this.#phase = 'gone';
    process.off('exit', this.#atExit);
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
    return removeRemains(this.layout.root, this.layout.cgroup);
  }

  readonly #atExit = (): void => {
    const left = this.#sweep();
    if (left.length > 0) say(`cluster: left behind: ${left.join('; ')}`);
  };

  /**
   * While it runs, the orderly way; before that, or at a second signal, the exit handler sweeps.
   */
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    const code = 128 + constants.signals[signal];
    if (this.#phase !== 'running') process.exit(code);
    say(`cluster: ${signal}, taking it down (again: at once) …`);
    this.stop()
      .catch((error: unknown) => say(String(error)))
      .finally(() => process.exit(code));
  };
}

function madeByDaemonSet(pod: KubeObject): boolean {
  const owners = pod.metadata['ownerReferences'] as readonly { kind: string }[] | undefined;
  return owners?.some(({ kind }) => kind === 'DaemonSet') ?? false;
}
