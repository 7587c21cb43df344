/**
 * Tells the cluster what happened to a volume: each event on the PV and on its PVC, because people look
 * at either. Correlated as client-go does (event-correlator.ts), queued with a bound (the oldest dropped,
 * since what is new matters, and flapping before all else), sent one after another; no other work waits
 * for it.
 */
import type { Logger } from '../../base/log.ts';
import { makeRoom } from '../../base/make-room.ts';
import { printable } from '../../base/printable.ts';
import { backoffMs } from '../../kubernetes/backoff.ts';
import type { ApiError, ApiResult, KubernetesApi } from '../../kubernetes/client.ts';
import { DRIVER_NAME } from '../../kubernetes/contract.ts';
import { EventCorrelator, type EventDecision } from '../../kubernetes/event-correlator.ts';
import { type EventReason, isChatty } from '../../pathd/api.ts';
import { NAMING_REASONS } from './initiator-name.ts';
import type { KnownVolume } from './known.ts';

/** Reasons of csi's own, beside pathd's. */
export const CSI_REASONS = [
  'InvalidPath',
  'TopologyUnknown',
  'UpdateRefused',
  'CapacityMismatch',
  'OwnerTakenOver',
  'OwnerLost',
  'OwnerReclaimed',
  'InvalidMaintenance',
  ...NAMING_REASONS,
] as const;
export type CsiEventReason = EventReason | (typeof CSI_REASONS)[number];

export interface VolumeEventText {
  readonly reason: CsiEventReason;
  readonly warning: boolean;
  readonly message: string;
  /** Wall clock, Unix ms. */
  readonly atUnixMs: number;
}

interface ObjectReference {
  readonly apiVersion: 'v1';
  readonly kind: 'PersistentVolume' | 'PersistentVolumeClaim' | 'ConfigMap' | 'Node';
  readonly name: string;
  readonly uid: string;
  readonly namespace?: string;
}

interface Queued {
  readonly object: ObjectReference;
  readonly event: VolumeEventText;
  readonly decision: Exclude<EventDecision, { kind: 'drop' }>;
}

const QUEUE_MAX = 200;
const CALL_TIMEOUT_MS = 5_000;
/** Tries in a row that may be forbidden: about 20 s. */
const FORBIDDEN_TRIES = 5;
/** Event.message has 1 KiB; the correlator may put words before it. */
const MESSAGE_MAX = 960;
/** Events of cluster-scoped objects live here; describe looks for them here. */
const CLUSTER_NAMESPACE = 'default';

export class EventWriter {
  readonly #api: KubernetesApi;
  readonly #node: string;
  readonly #log: Logger;
  readonly #correlator = new EventCorrelator();
  readonly #names = new Map<string, { readonly name: string; readonly firstUnixMs: number }>();
  readonly #queue: Queued[] = [];
  #timer: NodeJS.Timeout | undefined;
  #busy = false;
  #failures = 0;
  /** Events in a row that were forbidden, or tries of one. */
  #refusals = 0;
  #made = 0;
  #stopped = false;

  constructor(api: KubernetesApi, node: string, log: Logger) {
    this.#api = api;
    this.#node = node;
    this.#log = log;
  }

  record(volume: KnownVolume, told: VolumeEventText): void {
    const { volumeId } = volume;
    const event = cleaned(told);
    this.#log.info({ volumeId, reason: event.reason, text: event.message }, 'volume event');
    for (const object of objectsOf(volume)) this.#add(object, event);
    void this.#send();
  }

  /** Something in a ConfigMap of ours is malformed: an event on it. */
  recordInvalid(
    map: { readonly namespace: string; readonly name: string; readonly uid: string },
    message: string,
  ): void {
    this.#log.warn({ configMap: map.name, text: message }, 'malformed');
    const object = { apiVersion: 'v1', kind: 'ConfigMap', ...map } as const;
    const reason = 'InvalidMaintenance';
    const event = { reason, warning: true, message, atUnixMs: Date.now() } as const;
    this.#add(object, cleaned(event));
    void this.#send();
  }

  /** An event on this Node. */
  recordNode(
    { name, uid }: { readonly name: string; readonly uid: string },
    event: Omit<VolumeEventText, 'atUnixMs'>,
  ): void {
    const object = { apiVersion: 'v1', kind: 'Node', name, uid } as const;
    this.#add(object, cleaned({ ...event, atUnixMs: Date.now() }));
    void this.#send();
  }

  #add(object: ObjectReference, event: VolumeEventText): void {
    const { reason, warning, message } = event;
    const id = `${object.kind} ${object.uid}`;
    const isSevere = !isChatty(event);
    const record = { object: id, reason, warning, message, isSevere };
    const decision = this.#correlator.observe(record, Date.now());
    if (decision.kind === 'drop') return;
    this.#queue.push({ object, event, decision });
    if (this.#queue.length > QUEUE_MAX) makeRoom(this.#queue, (queued) => isChatty(queued.event));
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #send(): Promise<void> {
    if (this.#busy || this.#stopped || this.#timer !== undefined) return;
    this.#busy = true;
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const done = await this.#write(next);
      if (!done.ok && this.#mayPass(done.error.kind)) {
        this.#again();
        break;
      }
      this.#failures = 0;
      if (done.ok) this.#refusals = 0;
      else this.#log.warn({ error: done.error.detail }, 'event was not accepted');
      if (this.#queue[0] === next) this.#queue.shift();
    }
    this.#busy = false;
  }

  /**
   * Whether it is worth another try. A server that has just started forbids what it allows when it has
   * read its roles: the events of the outage were lost by that. Only an API server that goes on
   * forbidding ends the attempts.
   */
  #mayPass(kind: ApiError['kind']): boolean {
    if (kind === 'forbidden' && this.#refusals < FORBIDDEN_TRIES) {
      this.#refusals += 1;
      this.#failures = this.#refusals - 1;
      return true;
    }
    return kind === 'unavailable';
  }

  #again(): void {
    this.#failures += 1;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        void this.#send();
      },
      backoffMs(this.#failures, Math.random()),
    );
    this.#timer.unref();
  }

  async #write({ object, event, decision }: Queued): Promise<ApiResult<void>> {
    const namespace = object.namespace ?? CLUSTER_NAMESPACE;
    const known = this.#names.get(decision.key);
    if (decision.kind === 'count' && known !== undefined) {
      const { count, message } = decision;
      const patch = { count, message, lastTimestamp: time(event.atUnixMs) };
      const done = await this.#api.patchEvent(namespace, known.name, patch, CALL_TIMEOUT_MS);
      if (done.ok || done.error.kind !== 'not-found') return done;
      // Events live an hour.
      this.#names.delete(decision.key);
    }
    const name = this.#newName(object.name);
    const body = this.#body(object, event, decision.message, { name, namespace });
    const done = await this.#api.createEvent(namespace, body, CALL_TIMEOUT_MS);
    if (!done.ok) return done;
    this.#names.set(decision.key, { name, firstUnixMs: event.atUnixMs });
    const [oldest] = this.#names.keys();
    if (this.#names.size > 4096 && oldest !== undefined) this.#names.delete(oldest);
    return done;
  }

  #body(
    object: ObjectReference,
    event: VolumeEventText,
    message: string,
    metadata: { readonly name: string; readonly namespace: string },
  ): object {
    const at = time(event.atUnixMs);
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata,
      involvedObject: object,
      reason: event.reason,
      message,
      type: event.warning ? 'Warning' : 'Normal',
      source: { component: DRIVER_NAME, host: this.#node },
      reportingComponent: DRIVER_NAME,
      reportingInstance: this.#node.slice(0, 128),
      firstTimestamp: at,
      lastTimestamp: at,
      count: 1,
    };
  }

  #newName(objectName: string): string {
    this.#made += 1;
    const unique = (BigInt(Date.now()) * 4096n + BigInt(this.#made % 4096)).toString(16);
    return `${objectName.slice(0, 200)}.${unique}`;
  }
}

function objectsOf({ pv }: KnownVolume): ObjectReference[] {
  if (pv === null) return [];
  const { name, uid, claimRef } = pv;
  const volume = { apiVersion: 'v1', kind: 'PersistentVolume', name, uid } as const;
  if (claimRef === null || claimRef.uid === '') return [volume];
  return [volume, { apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...claimRef }];
}

function time(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** As it may be shown to people: in the log, and by describe. */
function cleaned(event: VolumeEventText): VolumeEventText {
  return { ...event, message: printable(event.message, MESSAGE_MAX) };
}
