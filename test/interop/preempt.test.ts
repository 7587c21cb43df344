/**
 * The rung `preempt` and the reservation at real targets: volumes of real sessions, whose first path goes
 * through a network that holds writes back and delivers them when newer ones are on the medium.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { IoError } from '../../src/ports/block.ts';
import * as cdb from '../../src/protocol/scsi/cdb.ts';
import { ScsiStatus } from '../../src/protocol/scsi/status.ts';
import type { Volume } from '../../src/volume/volume.ts';
import type { VolumeOptions } from '../../src/volume/volume-types.ts';
import { makeVolume } from '../support/node/real-volume.ts';
import type { Istgt } from '../support/targets/istgt.ts';
import { TcpProxy } from '../support/targets/tcp-proxy.ts';
import type { Target } from '../support/targets/tgt.ts';
import { login, optionsFor, ready, run, startIstgt, startTarget } from './initiator-rig.ts';

const BLOCKS = 16;
const BYTES = 4_096;
const volumes: Volume[] = [];
const proxies: TcpProxy[] = [];

afterEach(async () => {
  for (const volume of volumes.splice(0)) await volume.close();
  for (const proxy of proxies.splice(0)) await proxy.stop();
});

type Changes = Partial<Pick<VolumeOptions, 'singleNode' | 'debts' | 'initiatorName'>>;

function open(
  target: Target | Istgt,
  ports: readonly number[],
  policy: Readonly<Record<string, string>> = {},
  changes: Changes = {},
): Volume {
  const { host } = target.options;
  const volume = makeVolume({
    portals: ports.map((port) => ({ host, port })),
    targetName: target.iqn,
    lun: optionsFor(target).target.lun,
    policy: { 'expected-serial': 'S', ...policy },
    node: 'a',
    changes: { singleNode: true, ...changes },
  });
  volumes.push(volume);
  return volume;
}

async function start(volume: Volume): Promise<void> {
  const started = await volume.start();
  if (!started.ok) throw new Error(started.error.detail);
}

function io(volume: Volume, kind: 'read' | 'write', block: number, data: Buffer) {
  return new Promise<IoError | undefined>((done) => {
    volume.submit({ kind, offset: block * BYTES, length: BYTES, data, fua: false, done });
  });
}

function writeAll(volume: Volume, value: number): Promise<readonly (IoError | undefined)[]> {
  return Promise.all(
    Array.from({ length: BLOCKS }, (_, i) => io(volume, 'write', i, Buffer.alloc(BYTES, value))),
  );
}

async function values(volume: Volume): Promise<readonly number[]> {
  const data = Array.from({ length: BLOCKS }, () => Buffer.alloc(BYTES));
  await Promise.all(data.map((into, i) => io(volume, 'read', i, into)));
  return data.map((block) => block[0] ?? 0);
}

async function until(what: () => boolean, limitMs = 10_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!what()) {
    if (performance.now() > end) throw new Error('it does not happen');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function proxied(target: Target | Istgt): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(target.options.port, target.options.host);
  proxies.push(proxy);
  return proxy;
}

const FINE = Array.from({ length: BLOCKS }, () => undefined);

/** Writes through a path that holds them back, newer ones through the other, then the old ones arrive. */
async function ghosts(policy: Readonly<Record<string, string>>) {
  const target = await startTarget({ serial: 'S', host: '127.0.0.1' });
  const [first, second] = [await proxied(target), await proxied(target)];
  const volume = open(target, [first.port, second.port], policy);
  await start(volume);
  await until(() => volume.status().paths.every(({ up }) => up));
  if (policy['reservation'] !== 'off') {
    await until(() => volume.status().preemptible.length > 0);
  }
  expect(volume.status().current).toBe('p0');
  first.detain();
  const old = writeAll(volume, 0xa1);
  expect(await old).toEqual(FINE);
  const { lastSwitch } = volume.status();
  expect(await writeAll(volume, 0xb2)).toEqual(FINE);
  expect(first.deliver()).toBeGreaterThan(BLOCKS * BYTES);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const stale = (await values(volume)).filter((value) => value !== 0xb2).length;
  return { fence: lastSwitch?.fence, stale };
}

describe('tgt, two portals of one process, one of them a black hole', () => {
  it('is fenced by preempt: 0 of 16 late writes take effect', async () => {
    expect(await ghosts({})).toEqual({ fence: 'preempt', stale: 0 });
  });

  it('without a fence the same writes do, or the test above proves nothing', async () => {
    const { fence, stale } = await ghosts({ reservation: 'off', fencing: 'none' });
    expect(fence).toBe('none');
    expect(stale).toBeGreaterThan(0);
  });

  it('refuses the write of a second node, whose stage is refused unless it was given the volume by this one', async () => {
    const target = await startTarget({ serial: 'S' });
    const { port } = target.options;
    const a = open(target, [port, port]);
    await start(a);
    await until(() => a.status().preemptible.length > 0);
    const name = 'iqn.2026-01.io.prioritypath.test:b';
    const stranger = await ready(target, { initiatorName: name, isid: '800000770000' });
    const write = await run(stranger, cdb.write16(0, 1), { dataOut: Buffer.alloc(512, 0xee) });
    expect(write).toMatchObject({ status: ScsiStatus.RESERVATION_CONFLICT });

    const refused = await open(target, [port, port], {}, { initiatorName: name }).start();
    expect(refused).toMatchObject({ ok: false });
    expect(refused.ok ? '' : refused.error.detail).toContain('reserved by another node');
    expect(await writeAll(a, 0xa1)).toEqual(FINE);

    const initiatorName = a.options.initiatorName;
    const claim = { node: 'a', sinceUnixMs: Date.now(), allPaths: true, initiatorName, paths: [] };
    const b = open(target, [port, port], {}, { initiatorName: name, debts: [claim] });
    await start(b);
    expect(await writeAll(b, 0xb2)).toEqual(FINE);
    expect(await io(a, 'write', 0, Buffer.alloc(BYTES, 0xa1))).toBe('EIO');
    expect(a.status().reason).toContain('another node took the volume');
    expect(new Set(await values(b))).toEqual(new Set([0xb2]));
  });

  it('takes everybody again once the volume was left: no key and no reservation stays', async () => {
    const target = await startTarget({ serial: 'S' });
    const { port } = target.options;
    const volume = open(target, [port, port]);
    await start(volume);
    await until(() => volume.status().preemptible.length > 0);
    await writeAll(volume, 1);
    await volume.close();
    const anybody = await ready(target, { isid: '800000770000' });
    const write = await run(anybody, cdb.write16(0, 1), { dataOut: Buffer.alloc(512, 0xee) });
    expect(write).toMatchObject({ status: ScsiStatus.GOOD });
  });
});

it('two tgt processes over one file are two device servers: nothing is reserved, the rung is not there', async () => {
  const one = await startTarget({ serial: 'S' });
  const { backingFile } = one.options;
  const other = await startTarget({ serial: 'S', backingFile });
  const volume = open(one, [one.options.port, other.options.port]);
  await start(volume);
  await until(() => volume.status().paths.every(({ up }) => up));
  expect(volume.status().preemptible).toEqual([]);
  one.signal('SIGSTOP');
  const write = io(volume, 'write', 0, Buffer.alloc(BYTES, 1));
  await until(() => volume.status().reason.includes('preempt: '));
  expect(volume.status().reason).toContain('no other path is proved to lead to its device server');
  one.signal('SIGCONT');
  expect(await write).toBeUndefined();
  expect(volume.status().lastSwitch?.fence).toBe('reset');
});

it('istgt loses count of keys: it is found out, nothing is reserved there, and the volume serves', async () => {
  const target = await startIstgt({ host: '127.0.0.1' });
  const { port } = target.options;
  const volume = open(target, [port, port], { 'expected-serial': 'serial-istgt' });
  await start(volume);
  await until(() => volume.status().paths.every(({ up }) => up));
  expect(await writeAll(volume, 7)).toEqual(FINE);
  expect(volume.status().preemptible).toEqual([]);
  const session = await login(optionsFor(target, {}));
  const stranger = await run(session, cdb.write16(0, 1), { dataOut: Buffer.alloc(512, 7) });
  expect(stranger).toMatchObject({ status: ScsiStatus.GOOD });
});
