import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  inClusterCredentials,
  isInCluster,
  kubeconfigCredentials,
} from '../../../src/kubernetes/credentials.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'credentials-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true });
});

const env = (host: string): Record<string, string> => ({
  KUBERNETES_SERVICE_HOST: host,
  KUBERNETES_SERVICE_PORT: '6443',
});

describe('in a pod', () => {
  test('the service account says who, the environment where', async () => {
    writeFileSync(join(dir, 'ca.crt'), 'CA');
    writeFileSync(join(dir, 'token'), 'secret\n');
    const credentials = await inClusterCredentials(env('10.0.0.1'), dir);
    expect(credentials.server).toBe('https://10.0.0.1:6443');
    expect(String(credentials.tls.ca)).toBe('CA');
    expect(await credentials.headers()).toEqual({ authorization: 'Bearer secret' });
    const v6 = await inClusterCredentials(env('2001:db8::1'), dir);
    expect(v6.server).toBe('https://[2001:db8::1]:6443');
  });

  test('without the files it fails, to be tried again', async () => {
    await expect(inClusterCredentials(env('10.0.0.1'), dir)).rejects.toThrow('ca.crt');
  });

  test('is told by the environment', () => {
    expect(isInCluster(env('10.0.0.1'))).toBe(true);
    expect(isInCluster({})).toBe(false);
    expect(isInCluster(env(''))).toBe(false);
  });
});

describe('a kubeconfig', () => {
  const write = (user: object): string => {
    const file = join(dir, 'config');
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'c' },
      clusters: [{ name: 'k', cluster: { server: 'https://10.0.0.9:6443' } }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    };
    writeFileSync(file, JSON.stringify(config));
    return file;
  };

  test('with a token', async () => {
    const credentials = await kubeconfigCredentials(write({ token: 'secret' }));
    expect(credentials.server).toBe('https://10.0.0.9:6443');
    expect(await credentials.headers()).toEqual({ authorization: 'Bearer secret' });
  });

  test('with a client certificate', async () => {
    const data = Buffer.from('PEM').toString('base64');
    const user = { 'client-certificate-data': data, 'client-key-data': data };
    const { tls, ...rest } = await kubeconfigCredentials(write(user));
    expect([String(tls.cert), String(tls.key)]).toEqual(['PEM', 'PEM']);
    expect(await rest.headers()).toEqual({});
  });
});
