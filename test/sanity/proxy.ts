/**
 * What csi-sanity talks to: the driver's own socket with a controller beside it.
 *
 * csi-sanity runs its node tests in full only if the node's endpoint says that there is a controller,
 * and gets its volumes from that. The driver has none and no switch to pretend, so this gRPC server
 * stands in front of it. Identity and Node calls go through as the bytes they are. The one answer that
 * is changed is GetPluginCapabilities: CONTROLLER_SERVICE is appended, which in protobuf is appending
 * bytes, because a repeated field may come in pieces. Controller calls are answered from the targets
 * in targets.ts.
 */
import { type ServiceDefinition, type ServiceError, status } from '@grpc/grpc-js';
import { Client, Server, ServerCredentials, credentials } from '@grpc/grpc-js';
import type { UntypedHandleCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { CSI_PROTO } from '../../src/csi/wire/csi-messages.ts';
import { GRPC_OPTIONS } from '../../src/pathd/grpc-options.ts';
import type { Targets } from './targets.ts';

/** `capabilities: [{ service: { type: CONTROLLER_SERVICE } }]` of GetPluginCapabilitiesResponse. */
const CONTROLLER_SERVICE = Buffer.from([0x0a, 0x04, 0x0a, 0x02, 0x08, 0x01]);
const CAPABILITIES = '/csi.v1.Identity/GetPluginCapabilities';
const CONTROLLER_PROTO = new URL('controller.proto', import.meta.url).pathname;

type Raw = ServerUnaryCall<Buffer, Buffer>;

const asIs = (bytes: Buffer): Buffer => bytes;

export class Proxy {
  readonly #server = new Server();
  readonly #driver: Client;

  /** Rejects when it cannot listen; `listen` and `driver` are paths of unix sockets. */
  static async start(listen: string, driver: string, targets: Targets): Promise<Proxy> {
    const proxy = new Proxy(driver, targets);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.bindAsync(`unix:${listen}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    return proxy;
  }

  private constructor(driver: string, targets: Targets) {
    this.#driver = new Client(`unix:${driver}`, credentials.createInsecure());
    const csi = loadSync(CSI_PROTO, GRPC_OPTIONS);
    for (const name of ['csi.v1.Identity', 'csi.v1.Node']) {
      this.#forward(csi[name] as ServiceDefinition);
    }
    const controller = loadSync(CONTROLLER_PROTO, GRPC_OPTIONS);
    this.#server.addService(
      controller['csi.v1.Controller'] as ServiceDefinition,
      controllerHandlers(targets),
    );
  }

  #forward(service: ServiceDefinition): void {
    const raw: Record<string, ServiceDefinition[string]> = {};
    const handlers: Record<string, UntypedHandleCall> = {};
    for (const [name, method] of Object.entries(service)) {
      raw[name] = {
        ...method,
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      };
      handlers[name] = (call: Raw, answer: sendUnaryData<Buffer>): void => {
        this.#driver.makeUnaryRequest(
          method.path,
          asIs,
          asIs,
          call.request,
          call.metadata,
          (error: ServiceError | null, response?: Buffer) => {
            if (error !== null || response === undefined) answer(error);
            else if (method.path !== CAPABILITIES) answer(null, response);
            else answer(null, Buffer.concat([response, CONTROLLER_SERVICE]));
          },
        );
      };
    }
    this.#server.addService(raw, handlers);
  }

  close(): void {
    this.#server.forceShutdown();
    this.#driver.close();
  }
}

/** The fields of all of Controller's requests that are looked at. */
interface ControllerRequest {
  readonly name: string;
  readonly volumeId: string;
  readonly capacityRange: { readonly requiredBytes: number } | null;
}

function controllerHandlers(targets: Targets): UntypedServiceImplementation {
  const unary =
    (answerTo: (request: ControllerRequest) => Promise<object>): UntypedHandleCall =>
    (call: ServerUnaryCall<ControllerRequest, object>, answer: sendUnaryData<object>): void => {
      answerTo(call.request).then(
        (response) => answer(null, response),
        (error: unknown) => answer({ code: status.INTERNAL, details: String(error) }),
      );
    };
  const rpc = (type: string): object => ({ rpc: { type } });
  return {
    CreateVolume: unary(async ({ name, capacityRange }) => ({
      volume: await targets.create(name, capacityRange?.requiredBytes ?? 0),
    })),
    DeleteVolume: unary(async ({ volumeId }) => {
      await targets.delete(volumeId);
      return {};
    }),
    ControllerGetCapabilities: unary(async () => ({
      capabilities: [rpc('CREATE_DELETE_VOLUME'), rpc('EXPAND_VOLUME')],
    })),
    ControllerExpandVolume: unary(async ({ volumeId, capacityRange }) => {
      const capacityBytes = capacityRange?.requiredBytes ?? 0;
      await targets.grow(volumeId, capacityBytes);
      return { capacityBytes, nodeExpansionRequired: true };
    }),
  };
}
