/**
 * The gRPC server of csi: wires the services to a unix socket and logs each call.
 *
 * Logged are named fields (RPC, volume, paths, duration, code), never a request: requests carry
 * secrets and mount options. Polled calls are logged at debug level unless they fail.
 */
import { rmdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import {
  Server,
  type ServiceDefinition,
  type ServerUnaryCall,
  type UntypedServiceImplementation,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { type LogFields, type Logger, withFields } from '../base/log.ts';
import { DRIVER_NAME } from '../kubernetes/contract.ts';
import type { Topology, TopologyWeights } from '../kubernetes/topology.ts';
import type { PathdApi } from '../pathd/api.ts';
import { GRPC_OPTIONS, listen } from '../pathd/grpc-options.ts';
import { Cluster, type KubernetesOptions } from './cluster/cluster.ts';
import type { NodeContext } from './node/context.ts';
import { HomeMark, unrecordedStages } from './node/home.ts';
import { identityHandlers } from './wire/identity-service.ts';
import { nodeHandlers } from './node/node.ts';
import type { NoticeSource } from './cluster/notice-relay.ts';
import { readMountInfo } from '../host/mount/mountinfo.ts';
import { SYSTEM_MOUNTS } from './node/mounts.ts';
import { clearSocket, protectSocket, socketPath } from '../host/unix-socket.ts';
import { StateStore } from './node/stage-record.ts';
import { codeOf, messageOf, toServiceError } from './wire/csi-error.ts';
import { CSI_PROTO } from './wire/csi-messages.ts';

export interface CsiServerOptions {
  /** unix:///path or /path. */
  readonly endpoint: string;
  /** Where records of staged volumes are kept, over restarts and reboots. */
  readonly stateDir: string;
  /** Where pathd is, for the mark that tells the next csi (home.ts). */
  readonly pathdEndpoint: string;
  /** CSI node_id: the Node's name; at most 256 bytes. */
  readonly nodeId: string;
  readonly topology: Topology;
  readonly weights: TopologyWeights;
  readonly pathd: PathdApi & NoticeSource;
  readonly log: Logger;
  /** max_volumes_per_node; 0: no limit of ours. */
  readonly maxVolumes: number;
  /** vendor_version. */
  readonly version: string;
  /** Absent: no Kubernetes API is spoken to. */
  readonly kubernetes?: KubernetesOptions;
}

export interface CsiServer {
  /** Resolves when the socket is served. */
  start(): Promise<void>;
  /** Takes no new calls, waits for running ones up to `graceMs` (default 10 s), then drops them. */
  stop(graceMs?: number): Promise<void>;
  /** The API server's side; undefined without Kubernetes. */
  readonly cluster: Cluster | undefined;
}

export function createCsiServer(options: CsiServerOptions): CsiServer {
  const path = socketPath(options.endpoint);
  const mark = markOf(options, dirname(path));
  const state = new StateStore(options.stateDir, mark);
  const { nodeId, topology, weights, maxVolumes, pathd, log } = options;
  const cluster = createCluster(options, state);
  const node: NodeContext = {
    ...{ nodeId, topology, weights, maxVolumes, pathd, state, log, cluster },
    mounts: SYSTEM_MOUNTS,
    lastUsage: new Map(),
  };
  const server = new Server();
  const definition = loadSync(CSI_PROTO, GRPC_OPTIONS);
  const add = (service: string, handlers: object): void =>
    server.addService(definition[service] as ServiceDefinition, unaryHandlers(handlers, log));
  add('csi.v1.Identity', identityHandlers(options.version));
  add('csi.v1.Node', nodeHandlers(node));
  return {
    cluster,
    start: async () => {
      const opened = await mark?.open();
      if (opened?.ok === false) throw new Error(opened.error);
      await state.open();
      await tellUnrecorded(state, log);
      await cluster?.open();
      await clearSocket(path);
      await listen(server, path);
      await protectSocket(path);
      log.info({ socket: path, nodeId, kubernetes: cluster !== undefined }, 'CSI is served');
      cluster?.start();
    },
    stop: async (graceMs = 10_000) => {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, graceMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      });
      await cluster?.stop();
      await mark?.stop();
      // The kubelet's plugins/<driver>: nothing of ours stays there. Any other folder is not ours.
      const folder = dirname(path);
      if (basename(folder) === DRIVER_NAME) await rmdir(folder).catch(() => undefined);
    },
  };
}

/** In the kubelet's plugins/<driver> only: any other folder is not ours. */
function markOf(options: CsiServerOptions, folder: string): HomeMark | undefined {
  if (basename(folder) !== DRIVER_NAME) return undefined;
  const { stateDir, pathdEndpoint, log } = options;
  return new HomeMark(folder, { stateDir, pathd: pathdEndpoint }, log);
}

async function tellUnrecorded(state: StateStore, log: Logger): Promise<void> {
  const mounts = unrecordedStages(await readMountInfo(), await state.stagingPaths());
  if (mounts.length === 0) return;
  const text = 'staged by this driver and not recorded: is --state-dir what it was? Drain the node';
  log.warn({ mounts }, text);
}

function createCluster(options: CsiServerOptions, state: StateStore): Cluster | undefined {
  const { kubernetes, nodeId, stateDir, topology, weights, pathd, log } = options;
  if (kubernetes === undefined) return undefined;
  const node = nodeId;
  return new Cluster({ ...kubernetes, node, stateDir, topology, weights, pathd, log, state });
}

type Handler = (request: object) => object | Promise<object>;

function unaryHandlers(handlers: object, log: Logger): UntypedServiceImplementation {
  const implementation: UntypedServiceImplementation = {};
  for (const [rpc, handler] of Object.entries(handlers) as [string, Handler][]) {
    implementation[rpc] = (
      call: ServerUnaryCall<object, object>,
      callback: sendUnaryData<object>,
    ): void => void serve(rpc, handler, call.request, log).then(...answer(callback));
  }
  return implementation;
}

function answer(
  callback: sendUnaryData<object>,
): [(response: object) => void, (error: unknown) => void] {
  return [
    (response) => callback(null, response),
    (error: unknown) => callback(toServiceError(error), null),
  ];
}

/** Asked again and again by the kubelet. */
const POLLED = /^(Probe|Get.*|NodeGet.*)$/;
/** The fields of any request that may be logged. */
const LOGGED = ['volumeId', 'stagingTargetPath', 'targetPath', 'volumePath', 'readonly'];

let lastRequest = 0;

async function serve(
  rpc: string,
  handler: Handler,
  request: object,
  root: Logger,
): Promise<object> {
  const fields = Object.fromEntries(
    Object.entries(request).filter(([key, value]) => LOGGED.includes(key) && value !== ''),
  );
  const log = withFields(root, { requestId: ++lastRequest, rpc, ...fields });
  const say = (more: LogFields, message: string): void =>
    POLLED.test(rpc) ? log.debug(more, message) : log.info(more, message);
  const startedAt = performance.now();
  const durationMs = (): number => Math.round(performance.now() - startedAt);
  say({}, 'call begins');
  try {
    const response = await handler(request);
    say({ durationMs: durationMs() }, 'call ended');
    return response;
  } catch (error) {
    const code = codeOf(error);
    const failure = { code, error: messageOf(error), durationMs: durationMs() };
    // Without a code of its own it is a bug of ours: the stack is worth having.
    const stack = code === 'INTERNAL' && error instanceof Error ? { stack: error.stack } : {};
    log.warn({ ...failure, ...stack }, 'call failed');
    throw error;
  }
}
