/**
 * Names to addresses. A lookup occupies a thread of libuv's pool until the resolver answers or gives up,
 * half a minute later. Where DNS is down and many paths have names, all threads would be occupied, and
 * the record that a failover has to save first would wait for them (fuse-threads.ts). So only a few run
 * at once, and paths of one name share one. Each caller has a time limit of its own.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { err, ok, type Result } from '../../base/result.ts';
import type { TransportFailure } from '../../ports/session.ts';

/** Half of the threads that the pool has at least. */
const LOOKUPS_AT_ONCE = 4;

type ResolvedAddresses = Result<string[], TransportFailure>;

/** By name: under way, or waiting for its turn. */
const pending = new Map<string, Promise<ResolvedAddresses>>();
const waiting: (() => void)[] = [];
let running = 0;

/** Addresses of a host in the order to try them; an address is its own. */
export async function resolveHost(host: string): Promise<ResolvedAddresses> {
  if (isIP(host) !== 0) return ok([host]);
  const same = pending.get(host);
  if (same !== undefined) return same;
  const answer = inTurn(host).finally(() => pending.delete(host));
  pending.set(host, answer);
  return answer;
}

async function inTurn(host: string): Promise<ResolvedAddresses> {
  // A lookup that ends gives its place to one that waits.
  if (running < LOOKUPS_AT_ONCE) running++;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await ask(host);
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}

async function ask(host: string): Promise<ResolvedAddresses> {
  try {
    const found = await lookup(host, { all: true, order: 'verbatim' });
    return ok([...new Set(found.map(({ address }) => address))]);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const detail = `cannot resolve ${host} (${code}): check the name of the path and the node's DNS`;
    return err({ kind: 'unreachable', detail });
  }
}
