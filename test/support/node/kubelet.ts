/**
 * The kubelet as csi sees it: a gRPC client on csi's socket that fills in requests the way the kubelet
 * does. For tests and the demo; knows no test framework.
 */
import {
  Client,
  type ServiceError,
  credentials,
  makeClientConstructor,
  status,
} from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { CSI_PROTO } from '../../../src/csi/wire/csi-messages.ts';
import { GRPC_OPTIONS } from '../../../src/pathd/grpc-options.ts';

export type AccessModeName =
  | 'UNKNOWN'
  | 'SINGLE_NODE_WRITER'
  | 'SINGLE_NODE_READER_ONLY'
  | 'MULTI_NODE_READER_ONLY'
  | 'MULTI_NODE_SINGLE_WRITER'
  | 'MULTI_NODE_MULTI_WRITER'
  | 'SINGLE_NODE_SINGLE_WRITER'
  | 'SINGLE_NODE_MULTI_WRITER';

export interface VolumeCapability {
  readonly mount?: { readonly fsType?: string; readonly mountFlags?: readonly string[] };
  readonly block?: Readonly<Record<string, never>>;
  readonly accessMode?: { readonly mode: AccessModeName };
}

/** volumeMode Filesystem. ReadWriteOnce arrives as SINGLE_NODE_MULTI_WRITER. */
export function mountCapability(
  fsType = 'ext4',
  mode: AccessModeName = 'SINGLE_NODE_MULTI_WRITER',
  mountFlags: readonly string[] = [],
): VolumeCapability {
  return { mount: { fsType, mountFlags }, accessMode: { mode } };
}

/** volumeMode Block. */
export function blockCapability(
  mode: AccessModeName = 'SINGLE_NODE_MULTI_WRITER',
): VolumeCapability {
  return { block: {}, accessMode: { mode } };
}

export interface StageOptions {
  readonly volumeId?: string;
  readonly stagingTargetPath?: string;
  readonly volumeCapability?: VolumeCapability;
  readonly volumeContext?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, string>>;
}

export interface PublishOptions extends StageOptions {
  readonly targetPath?: string;
  readonly readonly?: boolean;
}

export interface ExpandOptions {
  readonly volumeId?: string;
  readonly volumePath?: string;
  readonly stagingTargetPath?: string;
  readonly capacityRange?: { readonly requiredBytes?: number; readonly limitBytes?: number };
  readonly volumeCapability?: VolumeCapability;
}

export interface UsageAnswer {
  readonly unit: string;
  readonly total: number;
  readonly used: number;
  readonly available: number;
}

export interface Kubelet {
  stage(request: StageOptions): Promise<object>;
  unstage(request: { volumeId?: string; stagingTargetPath?: string }): Promise<object>;
  publish(request: PublishOptions): Promise<object>;
  unpublish(request: { volumeId?: string; targetPath?: string }): Promise<object>;
  stats(request: {
    volumeId?: string;
    volumePath?: string;
  }): Promise<{ readonly usage: readonly UsageAnswer[] }>;
  expand(request: ExpandOptions): Promise<{ readonly capacityBytes: number }>;
  info(): Promise<{
    readonly nodeId: string;
    readonly maxVolumesPerNode: number;
    readonly accessibleTopology: unknown;
  }>;
  /** Names of the node capabilities. */
  capabilities(): Promise<readonly string[]>;
  pluginInfo(): Promise<{ readonly name: string; readonly vendorVersion: string }>;
  pluginCapabilities(): Promise<{ readonly capabilities: readonly object[] }>;
  probe(): Promise<{ readonly ready: { readonly value: boolean } | null }>;
  /** Any method by its full name, "/csi.v1.Controller/CreateVolume", with an empty request. */
  raw(method: string): Promise<unknown>;
  close(): void;
}

/** The kubelet gives each call two minutes. */
const DEADLINE_MS = 120_000;

type Call = (
  request: object,
  options: { deadline: number },
  done: (error: ServiceError | null, response: unknown) => void,
) => void;

export function connectKubelet(socketPath: string): Kubelet {
  const definition = loadSync(CSI_PROTO, GRPC_OPTIONS);
  const open = (service: string): Client => {
    const Constructor = makeClientConstructor(definition[service] as ServiceDefinition, service);
    return new Constructor(`unix:${socketPath}`, credentials.createInsecure());
  };
  const node = open('csi.v1.Node');
  const identity = open('csi.v1.Identity');
  const call = <T>(client: Client, rpc: string, request: object = {}): Promise<T> =>
    new Promise((resolve, reject) => {
      const method = (client as unknown as Record<string, Call>)[rpc];
      if (method === undefined) throw new Error(`no method ${rpc}`);
      method.call(client, request, { deadline: Date.now() + DEADLINE_MS }, (error, response) => {
        if (error === null) resolve(response as T);
        else reject(error);
      });
    });
  return {
    stage: (request) => call(node, 'NodeStageVolume', request),
    unstage: (request) => call(node, 'NodeUnstageVolume', request),
    publish: (request) => call(node, 'NodePublishVolume', request),
    unpublish: (request) => call(node, 'NodeUnpublishVolume', request),
    stats: (request) => call(node, 'NodeGetVolumeStats', request),
    expand: (request) => call(node, 'NodeExpandVolume', request),
    info: () => call(node, 'NodeGetInfo'),
    capabilities: async () => {
      const answer = await call<{ capabilities: { rpc: { type: string } }[] }>(
        node,
        'NodeGetCapabilities',
      );
      return answer.capabilities.map((capability) => capability.rpc.type);
    },
    pluginInfo: () => call(identity, 'GetPluginInfo'),
    pluginCapabilities: () => call(identity, 'GetPluginCapabilities'),
    probe: () => call(identity, 'Probe'),
    raw: (method) =>
      new Promise((resolve, reject) => {
        const same = (bytes: Buffer): Buffer => bytes;
        node.makeUnaryRequest(method, same, same, Buffer.alloc(0), (error, response) => {
          if (error === null) resolve(response);
          else reject(error);
        });
      }),
    close: () => {
      node.close();
      identity.close();
    },
  };
}

/** Name of the gRPC code of a rejected call: "FAILED_PRECONDITION"; undefined for another error. */
export function codeName(error: unknown): string | undefined {
  const code = (error as Partial<ServiceError>).code;
  return code === undefined ? undefined : status[code];
}
