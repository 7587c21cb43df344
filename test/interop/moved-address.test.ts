/**
 * An address that moves between two real gateways of one store with writes under way: what `portals` says
 * decides whether the reset at the new gateway is taken for a fence of the old one.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { IoError } from '../../src/ports/block.ts';
import type { Volume } from '../../src/volume/volume.ts';
import { makeVolume } from '../support/node/real-volume.ts';
import { TcpProxy } from '../support/targets/tcp-proxy.ts';
import type { Target } from '../support/targets/tgt.ts';
import { startTarget } from './initiator-rig.ts';

const BLOCKS = 16;
const BYTES = 4_096;
const GATEWAY = { serial: 'S', host: '127.0.0.1' };
let volume: Volume | undefined;
let proxy: TcpProxy | undefined;

afterEach(async () => {
  await volume?.close();
  await proxy?.stop();
});

async function open(target: Target, ports: readonly number[], portals: string): Promise<Volume> {
  const { host } = target.options;
  volume = makeVolume({
    portals: ports.map((port) => ({ host, port })),
    targetName: target.iqn,
    policy: { 'expected-serial': 'S', portals },
    node: 'a',
    changes: { singleNode: true },
  });
  const started = await volume.start();
  if (!started.ok) throw new Error(started.error.detail);
  const { paths } = volume.status();
  await until(() => paths.length === 1 || (volume?.status().paths.every(({ up }) => up) ?? false));
  return volume;
}

function writeAll(on: Volume, value: number): Promise<readonly (IoError | undefined)[]> {
  const io = (block: number): Promise<IoError | undefined> =>
    new Promise((done) => {
      const data = Buffer.alloc(BYTES, value);
      const at = { offset: block * BYTES, length: BYTES };
      on.submit({ kind: 'write', ...at, data, fua: false, done });
    });
  return Promise.all(Array.from({ length: BLOCKS }, (_, block) => io(block)));
}

async function stale(on: Volume, value: number): Promise<number> {
  const data = Buffer.alloc(BLOCKS * BYTES);
  await new Promise((done) => {
    on.submit({ kind: 'read', offset: 0, length: data.length, data, fua: false, done });
  });
  return Array.from({ length: BLOCKS }, (_, i) => data[i * BYTES]).filter((is) => is !== value)
    .length;
}

async function until(what: () => boolean, limitMs = 10_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!what()) {
    if (performance.now() > end) throw new Error('it does not happen');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const FINE = Array.from({ length: BLOCKS }, () => undefined);

describe('the address of one of two tgtd over one file moves to the other', () => {
  async function moved(portals: string) {
    const old = await startTarget(GATEWAY);
    const taker = await startTarget({ ...GATEWAY, backingFile: old.options.backingFile });
    proxy = await TcpProxy.start(old.options.port);
    const on = await open(old, [proxy.port, taker.options.port], portals);
    expect(on.status().current).toBe('p0');
    proxy.move(taker.options.port);
    return { on, delayed: proxy, writing: writeAll(on, 0xa1) };
  }

  it('portals: floating holds I/O: nobody there knows the session', async () => {
    const { on, writing } = await moved('floating');
    await until(() => on.status().reason.includes('portals: floating'));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const { reason, state } = on.status();
    expect(state).toBe('holding');
    expect(reason).toContain('does not show the key of the session that was left');
    await on.disown('end of test');
    expect((await writing).every((error) => error === 'EIO')).toBe(true);
  });

  it('portals: fixed takes it for the old one, and the old writes land on newer ones', async () => {
    const { on, delayed, writing } = await moved('fixed');
    expect(await writing).toEqual(FINE);
    expect(on.status().lastSwitch?.fence).toBe('reset');
    expect(await writeAll(on, 0xb2)).toEqual(FINE);
    expect(delayed.deliver()).toBeGreaterThan(BLOCKS * BYTES);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await stale(on, 0xb2)).toBeGreaterThan(0);
  });
});

it('an address that has not moved is fenced by reset: tgtd shows the key of the session that was left', async () => {
  const target = await startTarget(GATEWAY);
  proxy = await TcpProxy.start(target.options.port);
  const on = await open(target, [proxy.port], 'floating');
  const writing = writeAll(on, 0xa1);
  await new Promise((resolve) => setImmediate(resolve));
  proxy.cut();
  expect(await writing).toEqual(FINE);
  expect(await stale(on, 0xa1)).toBe(0);
  expect(on.status().state).toBe('serving');
});
