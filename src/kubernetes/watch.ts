/**
 * Following one object by name: its present state, then every change, for ever.
 *
 * One watch selected by `metadata.name`, begun with `resourceVersion=0`: the server sends the object from
 * its cache as ADDED and goes on from there, so no separate list is needed. (Beginning at the object's
 * own resourceVersion was rejected: a PV that was not changed for an hour has one that is compacted away,
 * and every start would be a 410.) After an end it resumes from the last resourceVersion heard of,
 * bookmarks included; 410 begins anew. The server's cache may be behind what we saw before: an older
 * resourceVersion of the same object is passed over.
 *
 * Where etcd cannot report progress (before 3.4.25) an API server with WatchList on refuses such a
 * watch with bookmarks. Then: without bookmarks, ended by the server every one to two minutes,
 * begun anew.
 *
 * Staleness: bookmarks come about once a minute; 150 s without a byte and the watch is given up and
 * begun again. The server ends a watch after 30 to 60 minutes (chosen by us, drawn, so that watches
 * spread; client-go's 5 to 10 would be 230 requests a second for 5,000 nodes with 20 volumes each).
 * Failures wait as backoff.ts says; a watch that ended well waits a moment too, so that nothing can
 * become a busy loop.
 */
import { err, ok, type Result } from '../base/result.ts';
import { backoffMs, type SharedBackoff } from './backoff.ts';
import { type ApiError, apiError, child, text } from './client.ts';
import type { Transport } from './transport.ts';

export interface WatchOptions {
  readonly transport: Pick<Transport, 'lines'>;
  /** /api/v1/nodes or /api/v1/persistentvolumes. */
  readonly collection: string;
  readonly name: string;
  readonly signal: AbortSignal;
  /** The object as it is now; undefined: it was deleted, or is not there at the first bookmark. */
  readonly onObject: (object: unknown) => void;
  /** A failure, before it is tried again in `againMs`. */
  readonly onFailure: (error: ApiError, againMs: number) => void;
  /** Version that is known already: neither it nor an older one is handed on. */
  readonly known?: { readonly uid: string; readonly resourceVersion: string } | undefined;
  /** 0..1. */
  readonly random: () => number;
  /** Longest silence believed; default 150 s. */
  readonly idleMs?: number;
  /** Shared by all watches over one transport: how they wait for a server that is not reached. */
  readonly outage?: SharedBackoff;
  /** Overrides the waiting times in tests. */
  readonly backoff?: (failures: number, chance: number) => number;
}

const IDLE_MS = 150_000;
const SERVER_TIMEOUT_S = 1_800;
/** Below the idle limit even when drawn longest: without bookmarks silence says nothing. */
const SHORT_TIMEOUT_S = 60;
const NO_PROGRESS = /RequestWatchProgress/;

/** Resolves when the signal is aborted; never rejects. */
export async function followObject(options: WatchOptions): Promise<void> {
  const { signal, random, onFailure, backoff = backoffMs, known, outage } = options;
  const seen = known === undefined ? '' : `${known.uid} ${known.resourceVersion}`;
  const place: Place = { resourceVersion: '0', seen, bookmarks: true, unheard: true };
  let failures = 0;
  while (!signal.aborted) {
    let waitMs: number;
    try {
      const watched = await watchOnce(options, place);
      // Heard of something: what failed before is over.
      failures = watched.ok ? 0 : failures + 1;
      waitMs = watched.ok ? 100 + random() * 900 : backoff(failures, random());
      if (!watched.ok) onFailure(watched.error, waitMs);
    } catch (error) {
      failures += 1;
      waitMs = outage?.failed(performance.now(), random()) ?? backoff(failures, random());
      const detail = error instanceof Error ? error.message : String(error);
      onFailure({ kind: 'unavailable', detail }, waitMs);
    }
    await pause(waitMs, signal);
  }
}

interface Place {
  resourceVersion: string;
  /** Newest version of the object that was handed on. */
  seen: string;
  /** False: the server cannot send them. */
  bookmarks: boolean;
  /** The watch was begun at the present state, and nothing was said of the object yet. */
  unheard: boolean;
}

/** One watch to its end; the error is one that the server told. */
async function watchOnce(options: WatchOptions, place: Place): Promise<Result<void, ApiError>> {
  const { transport, collection, name, signal, random, idleMs = IDLE_MS } = options;
  const query = new URLSearchParams({
    watch: 'true',
    fieldSelector: `metadata.name=${name}`,
    allowWatchBookmarks: String(place.bookmarks),
    resourceVersion: place.bookmarks ? place.resourceVersion : '0',
    timeoutSeconds: String(
      Math.round((place.bookmarks ? SERVER_TIMEOUT_S : SHORT_TIMEOUT_S) * (1 + random())),
    ),
  });
  const path = `${collection}?${query.toString()}`;
  if (query.get('resourceVersion') === '0') place.unheard = true;
  for await (const line of transport.lines(path, idleMs, signal)) {
    options.outage?.succeeded();
    if (line.status >= 300) return refused(apiError(line), place);
    const object = child(line.body, 'object');
    const type = text(line.body, 'type');
    if (type === 'ERROR') {
      return refused(apiError({ status: Number(child(object, 'code')), body: object }), place);
    }
    handOn(options, place, type, object);
  }
  return ok(undefined);
}

/** After 410 the present state is asked for again. */
function refused(error: ApiError, place: Place): Result<void, ApiError> {
  if (place.bookmarks && NO_PROGRESS.test(error.detail)) {
    place.bookmarks = false;
    return ok(undefined);
  }
  if (error.kind !== 'gone' || place.resourceVersion === '0') return err(error);
  place.resourceVersion = '0';
  return ok(undefined);
}

function handOn(options: WatchOptions, place: Place, type: string, object: unknown): void {
  const metadata = child(object, 'metadata');
  const version = text(metadata, 'resourceVersion');
  if (version !== '') place.resourceVersion = version;
  if (type === 'BOOKMARK') {
    // The present state was sent by now, and the object is no part of it.
    if (place.unheard) options.onObject(undefined);
    place.unheard = false;
    return;
  }
  // The selector is the server's business; one that ignores it must not confuse objects.
  if (text(metadata, 'name') !== options.name) return;
  place.unheard = false;
  const identity = `${text(metadata, 'uid')} ${version}`;
  if (type === 'DELETED') {
    place.seen = '';
    options.onObject(undefined);
  } else if (isNewer(identity, place.seen)) {
    place.seen = identity;
    options.onObject(object);
  }
}

/**
 * Versions are opaque by contract; where both are numbers of one object, the lower one is older.
 */
export function isNewer(identity: string, seen: string): boolean {
  if (identity === seen) return false;
  const [uid, version = ''] = identity.split(' ');
  const [seenUid, seenVersion = ''] = seen.split(' ');
  if (uid !== seenUid || !/^\d+$/.test(version) || !/^\d+$/.test(seenVersion)) return true;
  return BigInt(version) > BigInt(seenVersion);
}

/** Waits, or less when the signal is aborted; keeps no process alive. */
export function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const timer = setTimeout(done, delayMs);
    timer.unref();
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}
