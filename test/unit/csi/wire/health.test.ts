/** The probes' answers: what makes csi unready, and what must not. */
import { afterEach, expect, test } from 'vitest';
import { type HealthOptions, isRegistered, serveHealth } from '../../../../src/csi/wire/health.ts';
import type { RegistrationState } from '../../../../src/csi/wire/registration.ts';
import type { HttpServer } from '../../../../src/telemetry/http.ts';

const open: HttpServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.stop();
});

async function get(path: string, options: Partial<HealthOptions> = {}): Promise<[number, string]> {
  const server = await serveHealth({
    ...{ host: '127.0.0.1', port: 0, registration: () => ({ kind: 'registered' }) },
    pathd: { status: () => Promise.resolve([]) },
    ...options,
  });
  open.push(server);
  const response = await fetch(`http://127.0.0.1:${String(server.port)}${path}`);
  return [response.status, await response.text()];
}

const down = { status: () => Promise.reject(new Error('pathd does not answer')) };

test('alive means that the process answers, whatever pathd and the kubelet do', async () => {
  const bad = { pathd: down, registration: () => ({ kind: 'refused', error: 'x' }) as const };
  expect(await get('/healthz', bad)).toEqual([200, 'ok\n']);
});

test('ready when registered and pathd answers', async () => {
  expect(await get('/readyz')).toEqual([200, 'ok\n']);
});

test('not ready says every reason, a line each', async () => {
  const bad = {
    pathd: down,
    registration: () => ({ kind: 'refused', error: 'no such node' }) as const,
  };
  expect(await get('/readyz', bad)).toEqual([
    503,
    'the kubelet refused the registration: no such node\npathd does not answer\n',
  ]);
});

test('with registration off only pathd decides', async () => {
  expect(await get('/readyz', { registration: () => undefined })).toEqual([200, 'ok\n']);
});

test('a pathd that hangs makes it unready in bounded time, with one question open', async () => {
  let asked = 0;
  const hangs = {
    status: () => {
      asked += 1;
      return new Promise<never>(() => undefined);
    },
  };
  const server = await serveHealth({
    ...{ host: '127.0.0.1', port: 0, registration: () => undefined },
    ...{ pathd: hangs, pathdLimitMs: 20 },
  });
  open.push(server);
  const url = `http://127.0.0.1:${String(server.port)}/readyz`;
  const answers = await Promise.all([fetch(url), fetch(url), fetch(url)]);
  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503]);
  expect(asked).toBe(1);
});

test('nothing of a volume is asked of pathd', async () => {
  const asked: (string | undefined)[] = [];
  const pathd = {
    status: (volumeId?: string) => {
      asked.push(volumeId);
      return Promise.resolve([]);
    },
  };
  await get('/readyz', { pathd });
  expect(asked).toEqual(['-']);
});

test('other paths and other methods are refused', async () => {
  expect((await get('/metrics'))[0]).toBe(404);
  const server = open[0]!;
  const url = `http://127.0.0.1:${String(server.port)}/healthz`;
  expect((await fetch(url, { method: 'POST' })).status).toBe(405);
});

test('a taken port is an error that names it', async () => {
  await get('/healthz');
  const { port } = open[0]!;
  await expect(get('/healthz', { port })).rejects.toThrow(
    `http 127.0.0.1:${String(port)}: in use: choose another port`,
  );
});

test('each registration state has its own reason', () => {
  const whyUnregistered = (state?: RegistrationState): string | undefined => {
    const registered = isRegistered(state);
    return registered.ok ? undefined : registered.error;
  };
  expect(whyUnregistered(undefined)).toBeUndefined();
  expect(whyUnregistered({ kind: 'waiting' })).toMatch('not registered');
  expect(whyUnregistered({ kind: 'unserved', error: undefined })).toMatch('not started');
});
