/**
 * Does the cluster tier work on this machine? Starts the cluster, runs what the driver will need of
 * it, takes it down and compares the machine with how it was: processes, mounts, cgroups, network
 * namespaces and interfaces, sysctls, the folders that components like to fill.
 *
 *   node test/cluster/smoke.ts [--keep]      --keep: waits for Ctrl-C before it takes it down
 */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Cluster } from './cluster.ts';
import { phaseOf } from './client.ts';
import { testPodImage } from './images.ts';
import { mountPoints, mountsBelow } from './mounts.ts';
import { run, say, timed } from './process.ts';
import { removeAbandoned } from './remains.ts';
import { rackAddress } from './settings.ts';
import { Target, makeBackingFile } from '../support/targets/tgt.ts';

const image = (await timed('test pod image', testPodImage)).name;

/** An ordinary pod: own network namespace, an address of the CNI network. */
const ordinary = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'ordinary' },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'main',
        image,
        imagePullPolicy: 'Never',
        command: ['sh', '-c', 'echo hello from $(hostname); exec sleep infinity'],
      },
    ],
  },
};

/** What the driver's pods are like. */
function privileged(kubelet: string): object {
  const labels = { app: 'privileged' };
  const mounts = [{ name: 'kubelet', mountPath: kubelet, mountPropagation: 'Bidirectional' }];
  const container = {
    ...{ name: 'main', image, imagePullPolicy: 'Never', command: ['sleep', 'infinity'] },
    securityContext: { privileged: true },
    volumeMounts: [...mounts, { name: 'dev', mountPath: '/dev' }],
  };
  const volumes = [
    { name: 'kubelet', hostPath: { path: kubelet, type: 'Directory' } },
    { name: 'dev', hostPath: { path: '/dev', type: 'Directory' } },
  ];
  const spec = {
    ...{
      hostNetwork: true,
      terminationGracePeriodSeconds: 1,
      tolerations: [{ operator: 'Exists' }],
    },
    ...{ containers: [container], volumes },
  };
  return {
    ...{ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'privileged' } },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
}

const TABLE = `PATH  WEIGHT   STATE
p0    100/100  current
p1     90/90   standby`;

const volume = {
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'pv-smoke', annotations: { 'status.prioritypath.io/node1': TABLE } },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    csi: { driver: 'iscsi.prioritypath.io', volumeHandle: 'pv-smoke' },
  },
};

interface Machine {
  readonly [what: string]: readonly string[];
}

/** Names of the cluster's programs, as the kernel has them (15 characters). */
const PROGRAMS = /^(etcd|kube-apiserver|kube-controller|kube-scheduler|kubelet|containerd.*|runc)$/;

/** Everything that a cluster could leave behind, as lists that can be compared. */
function machine(): Machine {
  const commands = globSync('/proc/[0-9]*/stat').flatMap((file) => {
    try {
      const [, name = '', state] = /\((.*)\) (\S)/.exec(readFileSync(file, 'utf8')) ?? [];
      // A zombie is dead, its parent has not looked yet.
      return state === 'Z' ? [] : [`${name} ${file.split('/')[2] ?? ''}`];
    } catch {
      return [];
    }
  });
  const folders = ['/etc/cni', '/opt/cni', '/run/containerd', '/var/lib/cni', '/var/lib/kubelet'];
  const logs = ['/var/log/containers', '/var/log/pods'];
  const sysctls = ['vm/overcommit_memory', 'kernel/panic', 'net/ipv4/ip_forward'];
  return {
    processes: commands.filter((name) => PROGRAMS.test(name.split(' ')[0] ?? '')).sort(),
    mounts: mountPoints().filter((path) => /pp-cluster|kubelet|containerd|cni/.test(path)),
    cgroups: globSync('/sys/fs/cgroup/{*/,}{pp-cluster,kubepods}*').sort(),
    namespaces: existsSync('/run/netns')
      ? readdirSync('/run/netns').filter((name) => /^(cni|pp-cluster)/.test(name))
      : [],
    interfaces: execFileSync('ip', ['-br', 'address'], { encoding: 'utf8' })
      .split('\n')
      .filter(Boolean),
    folders: [...folders, ...logs].filter((folder) => existsSync(folder)),
    sysctls: sysctls.map((name) => `${name}=${readFileSync(`/proc/sys/${name}`, 'utf8').trim()}`),
    temporary: globSync('/tmp/pp-cluster-*'),
  };
}

function expect(what: string, holds: boolean, found: string): void {
  if (!holds) throw new Error(`${what}, found: ${found}`);
}

async function pods(cluster: Cluster): Promise<void> {
  await cluster.apply([ordinary, privileged(cluster.layout.kubelet)]);
  await cluster.waitReady('pod', 'ordinary');
  const [podOfSet] = await cluster.waitFor('the privileged pod', async () => {
    const found = await cluster.list('pods', '-l', 'app=privileged');
    return found.length === 1 && phaseOf(found[0]) === 'Running' && found;
  });
  const logs = await cluster.logs('ordinary');
  expect('logs', logs.trim() === 'hello from ordinary', logs);

  const mount = join(cluster.layout.kubelet, 'smoke');
  const script = `mkdir ${mount} && mount -t tmpfs smoke ${mount} && echo mounted`;
  await cluster.exec(podOfSet!.metadata.name, ['sh', '-c', script]);
  const seen = mountsBelow(mount);
  expect('a mount made in the pod is seen on the node', seen.length === 1, seen.join());
  // Left mounted on purpose: teardown has to find it.
}

async function describe(cluster: Cluster): Promise<void> {
  await cluster.apply(volume);
  const text = await cluster.kubectl('describe', 'pv', 'pv-smoke');
  const lines = TABLE.split('\n').map((line) => line.trim());
  expect(
    'the table',
    lines.every((line) => text.includes(line)),
    text,
  );
  say(text.replace(/^/gm, '          | '));
}

async function reach(cluster: Cluster): Promise<void> {
  const { host, port } = cluster.apiServer;
  const script = `exec 3<>/dev/tcp/${host}/${String(port)} && echo reached`;
  const answer = await cluster.exec('ordinary', ['bash', '-c', script]);
  expect('an ordinary pod reaches the API server', answer.trim() === 'reached', answer);
}

/**
 * A target on a rack's address, in the cluster's network, answers in the driver's pods.
 */
async function targets(cluster: Cluster): Promise<void> {
  const backingFile = join(cluster.layout.root, 'lu');
  makeBackingFile(backingFile, 1 << 20);
  const racks = await Promise.all(
    [1, 2].map((rack) =>
      Target.start({ host: rackAddress(rack), port: 3260, backingFile, netns: cluster.netns }),
    ),
  );
  try {
    const [pod] = await cluster.list('pods', '-l', 'app=privileged');
    for (const { options } of racks) {
      const script = `exec 3<>/dev/tcp/${options.host}/3260 && echo reached`;
      const answer = await cluster.exec(pod!.metadata.name, ['bash', '-c', script]);
      expect(`a pod reaches ${options.host}`, answer.trim() === 'reached', answer);
    }
  } finally {
    for (const target of racks) await target.kill();
  }
}

async function restarts(cluster: Cluster): Promise<void> {
  await cluster.component('kube-apiserver').stop();
  const refused = await cluster.kubectl('get', 'nodes').then(
    () => false,
    () => true,
  );
  expect('a stopped API server does not answer', refused, 'an answer');
  await cluster.component('kube-apiserver').start();
  await cluster.component('kubelet').restart();
  await cluster.waitReady('node', cluster.nodeName);
  await cluster.waitReady('pod', 'ordinary');
}

async function memory(cluster: Cluster): Promise<void> {
  const names = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const;
  for (const name of [...names, 'containerd', 'kubelet'] as const) {
    const { pid } = cluster.component(name);
    const text = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
    const kib = Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0);
    say(`          | ${name.padEnd(24)} ${String(Math.round(kib / 1024)).padStart(4)} MiB`);
  }
  const { root } = cluster.layout;
  const used = await run('du', ['-shx', root]);
  say(`          | ${used.split('\t')[0] ?? ''} in the cluster's folder`);
}

removeAbandoned(); // else what a killed run left would count as "before"
const before = machine();
const startedAt = performance.now();
const cluster = await timed('start', async () =>
  Cluster.start({
    images: [await testPodImage()],
    nodeLabels: { 'topology.prioritypath.io/rack': 'r1' },
    onStep: (name, ms) => say(`${(ms / 1000).toFixed(1).padStart(6)} s    ${name}`),
  }),
);
try {
  await timed('pods, logs, exec, Bidirectional mount', () => pods(cluster));
  await timed('kubectl describe pv', () => describe(cluster));
  await timed('API server from an ordinary pod', () => reach(cluster));
  await timed('targets in two racks', () => targets(cluster));
  await timed('API server stop and start, kubelet restart', () => restarts(cluster));
  await memory(cluster);
  const { interfaces, sysctls } = machine();
  const network = (list: readonly string[] = []): string =>
    list.filter((line) => !/^(vm|kernel)/.test(line)).join();
  const untouched =
    network(interfaces) === network(before['interfaces']) &&
    network(sysctls) === network(before['sysctls']);
  expect("the machine's own network while it runs", untouched, network(interfaces));
  if (process.argv.includes('--keep')) {
    const inside = `nsenter --net=/run/netns/${cluster.netns}`;
    say(`KUBECONFIG=${cluster.kubeconfig} ${inside} kubectl …   # Ctrl-C takes it down`);
    await new Promise(() => setInterval(() => undefined, 60_000));
  }
} finally {
  await timed('stop', () => cluster.stop());
}
const after = machine();
for (const [what, was] of Object.entries(before)) {
  // Somebody else's API server may end meanwhile; one that was not there is ours.
  const is = (after[what] ?? []).filter((item) => what !== 'processes' || !was.includes(item));
  if (what === 'processes') expect('no process left', is.length === 0, is.join(', '));
  else expect(`${what} as before: ${was.join(', ')}`, was.join() === is.join(), is.join(', '));
}
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
say(`smoke: all well in ${seconds} s, nothing left behind`);
