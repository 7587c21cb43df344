/**
 * A Kubernetes API server with its etcd and nothing else, on an address of its own on loopback: enough
 * to ask whether objects are accepted and what an admission policy says to whom. Who asks is chosen by
 * impersonation, the node in the token included. About five seconds to start.
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChildProgram } from '../support/node/plugin-process.ts';
import { toolPath } from '../cluster/cache.ts';

const ADDRESS = '127.88.0.1';
const [API_PORT, ETCD_PORT, PEER_PORT] = [6449, 23_790, 23_800];
const TOKEN = 'chart-tests';
const START_LIMIT_MS = 60_000;

/** Whom a request is from; undefined: the administrator. */
export interface As {
  readonly user: string;
  /** What the API server says of a pod's token: the node it runs on. */
  readonly node?: string;
  /** Default: those that every user is in. */
  readonly groups?: readonly string[];
}

export interface Answer {
  readonly status: number;
  readonly body: { readonly message?: string; readonly [field: string]: unknown };
}

export class ApiServer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'pp-api-'));
  readonly #programs: ChildProgram[] = [];

  async start(): Promise<void> {
    const file = (name: string): string => join(this.#folder, name);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(file('key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
    writeFileSync(file('tokens'), `${TOKEN},admin,1,"system:masters"\n`);
    const [client, peer] = [ETCD_PORT, PEER_PORT].map(
      (port) => `http://${ADDRESS}:${String(port)}`,
    );
    this.#run('etcd', 'etcd', [
      `--data-dir=${file('etcd')}`,
      ...[`--listen-client-urls=${client!}`, `--advertise-client-urls=${client!}`],
      ...[`--listen-peer-urls=${peer!}`, `--initial-advertise-peer-urls=${peer!}`],
      `--initial-cluster=default=${peer!}`,
    ]);
    this.#run('kube-apiserver', toolPath('kube-apiserver'), [
      `--etcd-servers=${client!}`,
      ...[`--bind-address=${ADDRESS}`, `--advertise-address=${ADDRESS}`],
      ...[`--secure-port=${String(API_PORT)}`, '--endpoint-reconciler-type=none'],
      ...[`--cert-dir=${file('certs')}`, `--token-auth-file=${file('tokens')}`],
      ...['--authorization-mode=RBAC', '--allow-privileged=true'],
      ...['--service-account-issuer=https://chart.test', '--service-cluster-ip-range=10.9.0.0/24'],
      ...[`--service-account-key-file=${file('key')}`],
      `--service-account-signing-key-file=${file('key')}`,
    ]);
    const until = Date.now() + START_LIMIT_MS;
    for (;;) {
      const answer = await this.ask('GET', '/readyz').catch(() => undefined);
      if (answer?.status === 200) return;
      const dead = this.#programs.find((program) => !program.running);
      if (dead !== undefined || Date.now() > until) {
        throw new Error((dead ?? this.#programs[1]!).postMortem('does not serve'));
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  async stop(): Promise<void> {
    for (const program of this.#programs.reverse()) await program.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  ask(
    method: string,
    path: string,
    options: { readonly body?: object; readonly type?: string; readonly as?: As } = {},
  ): Promise<Answer> {
    const { body, type = 'application/json', as } = options;
    const headers: Record<string, string | string[]> = { authorization: `Bearer ${TOKEN}` };
    if (body !== undefined) headers['content-type'] = type;
    if (as !== undefined) headers['impersonate-user'] = as.user;
    if (as?.groups !== undefined) {
      headers['impersonate-group'] = [...as.groups, 'system:authenticated'];
    }
    const key = 'impersonate-extra-authentication.kubernetes.io%2fnode-name';
    if (as?.node !== undefined) headers[key] = as.node;
    // Its certificate is made by itself at start.
    const where = { host: ADDRESS, port: API_PORT, rejectUnauthorized: false };
    return new Promise((resolve, reject) => {
      const sent = request({ ...where, method, path, headers, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('error', reject);
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body: parse(text) });
        });
      });
      sent.on('error', reject);
      sent.end(body === undefined ? '' : JSON.stringify(body));
    });
  }

  #run(name: string, program: string, args: readonly string[]): void {
    this.#programs.push(new ChildProgram(name, [program, ...args]));
  }
}

function parse(text: string): Answer['body'] {
  try {
    return JSON.parse(text) as Answer['body'];
  } catch {
    return { message: text };
  }
}
