/**
 * Configuration of every component: files and command lines, as functions of where the cluster
 * lives. What is unusual here, and why:
 *
 *  - The node's address is one of our own on `lo` of the cluster's network namespace: the kubelet
 *    refuses 127.0.0.0/8 for a node. Ordinary pods reach it too, through their veth.
 *  - restrict_oom_score_adj, KubeletInUserNamespace: without CAP_SYS_RESOURCE runc and the kubelet
 *    may not do what they would like to do at start.
 *  - No kube-proxy: 10.0.0.1:443 does not answer. Pods are told the API server's address.
 *  - Nothing under /var or /etc: all state below the cluster's folder, the kubelet's iptables
 *    chains off. What components do to the machine all the same is undone in remains.ts.
 *  - No eviction and no image collection: a full developer's disk is not what is tested.
 */
import { join } from 'node:path';
import { PAUSE } from './images.ts';

export const NODE_NAME = 'node1';

/** On the namespace's `lo`. From 198.18.0.0/15: benchmarking, never routed (RFC 2544). */
export const NODE_ADDRESS = '198.18.77.1';

/** etcd and the ports for health checks. */
export const LOCAL_ADDRESS = '127.77.0.1';

/** Address of a rack's portals, rack 1..254: a target there is reached by every hostNetwork pod. */
export function rackAddress(rack: number): string {
  return `127.77.1.${String(rack)}`;
}

export const API_PORT = 6443;
export const API_SERVER = `https://${NODE_ADDRESS}:${String(API_PORT)}`;

const POD_SUBNET = '198.18.80.0/24';
const SERVICE_RANGE = '10.0.0.0/24';

/** Whose requests the API server writes down: service accounts of this namespace. */
const AUDITED = 'system:serviceaccounts:priority-path';

export const SERVER_NAMES: readonly string[] = [
  ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost'].map(
    (name) => `DNS:${name}`,
  ),
  ...[NODE_ADDRESS, '127.0.0.1', LOCAL_ADDRESS, '10.0.0.1'].map((address) => `IP:${address}`),
];

/** Folders and files of one cluster. */
export class Layout {
  readonly root: string;
  /** Name of its cgroup in every tree. */
  readonly cgroup: string;

  constructor(root: string, cgroup: string) {
    this.root = root;
    this.cgroup = cgroup;
  }

  /** Network namespace of everything that runs in the cluster. */
  get netns(): string {
    return this.cgroup;
  }

  get certificates(): string {
    return join(this.root, 'pki');
  }

  get logs(): string {
    return join(this.root, 'logs');
  }

  /** The kubelet's directory: what /var/lib/kubelet is elsewhere. */
  get kubelet(): string {
    return join(this.root, 'kubelet');
  }

  get podLogs(): string {
    return join(this.root, 'pod-logs');
  }

  get containerdState(): string {
    return join(this.root, 'run');
  }

  get containerdSocket(): string {
    return join(this.root, 'containerd.sock');
  }

  get settings(): string {
    return join(this.root, 'settings');
  }

  get cni(): string {
    return join(this.root, 'cni');
  }

  pki(file: string): string {
    return join(this.certificates, file);
  }

  log(name: string): string {
    return join(this.logs, `${name}.log`);
  }
}

const flag = (name: string, value: string | number | boolean): string =>
  `--${name}=${String(value)}`;

function flags(values: Readonly<Record<string, string | number | boolean>>): string[] {
  return Object.entries(values).map(([name, value]) => flag(name, value));
}

export function etcdFlags(layout: Layout): string[] {
  const client = `http://${LOCAL_ADDRESS}:2379`;
  const peer = `http://${LOCAL_ADDRESS}:2380`;
  return flags({
    name: 'etcd',
    'data-dir': join(layout.root, 'etcd'),
    'listen-client-urls': client,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': `etcd=${peer}`,
    logger: 'zap',
    'log-level': 'warn',
  });
}

export function apiServerFlags(layout: Layout): string[] {
  return flags({
    'bind-address': NODE_ADDRESS,
    'secure-port': API_PORT,
    'advertise-address': NODE_ADDRESS,
    'endpoint-reconciler-type': 'none',
    'etcd-servers': `http://${LOCAL_ADDRESS}:2379`,
    'allow-privileged': true,
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'service-cluster-ip-range': SERVICE_RANGE,
    'client-ca-file': layout.pki('ca.crt'),
    'tls-cert-file': layout.pki('apiserver.crt'),
    'tls-private-key-file': layout.pki('apiserver.key'),
    'kubelet-certificate-authority': layout.pki('ca.crt'),
    'kubelet-client-certificate': layout.pki('apiserver-kubelet.crt'),
    'kubelet-client-key': layout.pki('apiserver-kubelet.key'),
    'kubelet-preferred-address-types': 'InternalIP',
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': layout.pki('service-account.crt'),
    'service-account-signing-key-file': layout.pki('service-account.key'),
    'shutdown-delay-duration': '0s',
    // Lists by watch want an etcd that is newer than Debian's.
    'feature-gates': 'WatchList=false',
    'audit-policy-file': join(layout.settings, 'audit.json'),
    'audit-log-path': layout.log('audit'),
    profiling: false,
  });
}

/** Every request of service accounts below `audited`, without bodies; of nobody else. */
export function auditPolicy(): object {
  return {
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    rules: [{ level: 'Metadata', userGroups: [AUDITED] }, { level: 'None' }],
  };
}

export function controllerManagerFlags(layout: Layout): string[] {
  const kubeconfig = layout.pki('kube-controller-manager.kubeconfig');
  return flags({
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    'bind-address': LOCAL_ADDRESS,
    'leader-elect': false,
    'use-service-account-credentials': true,
    'root-ca-file': layout.pki('ca.crt'),
    'service-account-private-key-file': layout.pki('service-account.key'),
    profiling: false,
  });
}

export function schedulerFlags(layout: Layout): string[] {
  const kubeconfig = layout.pki('kube-scheduler.kubeconfig');
  return flags({
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    'bind-address': LOCAL_ADDRESS,
    'leader-elect': false,
    profiling: false,
  });
}

export function kubeletFlags(layout: Layout): string[] {
  return flags({
    config: join(layout.settings, 'kubelet.json'),
    kubeconfig: layout.pki('node.kubeconfig'),
    'root-dir': layout.kubelet,
    'cert-dir': join(layout.root, 'kubelet-pki'),
    'hostname-override': NODE_NAME,
    'node-ip': NODE_ADDRESS,
  });
}

export function kubeletConfig(layout: Layout): object {
  const never = { 'memory.available': '0%', 'nodefs.available': '0%', 'imagefs.available': '0%' };
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: NODE_ADDRESS,
    healthzBindAddress: LOCAL_ADDRESS,
    tlsCertFile: layout.pki('kubelet-server.crt'),
    tlsPrivateKeyFile: layout.pki('kubelet-server.key'),
    authentication: {
      anonymous: { enabled: false },
      x509: { clientCAFile: layout.pki('ca.crt') },
    },
    containerRuntimeEndpoint: `unix://${layout.containerdSocket}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${layout.cgroup}`,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    failCgroupV1: false,
    localStorageCapacityIsolation: false,
    makeIPTablesUtilChains: false,
    podLogsDir: layout.podLogs,
    volumePluginDir: join(layout.root, 'volume-plugins'),
    staticPodPath: '',
    evictionHard: { ...never, 'nodefs.inodesFree': '0%', 'imagefs.inodesFree': '0%' },
    imageGCHighThresholdPercent: 100,
    nodeStatusUpdateFrequency: '5s',
    featureGates: { KubeletInUserNamespace: true },
  };
}

const CRI = 'plugins."io.containerd.grpc.v1.cri"';

export function containerdConfig(layout: Layout): string {
  const off = ['aufs', 'btrfs', 'devmapper', 'native', 'zfs'];
  const disabled = off.map((name) => `"io.containerd.snapshotter.v1.${name}"`).join(', ');
  return `version = 2
root = "${layout.root}/containerd"
state = "${layout.containerdState}"
disabled_plugins = [${disabled}]
[grpc]
  address = "${layout.containerdSocket}"
[ttrpc]
  address = "${layout.containerdSocket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${layout.root}/containerd-opt"
[${CRI}]
  sandbox_image = "${PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
[${CRI}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[${CRI}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[${CRI}.containerd.runtimes.runc.options]
  SystemdCgroup = false
  Root = "${layout.root}/runc"
[${CRI}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${layout.cni}"
`;
}

/**
 * One ptp network: a veth pair and a route for each pod, addresses counted in the cluster's folder.
 */
export function cniConfig(layout: Layout): object {
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        ipam: {
          type: 'host-local',
          subnet: POD_SUBNET,
          routes: [{ dst: '0.0.0.0/0' }],
          dataDir: join(layout.root, 'addresses'),
        },
      },
    ],
  };
}
