/**
 * The cluster's certificate authority and everybody's key pair and kubeconfig, by openssl. EC keys:
 * a pair costs milliseconds, an RSA one a second on a busy core. A client's name and groups are the
 * subject's CN and O, as Kubernetes reads them.
 */
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './process.ts';

const DAYS = '30';

/** Who is who for the API server: file name → subject. */
const CLIENTS = {
  admin: '/O=system:masters/CN=admin',
  'kube-controller-manager': '/CN=system:kube-controller-manager',
  'kube-scheduler': '/CN=system:kube-scheduler',
  'apiserver-kubelet': '/O=system:masters/CN=kube-apiserver-kubelet-client',
} as const;

export interface CertificateOptions {
  readonly folder: string;
  readonly nodeName: string;
  /** https://address:port of the API server. */
  readonly server: string;
  /** Names and addresses that clients use for it: DNS:… and IP:…. */
  readonly serverNames: readonly string[];
  readonly nodeAddress: string;
}

interface Pair {
  readonly name: string;
  readonly subject: string;
  readonly extensions: readonly string[];
}

async function makePair(folder: string, pair: Pair): Promise<void> {
  const file = (end: string): string => join(folder, `${pair.name}.${end}`);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const extensions = pair.extensions.flatMap((extension) => ['-addext', extension]);
  const ca = ['-CA', join(folder, 'ca.crt'), '-CAkey', join(folder, 'ca.key')];
  await run('openssl', [
    ...['req', '-x509', ...key, '-days', DAYS, '-subj', pair.subject, ...extensions],
    ...['-keyout', file('key'), '-out', file('crt')],
    ...(pair.name === 'ca' ? [] : ca),
  ]);
}

const CLIENT = ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=clientAuth'];

function serving(names: readonly string[]): string[] {
  const kind = ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=serverAuth'];
  return [...kind, `subjectAltName=${names.join(',')}`];
}

/** A kubeconfig in JSON, which is YAML. */
async function writeKubeconfig(options: CertificateOptions, name: string): Promise<void> {
  const { folder, server } = options;
  const data = async (file: string): Promise<string> =>
    (await readFile(join(folder, file))).toString('base64');
  const cluster = { server, 'certificate-authority-data': await data('ca.crt') };
  const user = {
    'client-certificate-data': await data(`${name}.crt`),
    'client-key-data': await data(`${name}.key`),
  };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster }],
    users: [{ name, user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: name } }],
    'current-context': 'test',
  };
  writeFileSync(join(folder, `${name}.kubeconfig`), JSON.stringify(config), { mode: 0o600 });
}

/**
 * Fills the folder: ca, apiserver, kubelet-server and service-account pairs (`.key`, `.crt`), a
 * pair and `<name>.kubeconfig` for each client, `node` among them.
 */
export async function makeCertificates(options: CertificateOptions): Promise<void> {
  const { folder, nodeName, serverNames, nodeAddress } = options;
  const caExtensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'];
  await makePair(folder, { name: 'ca', subject: '/CN=test-ca', extensions: caExtensions });
  const clients = {
    ...CLIENTS,
    node: `/O=system:nodes/CN=system:node:${nodeName}`,
    'service-account': '/CN=service-accounts',
  };
  const kubelet = serving([`DNS:${nodeName}`, `IP:${nodeAddress}`]);
  await Promise.all([
    makePair(folder, {
      name: 'apiserver',
      subject: '/CN=apiserver',
      extensions: serving(serverNames),
    }),
    makePair(folder, { name: 'kubelet-server', subject: `/CN=${nodeName}`, extensions: kubelet }),
    ...Object.entries(clients).map(([name, subject]) =>
      makePair(folder, { name, subject, extensions: CLIENT }),
    ),
  ]);
  const withConfig = ['admin', 'kube-controller-manager', 'kube-scheduler', 'node'];
  await Promise.all(withConfig.map((name) => writeKubeconfig(options, name)));
}
