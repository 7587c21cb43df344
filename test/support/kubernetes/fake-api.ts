/**
 * As much of a Kubernetes API server as the driver talks to: PVs, Nodes and Events over HTTP/2
 * (with prior knowledge), GET, merge patch with preconditions, server-side apply of annotations by
 * manager, watches selected by name with bookmarks and 410. It can hang, refuse, forbid, forget its
 * history and drop its connections; and it counts what it was asked.
 */
import {
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  createServer,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Credentials } from '../../../src/kubernetes/credentials.ts';
import { applyAnnotations, isRecord, mergePatch, type Managed } from './fake-api-patch.ts';

export interface FakeObject extends Record<string, unknown> {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

export interface FakeEvent {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly involvedObject: { readonly kind: string; readonly name: string; readonly uid: string };
  readonly reason: string;
  readonly message: string;
  readonly type: string;
  readonly count: number;
}

type Collection = 'persistentvolumes' | 'nodes' | 'configmaps';
type Mode = 'up' | 'hang' | 'error' | 'forbid' | 'unknown';

interface Watcher {
  readonly collection: string;
  readonly name: string;
  readonly response: Http2ServerResponse;
}

export class FakeApi {
  /** "GET /api/v1/…" of every request, in order; watches as "WATCH …". */
  readonly requests: string[] = [];
  readonly events: FakeEvent[] = [];
  /** timeoutSeconds of every watch. */
  readonly watchSeconds: number[] = [];
  /** up: answers; hang: never answers; error: 503; forbid: 403; unknown: 401, the token is nobody's. */
  mode: Mode = 'up';
  /** Every answer takes so long, watches aside. */
  delayMs = 0;
  /** False: as with an etcd that cannot report progress and WatchList on. */
  progress = true;
  connections = 0;
  readonly #objects = new Map<string, FakeObject>();
  readonly #managed: Managed = new Map();
  readonly #watchers = new Set<Watcher>();
  readonly #sessions = new Set<ServerHttp2Session>();
  #server: Http2Server | undefined;
  #port = 0;
  #version = 1_000;
  #oldest = 0;

  static async start(): Promise<FakeApi> {
    const api = new FakeApi();
    await api.start();
    return api;
  }

  /** On the same port as before, when it was stopped. */
  async start(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    server.on('session', (session) => {
      this.connections += 1;
      this.#sessions.add(session);
      session.on('error', () => undefined);
      session.once('close', () => this.#sessions.delete(session));
    });
    server.on('sessionError', () => undefined);
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Nobody listens any more, and every connection is cut. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
    this.disconnect();
    await closed;
  }

  disconnect(): void {
    for (const session of this.#sessions) session.destroy();
    this.#watchers.clear();
  }

  get credentials(): () => Promise<Credentials> {
    const server = `http://127.0.0.1:${String(this.#port)}`;
    return () => Promise.resolve({ server, tls: {}, headers: () => Promise.resolve({}) });
  }

  get watches(): readonly string[] {
    return [...this.#watchers].map(({ collection, name }) => `${collection}/${name}`).sort();
  }

  // ------------------------------------------------------------------------- what a test does

  addPv(
    name: string,
    annotations: Record<string, string>,
    more: object = {},
    uid = `uid-${name}`,
    capacity?: string,
  ): void {
    const metadata = { name, uid, annotations, labels: {} };
    this.#put('persistentvolumes', {
      kind: 'PersistentVolume',
      metadata,
      spec: {
        csi: { driver: 'iscsi.prioritypath.io', volumeHandle: name, ...more },
        ...(capacity === undefined ? {} : { capacity: { storage: capacity } }),
        claimRef: { namespace: 'team-a', name: `claim-${name}`, uid: `uid-claim-${name}` },
      },
    });
  }

  addNode(name: string, labels: Record<string, string> = {}, taints: string[] = []): void {
    const metadata = { name, uid: `uid-${name}`, labels, annotations: {} };
    const spec = { taints: taints.map((key) => ({ key, effect: 'NoExecute' })) };
    this.#put('nodes', { kind: 'Node', metadata, spec });
  }

  /** As `kubectl annotate`: null removes. */
  annotate(name: string, annotations: Record<string, string | null>): void {
    this.#change('persistentvolumes', name, { metadata: { annotations } });
  }

  annotateNode(name: string, annotations: Record<string, string | null>): void {
    this.#change('nodes', name, { metadata: { annotations } });
  }

  label(collection: Collection, name: string, labels: Record<string, string | null>): void {
    this.#change(collection, name, { metadata: { labels } });
  }

  remove(collection: Collection, name: string): void {
    const object = this.#objects.get(`${collection}/${name}`);
    if (object === undefined) return;
    this.#objects.delete(`${collection}/${name}`);
    this.#tell(collection, 'DELETED', this.#stamped(object));
  }

  /** A ConfigMap of the namespace "ns". */
  setConfigMap(name: string, data: Readonly<Record<string, string>>): void {
    const metadata = { name, uid: `uid-${name}` };
    const type = this.#objects.has(`configmaps/${name}`) ? 'MODIFIED' : 'ADDED';
    this.#put('configmaps', { kind: 'ConfigMap', metadata, data }, type);
  }

  annotations(name: string): Readonly<Record<string, string>> {
    return this.#objects.get(`persistentvolumes/${name}`)?.metadata.annotations ?? {};
  }

  version(name: string): string {
    return this.#objects.get(`persistentvolumes/${name}`)?.metadata.resourceVersion ?? '';
  }

  /** History is compacted: watches that resume from before now get 410, those that run end. */
  compact(): void {
    this.#version += 1;
    this.#oldest = this.#version;
    for (const { response } of this.#watchers) response.end();
    this.#watchers.clear();
  }

  bookmark(): void {
    this.#version += 1;
    for (const { response, collection } of this.#watchers) {
      const metadata = { resourceVersion: String(this.#version) };
      const object = { kind: collection, apiVersion: 'v1', metadata };
      response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    }
  }

  /** Requests whose line matches. */
  count(pattern: RegExp): number {
    return this.requests.filter((line) => pattern.test(line)).length;
  }

  // --------------------------------------------------------------------------------- the server

  async #serve(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const url = new URL(request.url, 'http://fake');
    const isWatch = url.searchParams.get('watch') === 'true';
    this.requests.push(`${isWatch ? 'WATCH' : request.method} ${url.pathname}`);
    const body = await readBody(request);
    if (this.mode === 'hang') return;
    if (this.delayMs > 0 && !isWatch) {
      await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    }
    if (this.mode === 'error') {
      fail(response, 503, 'the server is overloaded');
      return;
    }
    if (this.mode === 'forbid') {
      fail(response, 403, 'forbidden');
      return;
    }
    if (this.mode === 'unknown') {
      fail(response, 401, 'Unauthorized');
      return;
    }
    const events = /^\/api\/v1\/namespaces\/([^/]+)\/events(?:\/(.+))?$/.exec(url.pathname);
    if (events !== null) {
      this.#event(request.method, events, body, response);
      return;
    }
    const [, collection = '', name] =
      /^\/api\/v1\/(?:namespaces\/ns\/)?([a-z]+)(?:\/(.+))?$/.exec(url.pathname) ?? [];
    if (isWatch) {
      this.#watch(collection, url.searchParams, response);
      return;
    }
    const object = this.#objects.get(`${collection}/${name ?? ''}`);
    if (object === undefined) {
      fail(response, 404, `${collection} "${name ?? ''}" not found`);
      return;
    }
    if (request.method === 'GET') {
      answer(response, 200, object);
      return;
    }
    const type = String(request.headers['content-type']);
    const manager = url.searchParams.get('fieldManager') ?? '';
    const patched = this.#patched(object, body, type, manager);
    if (typeof patched === 'string') {
      fail(response, 409, patched);
      return;
    }
    if (JSON.stringify(patched) !== JSON.stringify(object))
      this.#put(collection, patched, 'MODIFIED');
    answer(response, 200, this.#objects.get(`${collection}/${object.metadata.name}`));
  }

  /** The object after the patch, or why there is a conflict. */
  #patched(object: FakeObject, body: unknown, type: string, manager: string): FakeObject | string {
    const wanted = isRecord(body) && isRecord(body['metadata']) ? body['metadata'] : {};
    const { uid, resourceVersion } = object.metadata;
    if (wanted['uid'] !== undefined && wanted['uid'] !== uid) return 'uid differs';
    const version = wanted['resourceVersion'];
    if (version !== undefined && version !== resourceVersion) return 'the object was modified';
    const patched = type.startsWith('application/apply-patch')
      ? applyAnnotations(object, body, manager, this.#managed)
      : mergePatch(object, { metadata: { ...wanted, resourceVersion: undefined } });
    return patched as FakeObject;
  }

  #event(
    method: string,
    [, namespace = '', name]: RegExpExecArray,
    body: unknown,
    response: Http2ServerResponse,
  ): void {
    const at = this.events.findIndex((event) => event.metadata.name === name);
    const known = this.events[at];
    if (method === 'POST') {
      const event = body as FakeEvent;
      if (event.metadata.namespace !== namespace) {
        fail(response, 422, 'wrong namespace');
        return;
      }
      this.events.push(event);
      answer(response, 201, event);
      return;
    }
    if (known === undefined) {
      fail(response, 404, `event ${name ?? ''} not found`);
      return;
    }
    const patched = { ...known, ...(body as Partial<FakeEvent>) };
    this.events[at] = patched;
    answer(response, 200, patched);
  }

  #watch(collection: string, query: URLSearchParams, response: Http2ServerResponse): void {
    const name = /^metadata\.name=(.+)$/.exec(query.get('fieldSelector') ?? '')?.[1];
    if (name === undefined) {
      fail(response, 403, 'a watch on all objects');
      return;
    }
    const from = Number(query.get('resourceVersion') ?? '0');
    const wantsProgress = from === 0 && query.get('allowWatchBookmarks') === 'true';
    if (wantsProgress && !this.progress) {
      fail(response, 500, 'the required storage feature RequestWatchProgress is disabled');
      return;
    }
    this.watchSeconds.push(Number(query.get('timeoutSeconds')));
    response.writeHead(200, { 'content-type': 'application/json' });
    const send = (type: string, object: unknown): void => {
      response.write(`${JSON.stringify({ type, object })}\n`);
    };
    if (from !== 0 && from < this.#oldest) {
      send('ERROR', { kind: 'Status', code: 410, message: 'too old resource version' });
      response.end();
      return;
    }
    const object = this.#objects.get(`${collection}/${name}`);
    if (object !== undefined && (from === 0 || Number(object.metadata.resourceVersion) > from)) {
      send(from === 0 ? 'ADDED' : 'MODIFIED', object);
    }
    const watcher = { collection, name, response };
    this.#watchers.add(watcher);
    response.stream.once('close', () => this.#watchers.delete(watcher));
  }

  #change(collection: Collection, name: string, patch: object): void {
    const object = this.#objects.get(`${collection}/${name}`);
    if (object === undefined) throw new Error(`no ${collection}/${name}`);
    this.#put(collection, mergePatch(object, patch) as FakeObject, 'MODIFIED');
  }

  #put(collection: string, object: Record<string, unknown>, type = 'ADDED'): void {
    const stamped = this.#stamped(object);
    this.#objects.set(`${collection}/${stamped.metadata.name}`, stamped);
    this.#tell(collection, type, stamped);
  }

  #stamped(object: Record<string, unknown>): FakeObject {
    this.#version += 1;
    const resourceVersion = String(this.#version);
    return mergePatch(
      { apiVersion: 'v1', ...object },
      { metadata: { resourceVersion } },
    ) as FakeObject;
  }

  #tell(collection: string, type: string, object: FakeObject): void {
    for (const watcher of this.#watchers) {
      if (watcher.collection !== collection || watcher.name !== object.metadata.name) continue;
      watcher.response.write(`${JSON.stringify({ type, object })}\n`);
    }
  }
}

async function readBody(request: Http2ServerRequest): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? undefined : (JSON.parse(text) as unknown);
}

function answer(response: Http2ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function fail(response: Http2ServerResponse, code: number, message: string): void {
  answer(response, code, { kind: 'Status', status: 'Failure', code, message });
}
