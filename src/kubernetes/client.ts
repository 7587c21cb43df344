/**
 * The few things this driver asks of the Kubernetes API, as functions on what it needs to know.
 *
 * Writes carry `metadata.uid`: without it a server-side apply to a PV that was deleted meanwhile
 * would create a new, empty one. The status is applied server-side with a field manager of this
 * node's own, so nodes never conflict and nothing has to be read first. The owner and removals are
 * JSON merge patches (null removes a key); with `resourceVersion` in the body they become
 * compare-and-swap.
 *
 * Answers that are not what the API promises are errors, not crashes.
 */
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import { hash32 } from '../base/hash.ts';
import { printable } from '../base/printable.ts';
import { type KeyMap, OWNER_KEY, statusKey } from './keys.ts';
import type { ApiRequest, ApiResponse, Transport } from './transport.ts';

export type ApiErrorKind =
  /**
   * Not reached, no answer in time, the server is in trouble (5xx, 429), or does not know us (401: a
   * token that is just renewed; it says nothing of our rights). Try again later.
   */
  | 'unavailable'
  | 'not-found'
  /** resourceVersion or uid differ from what is there. */
  | 'conflict'
  /** 403. */
  | 'forbidden'
  /** resourceVersion too old (410): list again. */
  | 'gone'
  | 'invalid';

export interface ApiError {
  readonly kind: ApiErrorKind;
  readonly detail: string;
}

export interface ClaimRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** What we need of a PersistentVolume. */
export interface PersistentVolume {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly annotations: KeyMap;
  readonly labels: KeyMap;
  /** Empty: not a CSI volume. */
  readonly driver: string;
  readonly volumeHandle: string;
  readonly volumeAttributes: KeyMap;
  /** spec.capacity.storage as written; empty: none. */
  readonly capacity: string;
  readonly claimRef: ClaimRef | undefined;
}

export interface NodeObject {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: KeyMap;
  readonly annotations: KeyMap;
  /** Keys of its taints. */
  readonly taints: readonly string[];
}

export type ApiResult<T> = Result<T, ApiError>;

export interface KubernetesApi {
  getPv(name: string, timeoutMs: number): Promise<ApiResult<PersistentVolume>>;
  getNode(name: string, timeoutMs: number): Promise<ApiResult<NodeObject>>;
  applyStatus(pv: PvName, node: string, text: string, timeoutMs: number): Promise<ApiResult<void>>;
  /** Sets (or with null removes) annotations; compare-and-swap where resourceVersion is given. */
  patchAnnotations(
    pv: PvName & { readonly resourceVersion?: string },
    annotations: Readonly<Record<string, string | null>>,
    timeoutMs: number,
  ): Promise<ApiResult<PersistentVolume>>;
  createEvent(namespace: string, event: object, timeoutMs: number): Promise<ApiResult<void>>;
  patchEvent(
    namespace: string,
    name: string,
    patch: object,
    timeoutMs: number,
  ): Promise<ApiResult<void>>;
}

/** A PV that is certainly the one meant. */
export interface PvName {
  readonly name: string;
  readonly uid: string;
}

const PVS = '/api/v1/persistentvolumes';
const MERGE_PATCH = 'application/merge-patch+json';
/** fieldManager has at most 128 characters. */
const MANAGER_MAX = 128;

export function createKubernetesApi(transport: Transport): KubernetesApi {
  const call = (request: ApiRequest, timeoutMs: number): Promise<ApiResult<unknown>> =>
    ask(transport, request, timeoutMs);
  const order = async (request: ApiRequest, timeoutMs: number): Promise<ApiResult<void>> => {
    const answer = await call(request, timeoutMs);
    return answer.ok ? ok(undefined) : answer;
  };
  return {
    getPv: async (name, timeoutMs) => {
      const answer = await call({ method: 'GET', path: objectPath(PVS, name) }, timeoutMs);
      return answer.ok ? readPv(answer.value) : answer;
    },
    getNode: async (name, timeoutMs) => {
      const path = objectPath('/api/v1/nodes', name);
      const answer = await call({ method: 'GET', path }, timeoutMs);
      return answer.ok ? readNode(answer.value) : answer;
    },
    applyStatus: async ({ name, uid }, node, text, timeoutMs) => {
      const manager = encodeURIComponent(fieldManager(node));
      const path = `${objectPath(PVS, name)}?fieldManager=${manager}&force=true`;
      const metadata = { name, uid, annotations: { [statusKey(node)]: text } };
      const body = { apiVersion: 'v1', kind: 'PersistentVolume', metadata };
      const contentType = 'application/apply-patch+yaml';
      return order({ method: 'PATCH', path, body, contentType }, timeoutMs);
    },
    patchAnnotations: async ({ name, uid, resourceVersion }, annotations, timeoutMs) => {
      const version = resourceVersion === undefined ? {} : { resourceVersion };
      const body = { metadata: { uid, ...version, annotations } };
      const path = `${objectPath(PVS, name)}?fieldManager=priority-path-csi`;
      const request = { method: 'PATCH', path, body, contentType: MERGE_PATCH } as const;
      const answer = await call(request, timeoutMs);
      return answer.ok ? readPv(answer.value) : answer;
    },
    createEvent: (namespace, event, timeoutMs) =>
      order(
        { method: 'POST', path: events(namespace), body: event, contentType: 'application/json' },
        timeoutMs,
      ),
    patchEvent: (namespace, name, patch, timeoutMs) => {
      const path = objectPath(events(namespace), name);
      return order({ method: 'PATCH', path, body: patch, contentType: MERGE_PATCH }, timeoutMs);
    },
  };
}

function events(namespace: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`;
}

function objectPath(collection: string, name: string): string {
  return `${collection}/${encodeURIComponent(name)}`;
}

/** Who owns this node's status key in the PV's managedFields. */
function fieldManager(node: string): string {
  const manager = `priority-path-csi/${node}`;
  if (manager.length <= MANAGER_MAX) return manager;
  return `${manager.slice(0, MANAGER_MAX - 9)}-${hash32(node).toString(16).padStart(8, '0')}`;
}

async function ask(
  transport: Transport,
  request: ApiRequest,
  timeoutMs: number,
): Promise<ApiResult<unknown>> {
  try {
    const answer = await transport.request(request, timeoutMs);
    return answer.status < 300 ? ok(answer.body) : err(apiError(answer));
  } catch (error) {
    // Not reached, reading a token file, an exec plugin: whatever it is, the API cannot be asked now.
    return err({
      kind: 'unavailable',
      detail: printable(error instanceof Error ? error.message : 'unknown', 500),
    });
  }
}

/** A Status object (or whatever came instead of one) as an error of ours. */
export function apiError({ status, body }: ApiResponse): ApiError {
  const message = isObject(body) ? body['message'] : undefined;
  const text = typeof message === 'string' ? message : `HTTP status ${String(status)}`;
  return { kind: errorKind(status), detail: printable(text, 500) };
}

function errorKind(status: number): ApiErrorKind {
  if (status === 404) return 'not-found';
  if (status === 409) return 'conflict';
  if (status === 410) return 'gone';
  if (status === 403) return 'forbidden';
  return status === 401 || status === 429 || status >= 500 ? 'unavailable' : 'invalid';
}

// ------------------------------------------------------------------------------- what is read

export function readPv(value: unknown): ApiResult<PersistentVolume> {
  const meta = readMeta(value);
  if (meta === undefined) return err({ kind: 'invalid', detail: 'the answer is no object' });
  const spec = child(value, 'spec');
  const csi = child(spec, 'csi');
  const claim = child(spec, 'claimRef');
  const claimRef = { namespace: text(claim, 'namespace'), name: text(claim, 'name') };
  return ok({
    ...meta,
    driver: text(csi, 'driver'),
    volumeHandle: text(csi, 'volumeHandle'),
    volumeAttributes: texts(child(csi, 'volumeAttributes')),
    capacity: text(child(spec, 'capacity'), 'storage'),
    claimRef: claimRef.name === '' ? undefined : { ...claimRef, uid: text(claim, 'uid') },
  });
}

export function readNode(value: unknown): ApiResult<NodeObject> {
  const meta = readMeta(value);
  if (meta === undefined) return err({ kind: 'invalid', detail: 'the answer is no object' });
  const taints = child(child(value, 'spec'), 'taints');
  const keys = Array.isArray(taints) ? taints.map((taint: unknown) => text(taint, 'key')) : [];
  return ok({ ...meta, taints: keys });
}

interface Meta {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly annotations: KeyMap;
  readonly labels: KeyMap;
}

function readMeta(value: unknown): Meta | undefined {
  const metadata = child(value, 'metadata');
  const [name, uid] = [text(metadata, 'name'), text(metadata, 'uid')];
  if (name === '' || uid === '') return undefined;
  return {
    ...{ name, uid, resourceVersion: text(metadata, 'resourceVersion') },
    annotations: texts(child(metadata, 'annotations')),
    labels: texts(child(metadata, 'labels')),
  };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

export function child(value: unknown, key: string): unknown {
  return isObject(value) ? value[key] : undefined;
}

export function text(value: unknown, key: string): string {
  const found = child(value, key);
  return typeof found === 'string' ? found : '';
}

function texts(value: unknown): KeyMap {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  );
}

/** A Node's name: 253 characters. */
const NODE_NAME_MAX = 253;

/** Owner named on a PV; undefined: free. */
export function ownerOf({ annotations }: { readonly annotations: KeyMap }): string | undefined {
  return printable(annotations[OWNER_KEY] ?? '', NODE_NAME_MAX) || undefined;
}
