/**
 * Registration with the kubelet, without the usual sidecar: serves pluginregistration.Registration on
 * `<kubelet dir>/plugins_registry/<driver>-reg.sock`. The kubelet watches that folder, dials what
 * appears there, asks GetInfo, dials the CSI socket, calls NodeGetInfo, writes CSINode, and tells us
 * what came of it (pluginmanager and csi_plugin.go of Kubernetes 1.34).
 *
 * The socket is bound under a name that begins with a dot, which the kubelet ignores, and renamed when
 * it is listened on and protected. For the kubelet it appears at once and whole; for us it means that
 * closing the server, which removes the name it was bound to, never removes the socket of a successor.
 * The visible name is removed by us, and only while it still is our own socket (same inode).
 *
 * A kubelet that restarts finds the socket and asks again by itself. A kubelet, or an administrator, that
 * empties the folder leaves us listening on a file that no client can reach. So the name is looked at
 * every two seconds (a stat; inotify would save nothing and misses the folder being replaced) and the
 * socket shown again when it is gone, and also when a minute has passed without a registration, since a
 * kubelet that missed the appearance looks at nothing but the next one.
 */
import { rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  Server,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Logger } from '../../base/log.ts';
import { clearSocket, protectSocket, socketPath } from '../../host/unix-socket.ts';
import { GRPC_OPTIONS, listen, protoFile } from '../../pathd/grpc-options.ts';

export interface RegistrationOptions {
  /** The kubelet's --root-dir, where this process sees it. */
  readonly kubeletDir: string;
  /** CSI driver name, the same as GetPluginInfo's. */
  readonly driverName: string;
  /** The CSI socket as the kubelet sees it: an absolute path, or unix:///path. */
  readonly endpoint: string;
  readonly log: Logger;
  /** Time between two looks at the socket's name; default 2 s. */
  readonly checkEveryMs?: number;
  /** Time without a registration after which the socket is shown anew; default 60 s. */
  readonly showAgainAfterMs?: number;
}

export type RegistrationState =
  /** The socket is not there: why not, once known. */
  | { readonly kind: 'unserved'; readonly error: string | undefined }
  /** Served; the kubelet has not said yes yet. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'registered' }
  /** The kubelet's own words. It tries again. */
  | { readonly kind: 'refused'; readonly error: string };

export interface Registration {
  readonly state: RegistrationState;
  /**
   * Serves and keeps serving. Never rejects: what fails is logged and tried again, since a csi that
   * cannot register can still unstage.
   */
  start(): Promise<void>;
  /** Removes the socket, which unregisters, and stops serving. */
  stop(): Promise<void>;
}

const CHECK_EVERY_MS = 2_000;
const SHOW_AGAIN_AFTER_MS = 60_000;
/** CSI versions a kubelet may choose from: it compares the major number only. */
const SUPPORTED_VERSIONS = ['1.0.0'];

/** Where the kubelet of `kubeletDir` looks for the driver's registration socket. */
export function registrationSocket(kubeletDir: string, driverName: string): string {
  return join(kubeletDir, 'plugins_registry', `${driverName}-reg.sock`);
}

export function createRegistration(options: RegistrationOptions): Registration {
  return new KubeletRegistration(options);
}

class KubeletRegistration implements Registration {
  readonly #options: RegistrationOptions;
  readonly #log: Logger;
  readonly #path: string;
  #state: RegistrationState = { kind: 'unserved', error: undefined };
  #shown: Shown | undefined;
  #shownAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #checking: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: RegistrationOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#path = registrationSocket(options.kubeletDir, options.driverName);
  }

  get state(): RegistrationState {
    return this.#state;
  }

  async start(): Promise<void> {
    const { checkEveryMs = CHECK_EVERY_MS } = this.#options;
    await this.#check();
    this.#timer = setInterval(() => {
      this.#checking = this.#checking.then(() => this.#check());
    }, checkEveryMs);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#checking;
    await this.#hide();
    this.#state = { kind: 'unserved', error: undefined };
  }

  async #check(): Promise<void> {
    if (this.#stopped) return;
    const { showAgainAfterMs = SHOW_AGAIN_AFTER_MS } = this.#options;
    if (this.#shown !== undefined) {
      const present = (await inode(this.#path)) === this.#shown.inode;
      const overdue =
        this.#state.kind !== 'registered' && performance.now() - this.#shownAt > showAgainAfterMs;
      if (present && !overdue) return;
      const why = present ? 'no registration so far' : 'the socket is gone';
      this.#log.warn({ socket: this.#path, why }, 'shown to the kubelet again');
    }
    try {
      await this.#hide();
      await this.#show();
    } catch (error) {
      this.#unserved(error instanceof Error ? error.message : String(error));
    }
  }

  async #show(): Promise<void> {
    await clearSocket(this.#path);
    const hidden = socketPath(join(dirname(this.#path), `.${basename(this.#path)}`));
    await clearSocket(hidden);
    const server = new Server();
    server.addService(registrationService(), {
      GetInfo: (_call: unknown, reply: sendUnaryData<object>) => reply(null, this.#info()),
      NotifyRegistrationStatus: (
        call: ServerUnaryCall<RegistrationVerdict, object>,
        reply: sendUnaryData<object>,
      ) => {
        this.#notified(call.request);
        reply(null, {});
      },
    });
    try {
      await listen(server, hidden);
      await protectSocket(hidden);
      const own = await inode(hidden);
      await rename(hidden, this.#path);
      this.#shown = { server, inode: own };
    } catch (error) {
      server.forceShutdown();
      throw error;
    }
    this.#shownAt = performance.now();
    this.#state = { kind: 'waiting' };
    this.#log.info({ socket: this.#path }, 'registration is served');
  }

  /** Takes the socket away; the kubelet then unregisters us, unless we show it again. */
  async #hide(): Promise<void> {
    const shown = this.#shown;
    if (shown === undefined) return;
    this.#shown = undefined;
    if ((await inode(this.#path)) === shown.inode) await unlink(this.#path).catch(() => undefined);
    shown.server.forceShutdown();
  }

  #info(): object {
    const { driverName, endpoint } = this.#options;
    this.#log.debug({}, 'the kubelet asks for the plugin');
    return {
      type: 'CSIPlugin',
      name: driverName,
      endpoint: socketPath(endpoint),
      supportedVersions: SUPPORTED_VERSIONS,
    };
  }

  #notified({ pluginRegistered, error }: RegistrationVerdict): void {
    if (pluginRegistered) {
      if (this.#state.kind !== 'registered') this.#log.info({}, 'registered with the kubelet');
      this.#state = { kind: 'registered' };
      return;
    }
    this.#state = { kind: 'refused', error };
    this.#log.error({ error }, 'the kubelet refused the registration; it will try again');
  }

  #unserved(error: string): void {
    // Tried again every time; said once.
    const known = this.#state.kind === 'unserved' && this.#state.error === error;
    if (!known) this.#log.error({ socket: this.#path, error }, 'cannot serve the registration');
    this.#state = { kind: 'unserved', error };
  }
}

interface Shown {
  readonly server: Server;
  readonly inode: number | undefined;
}

/** RegistrationStatus as grpc hands it over. */
interface RegistrationVerdict {
  readonly pluginRegistered: boolean;
  readonly error: string;
}

function registrationService(): ServiceDefinition {
  const definition = loadSync(protoFile('pluginregistration.proto'), GRPC_OPTIONS);
  return definition['pluginregistration.Registration'] as ServiceDefinition;
}

/** undefined when there is no such file. */
async function inode(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.ino;
}
