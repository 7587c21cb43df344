/** The network in front of a gateway does to bytes what it says, over real sockets of the loopback. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FaultProxy } from '../../torture/fault-proxy.ts';

let server: Server;
let proxy: FaultProxy;
/** What has reached the gateway, and the sockets it has. */
let received = '';
let accepted: Socket[] = [];
let changed: () => void = () => undefined;

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => (changed = resolve));
}

function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

beforeEach(async () => {
  received = '';
  accepted = [];
  server = createServer((socket) => {
    accepted.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      received += bytes.toString();
      changed();
    });
    changed();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const spare = createServer();
  await new Promise<void>((resolve) => spare.listen(0, '127.0.0.1', resolve));
  const free = (spare.address() as AddressInfo).port;
  await new Promise((resolve) => spare.close(resolve));
  proxy = new FaultProxy('127.0.0.1', free, { host: '127.0.0.1', port });
  await proxy.listen();
});

afterEach(async () => {
  await proxy.refuse();
  for (const socket of accepted) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

async function client(): Promise<Socket> {
  const socket = connect(proxy.port, proxy.host);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

describe('the network in front of a gateway', () => {
  it('passes bytes both ways', async () => {
    const socket = await client();
    socket.write('ping');
    await until(() => received === 'ping');
    accepted[0]?.write('pong');
    expect(String((await once(socket, 'data'))[0])).toBe('pong');
  });

  it('that holds delivers afterwards what was sent, although the sender has gone', async () => {
    const socket = await client();
    await until(() => accepted.length === 1);
    proxy.hold('in', 'out');
    const closed = closing(socket);
    socket.write('ghost', () => socket.resetAndDestroy());
    await closed;
    expect(received).toBe('');
    proxy.heal();
    await until(() => received === 'ghost');
  });

  it('that was a black hole has lost what was sent, and resets', async () => {
    const socket = await client();
    await until(() => accepted.length === 1);
    proxy.drop();
    socket.write('lost');
    while (proxy.dropped === 0) await new Promise((resolve) => setImmediate(resolve));
    const closed = closing(socket);
    proxy.heal();
    await closed;
    expect(received).toBe('');
  });

  it('cuts in the middle: so many bytes arrive, then both sides are reset', async () => {
    const socket = await client();
    await until(() => accepted.length === 1);
    proxy.cut('in', 3);
    const closed = closing(socket);
    socket.write('abcdef');
    await closed;
    await until(() => received === 'abc');
    expect(socket.destroyed).toBe(true);
  });

  it('that has moved leads elsewhere, and brings what was on the way when it leads back', async () => {
    const elsewhere = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write('elsewhere');
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    const socket = await client();
    await until(() => accepted.length === 1);
    proxy.move({ host: '127.0.0.1', port: (elsewhere.address() as AddressInfo).port });
    const closed = closing(socket);
    socket.write('ghost', () => socket.resetAndDestroy());
    await closed;
    const other = await client();
    expect(String((await once(other, 'data'))[0])).toBe('elsewhere');
    expect(received).toBe('');
    const reset = closing(other);
    proxy.moveBack();
    await reset;
    await until(() => received === 'ghost');
    elsewhere.close();
  });

  it('refuses when it is told to, and serves again at the same port', async () => {
    await proxy.refuse();
    const refused = connect(proxy.port, proxy.host);
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
    await proxy.listen();
    (await client()).destroy();
  });
});
