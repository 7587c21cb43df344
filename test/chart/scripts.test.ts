/** What the chart's hook and test pods run, against an API server that is a few lines of HTTP. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { statusKey, OWNER_KEY } from '../../src/kubernetes/keys.ts';
import { CHART } from './helm.ts';

type Objects = Readonly<Record<string, object>>;

let folder: string;
let server: Server | undefined;
let asked: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pp-hook-'));
  writeFileSync(join(folder, 'token'), 'secret-token\n');
  asked = [];
});

afterEach(() => {
  server?.close();
  server = undefined;
  rmSync(folder, { recursive: true });
});

/** Serves objects by their whole URL; everything else is not found. */
async function serve(objects: Objects): Promise<number> {
  server = createServer((request, response) => {
    asked.push(`${request.headers.authorization ?? ''} ${request.url ?? ''}`);
    const found = objects[request.url ?? ''];
    response.writeHead(found === undefined ? 404 : 200, { connection: 'close' });
    response.end(JSON.stringify(found ?? { message: 'not found' }));
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', () => resolve()));
  return (server.address() as AddressInfo).port;
}

interface Ended {
  readonly code: number;
  readonly output: string;
}

/** As the pod does: the text of the script as an argument. */
async function runScript(
  name: string,
  port: number,
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const script = readFileSync(join(CHART, 'files', name), 'utf8');
  const more = {
    API_SCHEME: 'http',
    KUBERNETES_SERVICE_HOST: '127.0.0.1',
    KUBERNETES_SERVICE_PORT: String(port),
    TOKEN_FILE: join(folder, 'token'),
    ...env,
  };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--input-type=module', '--eval', script],
      { env: { ...process.env, ...more }, timeout: 30_000 },
      (error, stdout) => resolve({ code: error === null ? 0 : Number(error.code), output: stdout }),
    );
  });
}

describe('before an uninstall', () => {
  const volume = (name: string, annotations?: Record<string, string>): object => ({
    metadata: { name, ...(annotations === undefined ? {} : { annotations }) },
  });
  const first = '/api/v1/persistentvolumes?limit=500';
  const check = async (objects: Objects): Promise<Ended> =>
    runScript('volumes-in-use.mjs', await serve(objects));

  test('nothing staged: it goes on', async () => {
    const items = [volume('a'), volume('b', { 'path.prioritypath.io/p0': 'iscsi://x' })];
    const done = await check({ [first]: { metadata: {}, items } });
    expect(done).toEqual({ code: 0, output: 'no volume is staged\n' });
    expect(asked).toEqual([`Bearer secret-token ${first}`]);
  });

  test('a volume with a status or a claim stops it, and is named with its nodes', async () => {
    const items = [
      volume('a', { [statusKey('n2')]: 'p0 up', [OWNER_KEY]: 'n1' }),
      volume('b', { [OWNER_KEY]: 'n3' }),
    ];
    const done = await check({ [first]: { metadata: {}, items } });
    expect(done.code).toBe(1);
    expect(done.output).toMatch('2 volume(s) are staged');
    expect(done.output).toMatch('  a on n1, n2\n  b on n3\n');
    expect(done.output).toMatch('--no-hooks');
  });

  test('the last page counts too', async () => {
    const items = [volume('z', { [OWNER_KEY]: 'n9' })];
    const done = await check({
      [first]: { metadata: { continue: 'abc' }, items: [volume('a')] },
      [`${first}&continue=abc`]: { metadata: {}, items },
    });
    expect(done.code).toBe(1);
    expect(done.output).toMatch('z on n9');
  });

  test('when nobody can say, it stops', async () => {
    const refused = await check({});
    expect(refused.code).toBe(1);
    expect(refused.output).toMatch('cannot ask which volumes are staged: HTTP 404');
    const port = await serve({});
    server!.close();
    const unreachable = await runScript('volumes-in-use.mjs', port);
    expect(unreachable.code).toBe(1);
    expect(unreachable.output).toMatch('cannot ask which volumes are staged: ');
  });
});

describe('helm test', () => {
  const driver = 'iscsi.prioritypath.io';
  const env = {
    ...{ DRIVER: driver, NAMESPACE: 'ns', WAIT_SECONDS: '0' },
    ...{ CSI_DAEMON_SET: 'x-csi', DAEMON_SETS: 'x-csi,x-pathd' },
  };
  const set = (ready: number, wanted: number): object => ({
    status: { numberReady: ready, desiredNumberScheduled: wanted },
  });
  const nodes = (...registered: boolean[]): object => ({
    items: registered.map((yes) => ({ spec: yes ? { drivers: [{ name: driver }] } : {} })),
  });
  const check = async (csi: object, pathd: object, csiNodes: object): Promise<Ended> => {
    const port = await serve({
      [`/apis/storage.k8s.io/v1/csidrivers/${driver}`]: {},
      '/apis/apps/v1/namespaces/ns/daemonsets/x-csi': csi,
      '/apis/apps/v1/namespaces/ns/daemonsets/x-pathd': pathd,
      '/apis/storage.k8s.io/v1/csinodes': csiNodes,
    });
    return runScript('installed.mjs', port, env);
  };

  test('good when every node is registered and every pod ready', async () => {
    const done = await check(set(2, 2), set(2, 2), nodes(true, true, false));
    expect(done).toEqual({ code: 0, output: 'installed: every node is registered\n' });
  });

  test('says what is missing', async () => {
    const done = await check(set(2, 2), set(1, 2), nodes(true, false));
    expect(done.code).toBe(1);
    expect(done.output).toBe(
      `${driver} is registered on 1 of 2 nodes\nx-pathd: 1 of 2 pods are ready\n`,
    );
  });

  test('an installation on no node is none', async () => {
    const done = await check(set(0, 0), set(0, 0), nodes());
    expect(done.code).toBe(1);
    expect(done.output).toMatch('x-csi: no node is selected');
  });

  test('an API server that does not answer is a failure with its reason', async () => {
    const port = await serve({});
    const done = await runScript('installed.mjs', port, env);
    expect(done.code).toBe(1);
    expect(done.output).toMatch('HTTP 404');
  });
});

describe('after an uninstall that removes directories', () => {
  /** The host's directories, as the two processes leave them. */
  function host(): { readonly state: string; readonly run: string; readonly done: string } {
    const [state, run] = [join(folder, 'state'), join(folder, 'run')];
    for (const made of ['state/csi/volumes', 'state/pathd/volumes', 'run/volumes', 'run/secrets']) {
      mkdirSync(join(folder, made), { recursive: true });
    }
    writeFileSync(join(state, 'pathd/node.json'), '{}');
    return { state, run, done: join(folder, 'done') };
  }

  /** Runs until it has said something; then it is ended. */
  async function clean({ state, run, done }: ReturnType<typeof host>): Promise<string> {
    const script = readFileSync(join(CHART, 'files/clean-node.mjs'), 'utf8');
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      env: { ...process.env, STATE_DIR: state, RUN_DIR: run, DONE_FILE: done, WAIT_SECONDS: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      output += String(chunk);
      if (/removed/.test(output)) child.kill();
    }
    return output;
  }

  test('both directories are removed', async () => {
    const here = host();
    expect(await clean(here)).toBe('removed\n');
    expect([here.state, here.run].filter((path) => existsSync(path))).toEqual([]);
    expect(existsSync(here.done)).toBe(true);
  });

  test('what is not ours stays, and its directory', async () => {
    const here = host();
    writeFileSync(join(here.state, 'somebody'), '');
    expect(await clean(here)).toMatch(/state stays: ENOTEMPTY\nremoved\n$/);
    expect(readdirSync(here.state)).toEqual(['somebody']);
  });

  test('nothing is removed while a volume is recorded as staged', async () => {
    const here = host();
    writeFileSync(join(here.state, 'csi/volumes/data-0.json'), '{}');
    expect(await clean(here)).toBe('nothing is removed: recorded as staged: data-0.json\n');
    expect(existsSync(join(here.state, 'pathd/node.json'))).toBe(true);
    expect(existsSync(here.done)).toBe(false);
  });

  test('nothing is removed while pathd runs', async () => {
    const here = host();
    const pathd = createNetServer().listen(join(here.run, 'pathd.sock'));
    await once(pathd, 'listening');
    expect(await clean(here)).toBe('nothing is removed: pathd still runs\n');
    pathd.close();
  });

  test('the Job is done when every node is', async () => {
    const set = (numberReady: number, observedGeneration: number): Objects => ({
      '/apis/apps/v1/namespaces/ns/daemonsets/x-clean-nodes': {
        metadata: { generation: 1 },
        status: { numberReady, desiredNumberScheduled: 2, observedGeneration },
      },
    });
    const env = { NAMESPACE: 'ns', DAEMON_SET: 'x-clean-nodes', WAIT_SECONDS: '0' };
    const check = async (objects: Objects): Promise<Ended> =>
      runScript('all-cleaned.mjs', await serve(objects), env);
    expect(await check(set(2, 1))).toEqual({ code: 0, output: 'all nodes are cleaned\n' });
    expect(await check(set(1, 1))).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^1 of 2 nodes are cleaned/) as string,
    });
    expect(await check(set(2, 0))).toMatchObject({ code: 1 });
  });
});
