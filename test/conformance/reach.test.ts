/** Reaching a target: names and their addresses, both families, what each failure says. */
import { lookup } from 'node:dns/promises';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import { attempt, startTarget } from './rig.ts';
import { ScriptedTarget } from '../support/targets/scripted-target/target.ts';

vi.mock('node:dns/promises', () => ({ lookup: vi.fn() }));

const NAME = 'storage.example.org';

/** What the name means from now on. */
function resolves(...addresses: string[]): void {
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  vi.mocked(lookup).mockImplementation((() => Promise.resolve(found)) as never);
}

afterEach(() => {
  vi.mocked(lookup).mockReset();
});

describe('a name', () => {
  it('is resolved at every attempt: what it meant before does not count', async () => {
    const target = await startTarget();
    const { port } = target;
    resolves('127.0.0.1');
    expect(await attempt(target, { host: NAME })).toMatchObject({
      value: { portal: { host: '127.0.0.1', port } },
    });
    const moved = await ScriptedTarget.start({}, '127.0.0.2', port);
    resolves('127.0.0.2');
    expect(await attempt(target, { host: NAME })).toMatchObject({
      value: { portal: { host: '127.0.0.2', port } },
    });
    expect(lookup).toHaveBeenCalledTimes(2);
    await moved.stop();
  });

  it('with several addresses leads to the first that accepts, of whatever family', async () => {
    const target = await startTarget();
    resolves('::1', '127.0.0.3', '127.0.0.1');
    expect(await attempt(target, { host: NAME })).toMatchObject({
      value: { portal: { host: '127.0.0.1' } },
    });
  });

  it('is refused only when every address refuses', async () => {
    const target = await startTarget();
    resolves('127.0.0.3', '127.0.0.4');
    const failure = await attempt(target, { host: NAME });
    expect(failure).toMatchObject({ error: { kind: 'refused' } });
    if (failure.ok) throw new Error('accepted');
    expect(failure.error.detail).toContain(`127.0.0.3:${String(target.port)}`);
    expect(failure.error.detail).toContain(`127.0.0.4:${String(target.port)}`);
    resolves('127.0.0.3', '255.255.255.255');
    expect(await attempt(target, { host: NAME })).toMatchObject({ error: { kind: 'unreachable' } });
  });

  it('that is not known says what to check', async () => {
    const error = Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' });
    vi.mocked(lookup).mockRejectedValue(error);
    expect(await attempt(await startTarget(), { host: NAME })).toMatchObject({
      error: {
        kind: 'unreachable',
        detail: `cannot resolve ${NAME} (ENOTFOUND): check the name of the path and the node's DNS`,
      },
    });
  });

  it('whose server does not answer ends with the timeout, and with an abort', async () => {
    vi.mocked(lookup).mockImplementation((() => new Promise(() => undefined)) as never);
    const target = await startTarget();
    // A name of its own: whoever asks for one that is being looked up waits for the same answer.
    const host = 'unanswered.test';
    expect(await attempt(target, { host, timeoutMs: 100 })).toMatchObject({
      error: { kind: 'timeout', detail: expect.stringContaining('not resolved') as string },
    });
    const signal = AbortSignal.timeout(50);
    expect(await attempt(target, { host, signal })).toMatchObject({
      error: { kind: 'aborted' },
    });
  });

  it('with no address at all is unreachable', async () => {
    resolves();
    const target = await startTarget();
    expect(await attempt(target, { host: NAME })).toMatchObject({ error: { kind: 'unreachable' } });
  });

  it('knocked at is refused only when every address refuses', async () => {
    const target = await startTarget();
    const { port, script } = target;
    const where = { host: NAME, port, targetName: script.targetName, lun: 1 };
    const initiator = createInitiator();
    resolves('127.0.0.3', '127.0.0.1');
    expect(await initiator.knock(where, 500)).toBe('accepted');
    resolves('127.0.0.3', '127.0.0.4');
    expect(await initiator.knock(where, 500)).toBe('refused');
    resolves('127.0.0.3', '255.255.255.255');
    expect(await initiator.knock(where, 500)).toBe('silent');
    vi.mocked(lookup).mockImplementation((() => new Promise(() => undefined)) as never);
    expect(await initiator.knock({ ...where, host: 'silence.test' }, 50)).toBe('silent');
  });
});

describe('an address', () => {
  it('is not asked of a name server', async () => {
    await attempt(await startTarget());
    expect(lookup).not.toHaveBeenCalled();
  });

  it('of IPv6 leads to the target', async () => {
    const target = await ScriptedTarget.start({}, '::1');
    const result = await attempt(target);
    expect(result).toMatchObject({ value: { portal: { host: '::1', port: target.port } } });
    if (result.ok) result.value.abort('end of test');
    await target.stop();
  });

  it('that accepts and says nothing is told apart from one that does not accept', async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const address = mute.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const target = await startTarget();
    expect(await attempt(target, { port, timeoutMs: 100 })).toMatchObject({
      error: { kind: 'timeout', detail: expect.stringContaining('the target hangs') as string },
    });
    const signal = AbortSignal.timeout(50);
    expect(await attempt(target, { port, signal })).toMatchObject({ error: { kind: 'aborted' } });
    const gone = AbortSignal.abort();
    expect(await attempt(target, { signal: gone })).toMatchObject({ error: { kind: 'aborted' } });
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => mute.close(resolve));
  });
});
