/**
 * How every server of this project listens. How every .proto is loaded, by servers and clients alike:
 * camelCase, enums by name, 64-bit integers as numbers (every one is a size or a time, below 2^53), absent scalars as their
 * defaults, absent messages as null.
 */
import {
  loadPackageDefinition,
  type Server,
  ServerCredentials,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync, type Options } from '@grpc/proto-loader';

export const GRPC_OPTIONS: Options = {
  keepCase: false,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
};

/** Published definitions; beside `src` in the repository and in the image. */
export function protoFile(name: string): string {
  return new URL(`../../proto/${name}`, import.meta.url).pathname;
}

/** Listens on a unix socket, of which only the mode of its file keeps others away. Rejects with what bind(2) says. */
export function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

interface PathdPackage {
  readonly prioritypath: {
    readonly pathd: { readonly v1: { readonly Pathd: ServiceClientConstructor } };
  };
}

/** Client class of the Pathd service; its `service` is the server's definition. */
export function loadPathd(): ServiceClientConstructor {
  const definition = loadSync(protoFile('pathd.proto'), GRPC_OPTIONS);
  const loaded = loadPackageDefinition(definition) as unknown as PathdPackage;
  return loaded.prioritypath.pathd.v1.Pathd;
}
