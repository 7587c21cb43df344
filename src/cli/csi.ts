/** `priority-path csi`: the CSI process. It may end and start again at any time; I/O goes on. */
import { type Command, type CommandIo, EXIT } from './commands.ts';
import { flagsHelp, parseFlags, type Flags, type FlagValues } from './flags.ts';
import { LOG_FLAGS, loggerFromFlags } from './log-flags.ts';
import {
  type Credentials,
  inClusterCredentials,
  isInCluster,
  kubeconfigCredentials,
} from '../kubernetes/credentials.ts';
import { DRIVER_NAME } from '../kubernetes/contract.ts';
import { DEFAULT_TOPOLOGY_KEYS, isLabelKey } from '../kubernetes/keys.ts';
import { DEFAULT_WEIGHTS, type TopologyWeights } from '../kubernetes/topology.ts';
import { connectPathd } from '../pathd/pathd-client.ts';
import type { HttpServer } from '../telemetry/http.ts';
import type { KubernetesOptions } from '../csi/cluster/cluster.ts';
import { serveHealth } from '../csi/wire/health.ts';
import { parsePolicyDefaults, withPolicyDefaults } from '../csi/cluster/policy-defaults.ts';
import {
  createRegistration,
  type Registration,
  type RegistrationState,
} from '../csi/wire/registration.ts';
import { createCsiServer, type CsiServerOptions } from '../csi/grpc-server.ts';

const FLAGS = {
  endpoint: {
    value: 'ADDR',
    help: 'unix socket to serve CSI on',
    default: 'unix:///run/priority-path/csi.sock',
    env: 'CSI_ENDPOINT',
  },
  pathd: {
    value: 'ADDR',
    help: 'unix socket of pathd',
    default: 'unix:///run/priority-path/pathd.sock',
    env: 'PATHD_ENDPOINT',
  },
  'state-dir': {
    value: 'DIR',
    help: 'records of what is staged and published',
    default: '/var/lib/priority-path/csi',
  },
  'node-id': { value: 'ID', help: 'name of this Node, at most 256 bytes', env: 'NODE_NAME' },
  kubernetes: {
    value: 'MODE',
    help: 'auto, on or off: read PVs and show status there; auto: on in a pod or with a kubeconfig',
    default: 'auto',
    env: 'PRIORITY_PATH_KUBERNETES',
  },
  kubeconfig: {
    value: 'FILE',
    help: "API server and credentials; default: the pod's service account",
    default: '',
  },
  'maintenance-config': {
    value: 'NS/NAME',
    help: 'ConfigMap with racks and portals drained for every volume; empty: none is read',
    default: '',
  },
  'rack-label': {
    value: 'KEY',
    help: 'node label with the rack',
    default: DEFAULT_TOPOLOGY_KEYS.rack,
  },
  'room-label': {
    value: 'KEY',
    help: 'node label with the room',
    default: DEFAULT_TOPOLOGY_KEYS.room,
  },
  'room-fallback-label': {
    value: 'KEY',
    help: 'node label used where there is no room label; none: no fallback',
    default: DEFAULT_TOPOLOGY_KEYS.roomFallback,
  },
  rack: {
    value: 'NAME',
    help: 'rack of this node, beats its label',
    default: '',
    env: 'NODE_RACK',
  },
  room: {
    value: 'NAME',
    help: 'room of this node, beats its label',
    default: '',
    env: 'NODE_ROOM',
  },
  weights: {
    value: 'R,M,O',
    help: 'max weights of same rack, same room, other room; each 1..1000',
    default: '100,90,80',
  },
  'max-volumes': { value: 'N', help: 'max_volumes_per_node; 0: no limit', default: '0' },
  'policy-defaults': {
    value: 'JSON',
    help: 'policy values by name for every volume that does not say otherwise',
    default: '{}',
    env: 'POLICY_DEFAULTS',
  },
  registration: {
    value: 'MODE',
    help: 'auto, on or off: register with the kubelet; auto: on in a pod',
    default: 'auto',
  },
  'kubelet-dir': {
    value: 'DIR',
    help: "the kubelet's --root-dir, where plugins register",
    default: '/var/lib/kubelet',
  },
  'kubelet-endpoint': {
    value: 'ADDR',
    help: 'the CSI socket as the kubelet sees it, if not by the path of --endpoint',
    default: '',
  },
  'health-host': { value: 'ADDR', help: 'address of /healthz and /readyz', default: '127.0.0.1' },
  'health-port': { value: 'PORT', help: 'their port; 0: not served', default: '0' },
  ...LOG_FLAGS,
} as const satisfies Flags;

export function csiCommand(version: string): Command {
  return {
    name: 'csi',
    summary: 'serve the CSI Identity and Node services to the kubelet',
    run: async (args, io) => {
      const flags = parseFlags(FLAGS, args, io.env);
      if (!flags.ok) return usage(io, flags.error);
      if (flags.value === 'help') {
        io.stdout.write(flagsHelp('csi', 'CSI node service. Needs root, and pathd.', FLAGS));
        return EXIT.ok;
      }
      const options = configure(flags.value, version, io.env);
      if (typeof options === 'string') return usage(io, options);
      const front = configureFront(flags.value, options, io.env);
      return typeof front === 'string' ? usage(io, front) : serve(options, front, io);
    },
  };
}

function configure(
  flags: FlagValues<typeof FLAGS>,
  version: string,
  env: CommandIo['env'],
): CsiServerOptions | string {
  const weights = parseWeights(flags.weights);
  if (weights === undefined) return `--weights ${flags.weights}: expected three numbers 1..1000`;
  const maxVolumes = Number(flags['max-volumes']);
  if (!Number.isInteger(maxVolumes) || maxVolumes < 0) {
    return `--max-volumes ${flags['max-volumes']}: expected 0 or a whole number`;
  }
  const kubernetes = configureKubernetes(flags, env);
  if (typeof kubernetes === 'string') return kubernetes;
  const policy = parsePolicyDefaults(flags['policy-defaults'], weights);
  if (!policy.ok) return `--policy-defaults: ${policy.error}`;
  const log = loggerFromFlags('csi', flags);
  if (!log.ok) return log.error;
  return {
    ...(kubernetes === undefined
      ? {}
      : { kubernetes: { ...kubernetes, policyDefaults: policy.value } }),
    endpoint: flags.endpoint,
    stateDir: flags['state-dir'],
    pathdEndpoint: flags.pathd,
    nodeId: flags['node-id'],
    topology: { rack: flags.rack || undefined, room: flags.room || undefined },
    weights,
    pathd: withPolicyDefaults(connectPathd(flags.pathd), policy.value),
    log: log.value,
    maxVolumes,
    version,
  };
}

/** What to do about Kubernetes; undefined: nothing. */
function configureKubernetes(
  flags: FlagValues<typeof FLAGS>,
  env: CommandIo['env'],
): Omit<KubernetesOptions, 'policyDefaults'> | undefined | string {
  const { kubernetes: mode, kubeconfig, 'maintenance-config': config } = flags;
  if (!['auto', 'on', 'off'].includes(mode)) {
    return `--kubernetes ${mode}: expected auto, on or off`;
  }
  const fallback = flags['room-fallback-label'];
  const topologyKeys = {
    rack: flags['rack-label'],
    room: flags['room-label'],
    roomFallback: fallback === 'none' ? '' : fallback,
  };
  for (const key of Object.values(topologyKeys)) {
    if (key !== '' && !isLabelKey(key)) return `"${key}": expected a label key, [prefix/]name`;
  }
  const inCluster = isInCluster(env);
  if (mode === 'off' || (mode === 'auto' && kubeconfig === '' && !inCluster)) return undefined;
  if (kubeconfig === '' && !inCluster) {
    return '--kubernetes on: not in a pod (KUBERNETES_SERVICE_HOST is not set): give --kubeconfig';
  }
  const credentials = async (): Promise<Credentials> =>
    kubeconfig === '' ? inClusterCredentials(env) : kubeconfigCredentials(kubeconfig);
  const [, namespace, name] = /^([a-z0-9-]+)\/([a-z0-9.-]+)$/.exec(config) ?? [];
  if (namespace === undefined || name === undefined) {
    if (config !== '') return `--maintenance-config ${config}: expected NAMESPACE/NAME`;
    return { credentials, topologyKeys };
  }
  return { credentials, topologyKeys, maintenance: { namespace, name } };
}

function parseWeights(text: string): TopologyWeights | undefined {
  const numbers = text.split(',').map(Number);
  const good = numbers.every((number) => Number.isInteger(number) && number >= 1 && number <= 1000);
  const [sameRack, sameRoom, otherRoom] = numbers;
  if (!good || numbers.length !== Object.keys(DEFAULT_WEIGHTS).length) return undefined;
  if (sameRack === undefined || sameRoom === undefined || otherRoom === undefined) return undefined;
  return { sameRack, sameRoom, otherRoom };
}

/** What the kubelet sees of this process beside CSI: where to register, where to answer probes. */
interface Front {
  readonly registration: Registration | undefined;
  readonly healthHost: string;
  /** 0: no probes are answered. */
  readonly healthPort: number;
}

function configureFront(
  flags: FlagValues<typeof FLAGS>,
  { endpoint, log }: CsiServerOptions,
  env: CommandIo['env'],
): Front | string {
  const { registration: mode, 'health-host': healthHost } = flags;
  if (!['auto', 'on', 'off'].includes(mode)) return `--registration ${mode}: auto, on or off`;
  const healthPort = Number(flags['health-port']);
  if (!Number.isInteger(healthPort) || healthPort < 0 || healthPort > 65_535) {
    return `--health-port ${flags['health-port']}: expected 0..65535`;
  }
  const on = mode === 'on' || (mode === 'auto' && isInCluster(env));
  const registration = on
    ? createRegistration({
        kubeletDir: flags['kubelet-dir'],
        driverName: DRIVER_NAME,
        endpoint: flags['kubelet-endpoint'] || endpoint,
        log,
      })
    : undefined;
  return { registration, healthHost, healthPort };
}

async function serve(options: CsiServerOptions, front: Front, io: CommandIo): Promise<number> {
  const server = createCsiServer(options);
  const { registration, healthHost: host, healthPort: port } = front;
  let health: HttpServer | undefined;
  try {
    // First: a probe must not wait for what is read from disk at start.
    if (port !== 0) {
      const state = (): RegistrationState | undefined => registration?.state;
      health = await serveHealth({ host, port, registration: state, pathd: options.pathd });
    }
    await server.start();
    await registration?.start();
  } catch (error) {
    io.stderr.write(
      `priority-path csi: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    return EXIT.failed;
  }
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) resolve();
    io.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  // Said good-bye to before it is gone: the kubelet then waits for the next one, and does not dial.
  await registration?.stop();
  await server.stop();
  await health?.stop();
  return EXIT.ok;
}

function usage(io: CommandIo, problem: string): number {
  io.stderr.write(`priority-path csi: ${problem}; see --help\n`);
  return EXIT.usage;
}
