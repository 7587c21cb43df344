/**
 * The connection to the API server where the network is bad: black holes, and servers without
 * HTTP/2. Real sockets, with the waiting times of connection.ts made short.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type Server, createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type KubernetesApi, createKubernetesApi, readPv } from '../../src/kubernetes/client.ts';
import type { Credentials } from '../../src/kubernetes/credentials.ts';
import { Transport } from '../../src/kubernetes/transport.ts';
import { followObject } from '../../src/kubernetes/watch.ts';
import { FakeApi } from '../support/kubernetes/fake-api.ts';
import { TcpProxy } from '../support/targets/tcp-proxy.ts';

const PVS = '/api/v1/persistentvolumes';
const PIN = 'prioritypath.io/pin';
const TIMINGS = { connectMs: 400, pingEveryMs: 100, pingTimeoutMs: 300 };
const soon = { timeout: 5_000, interval: 10 };

let warned: string[];
let stop: AbortController;
let transport: Transport;
let client: KubernetesApi;
let pins: string[];
let failures: string[];
/** What a test started, last first. */
let ends: (() => unknown)[];

beforeEach(() => {
  [warned, pins, failures, ends] = [[], [], [], []];
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  for (const end of ends.reverse()) await end();
});

function use(server: string, tls: Credentials['tls'] = {}): void {
  const headers = (): Promise<Record<string, string>> => Promise.resolve({ authorization: 'me' });
  transport = new Transport({
    credentials: () => Promise.resolve({ server, tls, headers }),
    log: {
      debug: () => 0,
      info: () => 0,
      warn: (_, text) => void warned.push(text),
      error: () => 0,
    },
    timings: TIMINGS,
  });
  client = createKubernetesApi(transport);
  ends.push(() => transport.close());
}

function follow(idleMs = 60_000): void {
  const watch = followObject({
    ...{ transport, collection: PVS, name: 'pv-1', signal: stop.signal, random: () => 0, idleMs },
    onObject: (object) => {
      const pv = object === undefined ? undefined : readPv(object);
      pins.push(pv?.ok === true ? (pv.value.annotations[PIN] ?? '') : 'deleted');
    },
    onFailure: ({ detail }) => failures.push(detail),
    backoff: () => 50,
  });
  ends.push(() => watch);
}

async function fakeApi(): Promise<{ api: FakeApi; proxy: TcpProxy }> {
  const api = await FakeApi.start();
  ends.push(() => api.stop());
  api.addPv('pv-1', { [PIN]: 'p0' });
  const { server } = await api.credentials();
  const proxy = await TcpProxy.start(Number(new URL(server).port));
  ends.push(() => proxy.stop());
  use(`http://127.0.0.1:${String(proxy.port)}`);
  return { api, proxy };
}

describe('a black hole', () => {
  test('an unanswered PING ends the connection; watch and calls go on over another', async () => {
    const { api, proxy } = await fakeApi();
    follow();
    await expect.poll(() => pins, soon).toEqual(['p0']);
    proxy.freeze();
    const frozenAt = performance.now();
    expect((await client.getPv('pv-1', 100)).ok).toBe(false);
    api.annotate('pv-1', { [PIN]: 'p1' });
    await expect.poll(() => pins, soon).toEqual(['p0', 'p1']);
    // PING at most 100 ms later, 300 ms for its answer, 50 ms of backoff; the rest is the machine's.
    expect(performance.now() - frozenAt).toBeLessThan(2_000);
    expect(failures).toEqual(['the connection is dead: a PING was not answered']);
    expect((await client.getPv('pv-1', 2_000)).ok).toBe(true);
    expect(proxy.accepted).toBe(2);
  });

  test('new connections that lead nowhere are given up in time, one after another', async () => {
    const { proxy } = await fakeApi();
    proxy.swallowNew = true;
    follow();
    await expect.poll(() => failures.length, soon).toBeGreaterThanOrEqual(2);
    proxy.swallowNew = false;
    await expect.poll(() => pins, soon).toEqual(['p0']);
  });

  test('a server that answers PINGs but never a watch is given up for its silence', async () => {
    const { api } = await fakeApi();
    api.mode = 'hang';
    follow(200);
    await expect.poll(() => failures, soon).toContain('nothing was heard for 0.2 s');
    api.mode = 'up';
    await expect.poll(() => pins, soon).toEqual(['p0']);
    expect(transport.counters.connections).toBe(1);
  });
});

/** A PV and its watch, over TLS, in HTTP/1.1 only. */
class OldServer {
  readonly server: Server;
  readonly ca: Buffer;
  readonly seen: string[] = [];

  constructor() {
    const dir = mkdtempSync(join(tmpdir(), 'old-api-'));
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const subject = ['-subj', '/CN=old', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const files = ['-keyout', key, '-out', cert];
    execFileSync('openssl', ['req', '-x509', ...ec, ...subject, ...files], { stdio: 'ignore' });
    this.ca = readFileSync(cert);
    const options = { key: readFileSync(key), cert: this.ca, ALPNProtocols: ['http/1.1'] };
    rmSync(dir, { recursive: true });
    this.server = createServer(options, (request, response) => {
      const { method = '', url = '', headers, httpVersion } = request;
      const authentication = headers.authorization ?? 'nobody';
      this.seen.push(`${method} ${httpVersion} ${authentication}`);
      request.resume();
      const object = { kind: 'PersistentVolume', metadata: this.#metadata(url) };
      const isWatch = url.includes('watch=true');
      response.writeHead(200, { 'content-type': 'application/json' });
      if (isWatch) response.write(`${JSON.stringify({ type: 'ADDED', object })}\n`);
      else response.end(JSON.stringify(object));
    });
  }

  #metadata(url: string): object {
    const name = /name%3D([^&]+)/.exec(url)?.[1] ?? 'pv-1';
    return { name, uid: 'u', resourceVersion: '7', annotations: { [PIN]: 'p7' } };
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `https://127.0.0.1:${String((this.server.address() as AddressInfo).port)}`;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }
}

describe('a server that speaks no HTTP/2', () => {
  test('is spoken to in HTTP/1.1: calls share a connection, a watch has its own; told once', async () => {
    const old = new OldServer();
    ends.push(() => old.stop());
    use(await old.start(), { ca: old.ca });
    for (let n = 0; n < 5; n += 1) expect((await client.getPv('pv-1', 2_000)).ok).toBe(true);
    follow();
    await expect.poll(() => pins, soon).toEqual(['p7']);
    expect((await client.applyStatus({ name: 'pv-1', uid: 'u' }, 'n', 'x', 2_000)).ok).toBe(true);
    expect(new Set(old.seen)).toEqual(new Set(['GET 1.1 me', 'PATCH 1.1 me']));
    // One to find out what it speaks, one that the watch keeps, one for calls.
    expect(transport.counters.connections).toBe(3);
    expect(warned).toHaveLength(1);
    expect(warned[0]).toContain('speaks no HTTP/2');
  });

  test('and that goes away is found again', async () => {
    const old = new OldServer();
    ends.push(() => old.stop());
    use(await old.start(), { ca: old.ca });
    follow();
    await expect.poll(() => pins, soon).toEqual(['p7']);
    old.server.closeAllConnections();
    await expect.poll(() => failures.length, soon).toBeGreaterThanOrEqual(1);
    expect((await client.getPv('pv-1', 2_000)).ok).toBe(true);
  });
});

test('a server whose certificate is of another CA is an error that says so', async () => {
  const old = new OldServer();
  ends.push(() => old.stop());
  use(await old.start());
  const got = await client.getPv('pv-1', 2_000);
  expect(got).toMatchObject({ ok: false, error: { kind: 'unavailable' } });
  expect(got.ok ? '' : got.error.detail).toMatch(/self-signed certificate/);
});
