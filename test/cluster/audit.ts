/**
 * What a service account asked of the API server, from the server's own audit log: each request once,
 * watches included, with the time at which it came in. Counting at the server was chosen over csi's own
 * counters: it is the server that a herd hurts.
 */
import { readFileSync } from 'node:fs';
import type { Layout } from './settings.ts';

export interface ApiRequest {
  /** Unix ms. */
  readonly atMs: number;
  /** get, watch, patch, create … */
  readonly verb: string;
  readonly uri: string;
  /** HTTP status, as far as it is known. */
  readonly code: number | undefined;
}

interface AuditEvent {
  readonly auditID: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly requestReceivedTimestamp: string;
  readonly user: { readonly username: string };
  readonly responseStatus?: { readonly code?: number };
}

/** Requests of the service account (`namespace:name`) from `sinceMs` on, oldest first. */
export function requestsOf(layout: Layout, account: string, sinceMs = 0): ApiRequest[] {
  const found = new Map<string, ApiRequest>();
  for (const line of readFileSync(layout.log('audit'), 'utf8').split('\n')) {
    if (line === '') continue;
    let event: AuditEvent;
    try {
      event = JSON.parse(line) as AuditEvent;
    } catch {
      continue; // being written, or cut off when the server was killed
    }
    const atMs = Date.parse(event.requestReceivedTimestamp);
    if (event.user.username !== `system:serviceaccount:${account}` || atMs < sinceMs) continue;
    const { verb, requestURI: uri, responseStatus } = event;
    found.set(event.auditID, { atMs, verb, uri, code: responseStatus?.code });
  }
  return [...found.values()].sort((one, other) => one.atMs - other.atMs);
}

/** A line each, for the message of a failure. */
export function describeRequests(requests: readonly ApiRequest[]): string {
  const from = requests[0]?.atMs ?? 0;
  return requests
    .map(({ atMs, verb, uri, code }) => {
      const at = ((atMs - from) / 1000).toFixed(1).padStart(6);
      return `${at} s  ${verb.padEnd(6)} ${String(code ?? '-')} ${uri}`;
    })
    .join('\n');
}
