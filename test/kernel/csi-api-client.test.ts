/** Client, watches and their one connection against a counting API server on loopback. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createKubernetesApi, readPv } from '../../src/kubernetes/client.ts';
import type { Credentials } from '../../src/kubernetes/credentials.ts';
import { Transport } from '../../src/kubernetes/transport.ts';
import { type WatchOptions, followObject } from '../../src/kubernetes/watch.ts';
import { FakeApi } from '../support/kubernetes/fake-api.ts';

const PVS = '/api/v1/persistentvolumes';
const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const PIN = 'prioritypath.io/pin';

let api: FakeApi;
let transport: Transport;
let stop: AbortController;
let followed: Promise<void>[];

beforeEach(async () => {
  api = await FakeApi.start();
  api.addPv('pv-1', { [PIN]: 'p0' });
  transport = new Transport({ credentials: api.credentials, log: LOG });
  stop = new AbortController();
  followed = [];
});

afterEach(async () => {
  stop.abort();
  await Promise.all(followed);
  transport.close();
  await api.stop();
});

interface Seen {
  /** Pins in order; "deleted". */
  readonly pins: string[];
  readonly failures: string[];
}

function follow(name = 'pv-1', more: Partial<WatchOptions> = {}): Seen {
  const seen: Seen = { pins: [], failures: [] };
  const watch = followObject({
    ...{ transport, collection: PVS, name, signal: stop.signal, random: () => 0 },
    onObject: (object) => {
      const pv = object === undefined ? undefined : readPv(object);
      seen.pins.push(pv?.ok === true ? (pv.value.annotations[PIN] ?? '') : 'deleted');
    },
    onFailure: ({ kind, detail }) => seen.failures.push(`${kind}: ${detail}`),
    backoff: () => 50,
    ...more,
  });
  followed.push(watch);
  return seen;
}

const soon = { timeout: 5_000, interval: 10 };

describe('a watch', () => {
  test('says what is there, then every change, then the end', async () => {
    const { pins } = follow();
    await expect.poll(() => pins, soon).toEqual(['p0']);
    api.annotate('pv-1', { [PIN]: 'p1' });
    api.annotate('pv-1', { [PIN]: 'p2' });
    api.remove('persistentvolumes', 'pv-1');
    await expect.poll(() => pins, soon).toEqual(['p0', 'p1', 'p2', 'deleted']);
    expect(api.requests).toEqual([`WATCH ${PVS}`]);
  });

  test('resumes after a cut from the last bookmark: nothing twice, nothing missed', async () => {
    const { pins } = follow();
    await expect.poll(() => pins, soon).toEqual(['p0']);
    api.bookmark();
    await new Promise((resolve) => setTimeout(resolve, 50));
    api.disconnect();
    api.annotate('pv-1', { [PIN]: 'p1' });
    await expect.poll(() => pins, soon).toEqual(['p0', 'p1']);
    expect(api.connections).toBe(2);
  });

  test('after 410 the present state is asked for, and told only if it is news', async () => {
    const { pins, failures } = follow();
    await expect.poll(() => pins, soon).toEqual(['p0']);
    api.compact();
    await expect.poll(() => api.watches, soon).toHaveLength(1);
    expect(pins).toEqual(['p0']);
    api.annotate('pv-1', { [PIN]: 'p1' });
    api.compact();
    await expect.poll(() => pins, soon).toEqual(['p0', 'p1']);
    expect(failures).toEqual([]);
  });

  test('a cache that is behind what is known says nothing until it has caught up', async () => {
    const known = { uid: 'uid-pv-1', resourceVersion: '999999' };
    const { pins } = follow('pv-1', { known });
    const fresh = follow('pv-1');
    await expect.poll(() => fresh.pins, soon).toEqual(['p0']);
    expect(pins).toEqual([]);
  });

  test('silence beyond the limit ends it, and it begins again', async () => {
    const { pins, failures } = follow('pv-1', { idleMs: 200 });
    await expect.poll(() => failures, soon).toContain('unavailable: nothing was heard for 0.2 s');
    api.annotate('pv-1', { [PIN]: 'p1' });
    await expect.poll(() => pins.at(-1), soon).toBe('p1');
  });

  test('bookmarks keep a silent watch alive', async () => {
    const { pins, failures } = follow('pv-1', { idleMs: 400 });
    await expect.poll(() => pins, soon).toEqual(['p0']);
    for (let n = 0; n < 8; n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      api.bookmark();
    }
    expect(failures).toEqual([]);
  });

  test('an API server that is gone is asked with growing pauses, and found again', async () => {
    const pauses: number[] = [];
    const backoff = (failures: number): number => {
      pauses.push(failures);
      return 20;
    };
    const { pins } = follow('pv-1', { backoff });
    await expect.poll(() => pins, soon).toEqual(['p0']);
    await api.stop();
    await expect.poll(() => pauses.length, soon).toBeGreaterThanOrEqual(4);
    expect(pauses.slice(0, 4)).toEqual([1, 2, 3, 4]);
    api.annotate('pv-1', { [PIN]: 'p1' });
    await api.start();
    await expect.poll(() => pins, soon).toEqual(['p0', 'p1']);
  });

  test('without the right to watch it asks on, as a failure', async () => {
    api.mode = 'forbid';
    const { failures } = follow();
    await expect.poll(() => failures[0], soon).toBe('forbidden: forbidden');
    api.mode = 'up';
    await expect.poll(() => api.watches, soon).toHaveLength(1);
  });

  test('a server that cannot report progress is watched without bookmarks', async () => {
    api.progress = false;
    const { pins, failures } = follow();
    await expect.poll(() => pins, soon).toEqual(['p0']);
    api.annotate('pv-1', { [PIN]: 'p1' });
    await expect.poll(() => pins, soon).toEqual(['p0', 'p1']);
    expect(failures).toEqual([]);
  });
});

describe('calls', () => {
  test('twenty watches and twenty GETs share one connection', async () => {
    for (let n = 0; n < 20; n += 1) {
      api.addPv(`pv-${String(n)}`, { [PIN]: 'p0' });
      follow(`pv-${String(n)}`);
    }
    const client = createKubernetesApi(transport);
    const gets = Array.from({ length: 20 }, () => client.getPv('pv-1', 5_000));
    for (const got of await Promise.all(gets)) expect(got.ok).toBe(true);
    await expect.poll(() => api.watches.length, soon).toBe(20);
    expect(api.connections).toBe(1);
    expect(transport.counters).toEqual({ connections: 1, requests: 40 });
  });

  test('a call that is not answered ends at its limit', async () => {
    api.mode = 'hang';
    const startedAt = performance.now();
    const got = await createKubernetesApi(transport).getPv('pv-1', 300);
    expect(got).toMatchObject({ ok: false, error: { kind: 'unavailable' } });
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });

  test.each([
    ['error', 'unavailable'],
    ['forbid', 'forbidden'],
    ['unknown', 'unavailable'],
  ] as const)('an API server in mode %s: %s', async (mode, kind) => {
    api.mode = mode;
    const got = await createKubernetesApi(transport).getPv('pv-1', 1_000);
    expect(got).toMatchObject({ ok: false, error: { kind } });
  });

  test('credentials that cannot be read are asked for again', async () => {
    let tries = 0;
    const credentials = async (): Promise<Credentials> => {
      tries += 1;
      if (tries === 1) throw new Error('ca.crt: no such file');
      return api.credentials();
    };
    const flaky = new Transport({ credentials, log: LOG });
    const client = createKubernetesApi(flaky);
    expect(await client.getPv('pv-1', 1_000)).toMatchObject({
      error: { kind: 'unavailable', detail: 'ca.crt: no such file' },
    });
    expect((await client.getPv('pv-1', 1_000)).ok).toBe(true);
    flaky.close();
  });

  test('a write to a PV that was replaced is a conflict, not a new PV', async () => {
    const client = createKubernetesApi(transport);
    const other = { name: 'pv-1', uid: 'uid-of-before' };
    expect(await client.applyStatus(other, 'node-1', 'x', 1_000)).toMatchObject({
      error: { kind: 'conflict' },
    });
    const gone = { name: 'pv-9', uid: 'uid-pv-9' };
    expect(await client.applyStatus(gone, 'node-1', 'x', 1_000)).toMatchObject({
      error: { kind: 'not-found' },
    });
  });

  test('two nodes that claim at the same moment: one gets a conflict', async () => {
    const client = createKubernetesApi(transport);
    const pv = await client.getPv('pv-1', 1_000);
    if (!pv.ok) throw new Error('no PV');
    const claims = ['node-1', 'node-2'].map((node) =>
      client.patchAnnotations(pv.value, { 'owner.prioritypath.io/node': node }, 1_000),
    );
    const results = await Promise.all(claims);
    expect(results.map(({ ok }) => ok).sort()).toEqual([false, true]);
  });

  test('statuses of two nodes do not disturb each other', async () => {
    const client = createKubernetesApi(transport);
    const pv = { name: 'pv-1', uid: 'uid-pv-1' };
    await client.applyStatus(pv, 'node-1', 'one', 1_000);
    await client.applyStatus(pv, 'node-2', 'two', 1_000);
    await client.applyStatus(pv, 'node-1', 'three', 1_000);
    expect(api.annotations('pv-1')).toEqual({
      [PIN]: 'p0',
      'status.prioritypath.io/node-1': 'three',
      'status.prioritypath.io/node-2': 'two',
    });
  });
});
