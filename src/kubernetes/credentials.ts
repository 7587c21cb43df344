/**
 * Where the API server is and how to prove who we are.
 *
 * In a pod: the service account's files, read here in a few lines. The token is bound and rotated
 * by the kubelet about every 50 minutes, so it is read again once a minute. With `--kubeconfig`
 * (csi outside a pod, tests, exec plugins): KubeConfig of @kubernetes/client-node, loaded only
 * then, since importing it costs some 50 MB of memory on every node for a thing that in a pod is
 * three files.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Credentials {
  /** https://host:port (http:// only where a kubeconfig says so). */
  readonly server: string;
  readonly tls: {
    readonly ca?: string | Buffer;
    readonly cert?: string | Buffer;
    readonly key?: string | Buffer;
    readonly servername?: string;
    readonly rejectUnauthorized?: boolean;
  };
  /** Headers that authenticate a request; secret, never logged. May read a file. */
  headers(): Promise<Readonly<Record<string, string>>>;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const TOKEN_MAX_AGE_MS = 60_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether this process looks like one in a pod. */
export function isInCluster(env: Environment): boolean {
  return Boolean(env['KUBERNETES_SERVICE_HOST'] && env['KUBERNETES_SERVICE_PORT']);
}

/** Rejects when the service account's files are not there. */
export async function inClusterCredentials(
  env: Environment,
  directory = SERVICE_ACCOUNT,
): Promise<Credentials> {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  const ca = await readFile(join(directory, 'ca.crt'));
  let token = '';
  let readAtMs = -Infinity;
  const headers = async (): Promise<Record<string, string>> => {
    if (performance.now() - readAtMs > TOKEN_MAX_AGE_MS) {
      token = (await readFile(join(directory, 'token'), 'utf8')).trim();
      readAtMs = performance.now();
    }
    return { authorization: `Bearer ${token}` };
  };
  await headers();
  const authority = host.includes(':') ? `[${host}]` : host;
  return { server: `https://${authority}:${port}`, tls: { ca }, headers };
}

/** Current context of a kubeconfig file, whatever it authenticates with. */
export async function kubeconfigCredentials(path: string): Promise<Credentials> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromFile(path);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error(`${path}: there is no current context`);
  const options: Record<string, unknown> = {};
  await config.applyToHTTPSOptions(options);
  const { ca, cert, key, servername, rejectUnauthorized } = options as Credentials['tls'];
  const tls = Object.fromEntries(
    Object.entries({ ca, cert, key, servername, rejectUnauthorized }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  return {
    server: cluster.server,
    tls,
    headers: async () => {
      const fresh: { headers?: Record<string, string>; auth?: string } = {};
      await config.applyToHTTPSOptions(fresh);
      const basic =
        fresh.auth === undefined
          ? {}
          : { authorization: `Basic ${Buffer.from(fresh.auth).toString('base64')}` };
      return { ...basic, ...lowerCased(fresh.headers ?? {}) };
    },
  };
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
}
