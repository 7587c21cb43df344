/**
 * Which events reach the API server (D74): client-go's three steps (tools/record/events_cache.go), with one
 * difference. So `kubectl describe` reads as it does for every other component, and a flapping path costs
 * what a flapping container costs.
 *
 * 1. Aggregation: from the tenth different message of one object and reason within 600 s on, they are one
 *    event "(combined from similar events): …".
 * 2. Deduplication: an event seen before is counted up (PATCH), not created again.
 * 3. Spam filter: a token bucket per object, 25 at once, one more every 300 s.
 *
 * The difference: client-go has one bucket for all reasons of an object, so the events of a flapping path
 * would use up the room of the events that follow from it. Here each severe reason has a bucket of its
 * own, which gets a token a minute. That is too slow to be a load, and the latest event of such a reason
 * is told within a minute.
 *
 * client-go keeps the last 4096 keys of each table; so does this. Pure: time is passed in.
 */

export interface EventRecord {
  /** Identifies the object: kind, namespace, name and uid in one text. */
  readonly object: string;
  readonly reason: string;
  readonly warning: boolean;
  readonly message: string;
  /** The reason has a bucket of its own; default: it shares the object's with the others. */
  readonly isSevere?: boolean;
}

export type EventDecision =
  | { readonly kind: 'create'; readonly key: string; readonly message: string }
  /** The event made for `key` earlier has now been seen `count` times. */
  | {
      readonly kind: 'count';
      readonly key: string;
      readonly message: string;
      readonly count: number;
    }
  | { readonly kind: 'drop' };

const BURST = 25;
const REFILL_MS = 300_000;
const SEVERE_REFILL_MS = 60_000;
/** As many messages stand alone; client-go: `localKeys.Len() < maxEvents`, with maxEvents 10. */
const SIMILAR_MAX = 9;
const SIMILAR_WINDOW_MS = 600_000;
const KEYS_MAX = 4096;

interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

interface Similar {
  readonly messages: ReadonlySet<string>;
  readonly lastMs: number;
}

export class EventCorrelator {
  readonly #similar = new Map<string, Similar>();
  readonly #counts = new Map<string, number>();
  readonly #buckets = new Map<string, Bucket>();

  observe(event: EventRecord, nowMs: number): EventDecision {
    const { key, message } = this.#aggregate(event, nowMs);
    const count = (this.#counts.get(key) ?? 0) + 1;
    remember(this.#counts, key, count);
    if (!this.#mayPass(event, nowMs)) return { kind: 'drop' };
    return count === 1 ? { kind: 'create', key, message } : { kind: 'count', key, message, count };
  }

  /** The event made for `key` does not exist (any more): the next one is created. */
  forget(key: string): void {
    this.#counts.delete(key);
  }

  #aggregate(event: EventRecord, nowMs: number): { key: string; message: string } {
    const group = JSON.stringify([event.object, event.reason, event.warning]);
    const known = this.#similar.get(group);
    const isFresh = known === undefined || nowMs - known.lastMs > SIMILAR_WINDOW_MS;
    const messages = new Set(isFresh ? [] : known.messages);
    messages.add(event.message);
    const isTooMany = messages.size > SIMILAR_MAX;
    if (isTooMany) {
      const [oldest] = messages;
      if (oldest !== undefined) messages.delete(oldest);
    }
    remember(this.#similar, group, { messages, lastMs: nowMs });
    if (isTooMany) {
      return { key: group, message: `(combined from similar events): ${event.message}` };
    }
    return { key: JSON.stringify([group, event.message]), message: event.message };
  }

  #mayPass({ object, reason, isSevere = false }: EventRecord, nowMs: number): boolean {
    const bucket = JSON.stringify(isSevere ? [object, reason] : [object]);
    const refillMs = isSevere ? SEVERE_REFILL_MS : REFILL_MS;
    const { tokens, atMs } = this.#buckets.get(bucket) ?? { tokens: BURST, atMs: nowMs };
    const available = Math.min(BURST, tokens + Math.max(0, nowMs - atMs) / refillMs);
    const passes = available >= 1;
    remember(this.#buckets, bucket, { tokens: passes ? available - 1 : available, atMs: nowMs });
    return passes;
  }
}

/** Sets a key as the youngest and lets the oldest go when there are too many. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= KEYS_MAX) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
