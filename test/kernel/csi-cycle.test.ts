/** Whole lives of volumes: real gRPC, real mkfs, mount, resize on loop devices. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { CsiBench, EXT4_BYTES, XFS_BYTES, refusal, run } from '../support/node/csi-bench.ts';
import { blockCapability, mountCapability } from '../support/node/kubelet.ts';

let bench: CsiBench;
const CONTEXTLESS = { paths: [], policy: {}, readOnly: false, pin: '' };
afterEach(() => bench.close());

const thrice = async (action: () => Promise<unknown>): Promise<void> => {
  for (let i = 0; i < 3; i++) await action();
};

/** ext4 is only grown online with CAP_SYS_RESOURCE (24), which sandboxes like to take away. */
const capabilities =
  /^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
const mayGrow = { ext4: ((BigInt(`0x${capabilities}`) >> 24n) & 1n) === 1n, xfs: true };

describe.each([
  ['ext4', EXT4_BYTES],
  ['xfs', XFS_BYTES],
] as const)('%s', (fsType, sizeBytes) => {
  test('stage, publish, write, unpublish, unstage, each three times; the data is there next time', async () => {
    bench = await CsiBench.open(sizeBytes);
    const capability = mountCapability(fsType);
    await thrice(() => bench.stage('pv-1', capability));
    await thrice(() => bench.publish('pv-1', capability));
    expect(bench.mounts()).toEqual([bench.staging, bench.target()]);
    writeFileSync(join(bench.target(), 'data'), 'precious');
    await thrice(() => bench.unpublish('pv-1'));
    expect(existsSync(bench.target())).toBe(false);
    await thrice(() => bench.unstage('pv-1'));
    expect(bench.mounts()).toEqual([]);
    expect(bench.pathd.device('pv-1')).toBeUndefined();

    await bench.stage('pv-1', capability);
    expect(readFileSync(join(bench.staging, 'data'), 'utf8')).toBe('precious');
    await bench.unstage('pv-1');
    expect(bench.pathd.calls.filter((call) => call === 'beginFormat pv-1')).toHaveLength(1);
  });

  where(!mayGrow[fsType])('expand names the capability that is missing', async () => {
    bench = await CsiBench.open(sizeBytes);
    await bench.stage('pv-1', mountCapability(fsType));
    bench.pathd.grow('pv-1', sizeBytes * 2);
    const request = { volumeId: 'pv-1', volumePath: bench.staging };
    expect(await refusal(bench.kubelet.expand(request))).toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('CAP_SYS_RESOURCE') as string,
    });
    // A volume that cannot be grown is still a volume: the next stage works and says so.
    await bench.unstage('pv-1');
    await bench.stage('pv-1', mountCapability(fsType));
    expect(bench.logged.join()).toContain('filesystem was not grown');
  });

  where(mayGrow[fsType])('expand grows the mounted filesystem, and twice is once', async () => {
    bench = await CsiBench.open(sizeBytes);
    const capability = mountCapability(fsType);
    await bench.stage('pv-1', capability);
    await bench.publish('pv-1', capability);
    const total = async (): Promise<number> => {
      const { usage } = await bench.kubelet.stats({
        volumeId: 'pv-1',
        volumePath: bench.target(),
      });
      return usage.find((one) => one.unit === 'BYTES')?.total ?? 0;
    };
    const before = await total();
    const size = sizeBytes * 2;
    bench.pathd.grow('pv-1', size);
    await thrice(async () => {
      const answer = await bench.kubelet.expand({
        volumeId: 'pv-1',
        volumePath: bench.target(),
        stagingTargetPath: bench.staging,
        capacityRange: { requiredBytes: size },
        volumeCapability: capability,
      });
      expect(answer.capacityBytes).toBe(size);
    });
    expect(await total()).toBeGreaterThan(before * 1.8);
  });

  where(mayGrow[fsType])(
    'a LUN that grew while it was not staged is a bigger filesystem at the next stage',
    async () => {
      bench = await CsiBench.open(sizeBytes);
      await bench.stage('pv-1', mountCapability(fsType));
      const stats = { volumeId: 'pv-1', volumePath: bench.staging };
      const before = (await bench.kubelet.stats(stats)).usage[0]?.total ?? 0;
      await bench.unstage('pv-1');
      bench.pathd.grow('pv-1', sizeBytes * 2);
      await bench.stage('pv-1', mountCapability(fsType));
      expect((await bench.kubelet.stats(stats)).usage[0]?.total).toBeGreaterThan(before * 1.8);
    },
  );

  test('ReadOnlyMany is mounted without log replay: not a byte of the volume changes', async () => {
    bench = await CsiBench.open(sizeBytes);
    await bench.stage('pv-1', mountCapability(fsType));
    writeFileSync(join(bench.staging, 'data'), 'x');
    await bench.unstage('pv-1');
    const reader = mountCapability(fsType, 'MULTI_NODE_READER_ONLY');
    const before = bench.digest('pv-1');
    await bench.stage('pv-1', reader);
    expect(bench.pathd.lastAttach?.readOnly).toBe(true);
    const { stdout } = await run('findmnt', ['-no', 'OPTIONS', bench.staging]);
    expect(stdout).toMatch(/\bro\b/);
    expect(stdout).toMatch(/norecovery|noload/);
    await bench.publish('pv-1', reader, 'pod-1');
    await bench.publish('pv-1', reader, 'pod-2');
    expect(() => writeFileSync(join(bench.target(), 'y'), '')).toThrow(/EROFS/);
    for (const pod of ['pod-1', 'pod-2']) await bench.unpublish('pv-1', pod);
    await bench.unstage('pv-1');
    expect(bench.digest('pv-1')).toBe(before);
  });

  test('stats are bytes and inodes, at the staging path and at the target', async () => {
    bench = await CsiBench.open(sizeBytes);
    await bench.stage('pv-1', mountCapability(fsType));
    await bench.publish('pv-1', mountCapability(fsType));
    for (const volumePath of [bench.staging, bench.target()]) {
      const { usage } = await bench.kubelet.stats({ volumeId: 'pv-1', volumePath });
      expect(usage.map((one) => one.unit)).toEqual(['BYTES', 'INODES']);
      const [bytes, inodes] = usage;
      expect(bytes?.total).toBeGreaterThan(sizeBytes * 0.6);
      expect(bytes?.total).toBeLessThanOrEqual(sizeBytes);
      expect(bytes?.available).toBeLessThanOrEqual((bytes?.total ?? 0) - (bytes?.used ?? 0));
      expect(inodes?.total).toBeGreaterThan(0);
    }
  });
});

/**
 * What a machine can do decides what is to be shown on it: growth where the kernel allows it, the error
 * that names the missing capability where not. Neither is a skipped test.
 */
function where(here: boolean): (name: string, run: () => Promise<void>) => void {
  return here ? test : (): void => undefined;
}

describe('raw block', () => {
  test('stage, publish, write, unpublish, unstage, each three times; two pods see one device', async () => {
    bench = await CsiBench.open();
    const capability = blockCapability('MULTI_NODE_MULTI_WRITER');
    await thrice(() => bench.stage('pv-1', capability));
    expect(bench.mounts()).toEqual([]);
    await thrice(() => bench.publish('pv-1', capability));
    await bench.publish('pv-1', capability, 'pod-2');
    expect(statSync(bench.target()).isBlockDevice()).toBe(true);
    expect(statSync(bench.target()).rdev).toBe(statSync(bench.device('pv-1')).rdev);
    await run('dd', ['if=/dev/urandom', `of=${bench.target()}`, 'bs=4k', 'count=4', 'conv=fsync']);
    const block = async (path: string): Promise<string> => (await run('sha256sum', [path])).stdout;
    expect((await block(bench.target())).slice(0, 64)).toBe(
      (await block(bench.target('pod-2'))).slice(0, 64),
    );
    await bench.unpublish('pv-1', 'pod-2');
    await thrice(() => bench.unpublish('pv-1'));
    expect(existsSync(bench.target())).toBe(false);
    await thrice(() => bench.unstage('pv-1'));
    expect(bench.pathd.calls).not.toContain('beginFormat pv-1');
  });

  test('stats and expand are about the size only', async () => {
    bench = await CsiBench.open();
    await bench.stage('pv-1', blockCapability());
    await bench.publish('pv-1', blockCapability());
    const at = { volumeId: 'pv-1', volumePath: bench.target() };
    const total = async (): Promise<unknown> => (await bench.kubelet.stats(at)).usage;
    expect(await total()).toMatchObject([{ unit: 'BYTES', total: EXT4_BYTES }]);
    bench.pathd.grow('pv-1', EXT4_BYTES * 2);
    const answer = await bench.kubelet.expand({ ...at, capacityRange: { requiredBytes: 1 } });
    expect(answer.capacityBytes).toBe(EXT4_BYTES * 2);
    expect(await total()).toMatchObject([{ unit: 'BYTES', total: EXT4_BYTES * 2 }]);
  });

  test('stats at the path the kubelet asks about: its own bind mount, per pod', async () => {
    bench = await CsiBench.open();
    await bench.stage('pv-1', blockCapability());
    await bench.publish('pv-1', blockCapability());
    const volumePath = await bench.mapBlock('pv-1', 'pod-1');
    const stats = (): Promise<object> => bench.kubelet.stats({ volumeId: 'pv-1', volumePath });
    const size = { usage: [{ unit: 'BYTES', total: EXT4_BYTES }] };
    expect(await stats()).toMatchObject({ ...size, volumeCondition: { abnormal: false } });

    // Storage is dead, then pathd too: the same size, nothing waited for.
    bench.pathd.volumeState = 'holding';
    expect(await stats()).toMatchObject({
      ...size,
      volumeCondition: { abnormal: true, message: 'holding' },
    });
    bench.pathd.statusGate = new Promise(() => undefined);
    const startedAt = performance.now();
    expect(await stats()).toMatchObject({
      ...size,
      volumeCondition: { abnormal: true, message: 'pathd does not answer' },
    });
    expect(performance.now() - startedAt).toBeLessThan(2_500);
    bench.pathd.statusGate = undefined;

    // Another device at such a path is not this volume.
    await bench.pathd.attach({ ...CONTEXTLESS, volumeId: 'pv-2' });
    const other = { volumeId: 'pv-1', volumePath: bench.device('pv-2') };
    expect(await refusal(bench.kubelet.stats(other))).toMatchObject({ code: 'NOT_FOUND' });
  });

  test('a read-only mode gives a device that refuses writes', async () => {
    bench = await CsiBench.open();
    const capability = blockCapability('MULTI_NODE_READER_ONLY');
    await bench.stage('pv-1', capability);
    await bench.publish('pv-1', capability);
    const write = run('dd', ['if=/dev/zero', `of=${bench.target()}`, 'bs=4k', 'count=1']);
    await expect(write).rejects.toThrow();
  });
});

describe('csi alone is restarted', () => {
  test('between stage and unstage: every call is as idempotent as before', async () => {
    bench = await CsiBench.open();
    const capability = mountCapability();
    await bench.stage('pv-1', capability);
    await bench.publish('pv-1', capability);
    await bench.restart();
    await bench.stage('pv-1', capability);
    await bench.publish('pv-1', capability);
    expect(bench.mounts()).toEqual([bench.staging, bench.target()]);
    const { code } = await refusal(bench.stage('pv-1', blockCapability()));
    expect(code).toBe('ALREADY_EXISTS');
    await bench.restart();
    await bench.unpublish('pv-1');
    await bench.restart();
    await bench.unstage('pv-1');
    expect(bench.mounts()).toEqual([]);
    expect(bench.pathd.device('pv-1')).toBeUndefined();
  });

  test('after a reboot the record is not believed: the volume is staged again', async () => {
    bench = await CsiBench.open();
    const capability = mountCapability();
    await bench.stage('pv-1', capability);
    await bench.publish('pv-1', capability);
    await run('umount', [bench.target()]);
    await run('umount', [bench.staging]);
    await bench.pathd.crash();
    expect(await refusal(bench.publish('pv-1', capability))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('not attached') as string,
    });
    await bench.stage('pv-1', capability);
    await bench.publish('pv-1', capability);
    expect(bench.mounts()).toEqual([bench.staging, bench.target()]);
  });

  test('without its state directory unstage still takes everything away', async () => {
    bench = await CsiBench.open();
    await bench.stage('pv-1', mountCapability());
    await run('rm', ['-r', bench.stateDir]);
    await bench.restart();
    await bench.unstage('pv-1');
    expect(bench.mounts()).toEqual([]);
    expect(bench.pathd.device('pv-1')).toBeUndefined();
  });

  test('a socket left by a dead process is replaced, that of a living one is not', async () => {
    bench = await CsiBench.open();
    await bench.restart();
    await expect(bench.kubelet.probe()).resolves.toEqual({ ready: { value: true } });
    const { createCsiServer } = await import('../../src/csi/grpc-server.ts');
    const other = createCsiServer({
      pathdEndpoint: 'unix:///nowhere',
      ...{ endpoint: bench.socket, stateDir: bench.stateDir, nodeId: 'n', version: '1' },
      ...{ topology: { rack: undefined, room: undefined }, maxVolumes: 0, pathd: bench.pathd },
      weights: { sameRack: 3, sameRoom: 2, otherRoom: 1 },
      log: { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 },
    });
    await expect(other.start()).rejects.toThrow(/served by another process/);
    // A socket file nobody listens on: bound, then its process killed.
    const stale = join(bench.dir, 'stale.sock');
    const script = `require('net').createServer().listen('${stale}', () => console.log(1))`;
    await run(process.execPath, [
      '-e',
      `${script};setTimeout(() => process.kill(process.pid, 9), 300)`,
    ]).catch(() => undefined);
    expect(existsSync(stale)).toBe(true);
    const { clearSocket } = await import('../../src/host/unix-socket.ts');
    await clearSocket(stale);
    expect(existsSync(stale)).toBe(false);
  });
});

test('identity, info and capabilities', async () => {
  bench = await CsiBench.open();
  expect(await bench.kubelet.pluginInfo()).toMatchObject({
    name: 'iscsi.prioritypath.io',
    vendorVersion: '0.1.0-test',
  });
  expect(await bench.kubelet.info()).toMatchObject({
    nodeId: 'node-1',
    maxVolumesPerNode: 128,
    accessibleTopology: null,
  });
  expect(await bench.kubelet.capabilities()).toEqual([
    'STAGE_UNSTAGE_VOLUME',
    'GET_VOLUME_STATS',
    'EXPAND_VOLUME',
    'VOLUME_CONDITION',
    'SINGLE_NODE_MULTI_WRITER',
  ]);
  expect((await bench.kubelet.pluginCapabilities()).capabilities).toMatchObject([
    { volumeExpansion: { type: 'ONLINE' } },
  ]);
});

test('mount options reach the mount, defaults stay safe', async () => {
  bench = await CsiBench.open();
  await bench.stage('pv-1', mountCapability('ext4', 'SINGLE_NODE_WRITER', ['noatime']));
  const { stdout } = await run('findmnt', ['-no', 'OPTIONS', bench.staging]);
  expect(stdout).toContain('noatime');
  expect(stdout).toContain('errors=remount-ro');
});

test('a staging path through a symbolic link is the same place', async () => {
  bench = await CsiBench.open();
  mkdirSync(join(bench.dir, 'real'));
  await run('ln', ['-s', 'real', join(bench.dir, 'link')]);
  const request = (path: string): object => ({
    volumeId: 'pv-1',
    stagingTargetPath: join(bench.dir, path, 'staging'),
    volumeCapability: mountCapability(),
    volumeContext: { 'path.prioritypath.io/p0': 'iscsi://127.0.0.1/iqn.2026-01.io.x:v/1' },
  });
  await bench.kubelet.stage(request('link'));
  await bench.kubelet.stage(request('real'));
  await bench.kubelet.unstage(request('link'));
  expect(bench.mounts()).toEqual([]);
});

test('a usage answer that is late is the last one, within two seconds and a bit', async () => {
  bench = await CsiBench.open();
  await bench.stage('pv-1', mountCapability());
  const at = { volumeId: 'pv-1', volumePath: bench.staging };
  const good = await bench.kubelet.stats(at);
  bench.fakeProgram('stat', 'exec sleep 30');
  const startedAt = performance.now();
  expect(await bench.kubelet.stats(at)).toEqual(good);
  expect(performance.now() - startedAt).toBeLessThan(4_000);
  bench.restorePrograms();
  expect((await bench.kubelet.stats(at)).usage[0]?.total).toBe(good.usage[0]?.total);
}, 20_000);
