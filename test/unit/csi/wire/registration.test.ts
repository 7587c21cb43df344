/**
 * Registration with a kubelet that is a gRPC client: what it asks, what it is told, and that the
 * socket is there when it should be and not longer. Unix sockets in a folder of the test's own.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, makeClientConstructor } from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { LogFields, Logger } from '../../../../src/base/log.ts';
import {
  type Registration,
  type RegistrationOptions,
  createRegistration,
  registrationSocket,
} from '../../../../src/csi/wire/registration.ts';
import { GRPC_OPTIONS, protoFile } from '../../../../src/pathd/grpc-options.ts';

const DRIVER = 'iscsi.prioritypath.io';
let folder: string;
let socket: string;
let lines: { level: string; fields: LogFields; message: string }[];
const open: Registration[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pp-reg-'));
  socket = registrationSocket(folder, DRIVER);
  lines = [];
});

afterEach(async () => {
  for (const registration of open.splice(0)) await registration.stop();
  rmSync(folder, { recursive: true, force: true });
});

function make(options: Partial<RegistrationOptions> = {}): Registration {
  const at = (level: string) => (fields: LogFields, message: string) => {
    lines.push({ level, fields, message });
  };
  const log: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
  const endpoint = 'unix:///var/lib/kubelet/plugins/iscsi.prioritypath.io/csi.sock';
  const registration = createRegistration({
    ...{ kubeletDir: folder, driverName: DRIVER, endpoint, log, checkEveryMs: 20 },
    ...options,
  });
  open.push(registration);
  return registration;
}

/** One call, as the kubelet makes it: a connection of its own. */
async function kubelet(rpc: string, request: object = {}): Promise<object> {
  const definition = loadSync(protoFile('pluginregistration.proto'), GRPC_OPTIONS);
  const service = definition['pluginregistration.Registration'] as ServiceDefinition;
  const Constructor = makeClientConstructor(service, 'Registration');
  const client = new Constructor(`unix:${socket}`, credentials.createInsecure());
  const call = client[rpc] as (
    this: Client,
    request: object,
    options: { deadline: number },
    done: (error: Error | null, response: object) => void,
  ) => void;
  try {
    return await new Promise((resolve, reject) => {
      call.call(client, request, { deadline: Date.now() + 5_000 }, (error, response) => {
        if (error === null) resolve(response);
        else reject(error);
      });
    });
  } finally {
    client.close();
  }
}

const said = (level: string): string[] =>
  lines.filter((line) => line.level === level).map(({ message }) => message);

test('the kubelet is told type, name, CSI socket and version', async () => {
  await make().start();
  expect(await kubelet('GetInfo')).toEqual({
    type: 'CSIPlugin',
    name: DRIVER,
    endpoint: '/var/lib/kubelet/plugins/iscsi.prioritypath.io/csi.sock',
    supportedVersions: ['1.0.0'],
  });
});

test('only root may open the socket, and no second name is left in the folder', async () => {
  await make().start();
  expect(statSync(socket).mode & 0o777).toBe(0o600);
  expect(existsSync(join(folder, 'plugins_registry', `.${DRIVER}-reg.sock`))).toBe(false);
});

test('registered is what the kubelet says it is', async () => {
  const registration = make();
  expect(registration.state.kind).toBe('unserved');
  await registration.start();
  expect(registration.state).toEqual({ kind: 'waiting' });
  await kubelet('NotifyRegistrationStatus', { pluginRegistered: true });
  expect(registration.state).toEqual({ kind: 'registered' });
});

test('a refusal is kept in the kubelet’s words and logged as an error', async () => {
  const registration = make();
  await registration.start();
  const error = 'node label topology.example/rack exists with another value';
  await kubelet('NotifyRegistrationStatus', { pluginRegistered: false, error });
  expect(registration.state).toEqual({ kind: 'refused', error });
  expect(said('error')).toEqual(['the kubelet refused the registration; it will try again']);
  await kubelet('NotifyRegistrationStatus', { pluginRegistered: true });
  expect(registration.state).toEqual({ kind: 'registered' });
});

test('a folder that was emptied or replaced gets the socket again, unregistered', async () => {
  const registration = make();
  await registration.start();
  await kubelet('NotifyRegistrationStatus', { pluginRegistered: true });
  rmSync(join(folder, 'plugins_registry'), { recursive: true });
  await vi.waitFor(() => expect(existsSync(socket)).toBe(true), 5_000);
  expect(registration.state).toEqual({ kind: 'waiting' });
  expect(await kubelet('GetInfo')).toHaveProperty('name', DRIVER);
});

test('without a registration the socket is shown anew, with one it is left alone', async () => {
  const registration = make({ showAgainAfterMs: 60 });
  await registration.start();
  // Not the inode number: a file system may give it to the next socket at once.
  const shownAt = (): bigint => statSync(socket, { bigint: true }).ctimeNs;
  const first = shownAt();
  await vi.waitFor(() => expect(shownAt()).not.toBe(first), 5_000);
  // Told while it was about to be shown anew, it is shown anew, and the kubelet registers it again.
  await vi.waitFor(async () => {
    await kubelet('NotifyRegistrationStatus', { pluginRegistered: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(registration.state).toEqual({ kind: 'registered' });
  }, 5_000);
  const registered = shownAt();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(shownAt()).toBe(registered);
});

test('a socket that a dead process left is replaced', async () => {
  const dead = createServer();
  mkdirSync(join(folder, 'plugins_registry'));
  const elsewhere = join(folder, 'bound.sock');
  await new Promise<void>((resolve) => dead.listen(elsewhere, () => resolve()));
  // Renamed, so that closing does not remove it: what a killed process leaves.
  renameSync(elsewhere, socket);
  await new Promise<void>((resolve) => dead.close(() => resolve()));
  const registration = make();
  await registration.start();
  expect(registration.state).toEqual({ kind: 'waiting' });
});

test('the socket of a living process is left alone, said once, and taken over when it ends', async () => {
  const first = make();
  await first.start();
  const second = make();
  await second.start();
  expect(second.state.kind).toBe('unserved');
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(said('error')).toEqual(['cannot serve the registration']);
  await first.stop();
  await vi.waitFor(() => expect(second.state.kind).toBe('waiting'), 5_000);
});

test('a stop removes our own socket and never a successor’s', async () => {
  const first = make({ checkEveryMs: 60_000 });
  await first.start();
  await first.stop();
  expect(existsSync(socket)).toBe(false);

  const old = make({ checkEveryMs: 60_000 });
  await old.start();
  rmSync(socket);
  const successor = make({ checkEveryMs: 60_000 });
  await successor.start();
  await old.stop();
  expect(await kubelet('GetInfo')).toHaveProperty('name', DRIVER);
});
