/** Every code of the CSI specification, from the real server, with the text that people will read. */
import { constants, closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { unmountAll } from '../../src/host/mount/mount.ts';
import { PathdError } from '../../src/pathd/api.ts';
import { CONTEXT, CsiBench, EXT4_BYTES, refusal, run } from '../support/node/csi-bench.ts';
import { blockCapability, mountCapability } from '../support/node/kubelet.ts';

let bench: CsiBench;
beforeEach(async () => {
  bench = await CsiBench.open();
});
afterEach(() => bench.close());

const matching = (pattern: RegExp): string => expect.stringMatching(pattern) as string;

describe('INVALID_ARGUMENT', () => {
  test.each([
    ['stage', 'volume_id', { volumeId: '' }],
    ['stage', 'volume_id', { volumeId: '../etc' }],
    ['stage', 'staging_target_path', { stagingTargetPath: '' }],
    ['stage', 'volume_capability', { volumeCapability: undefined }],
    [
      'stage',
      'ReadWriteMany',
      { volumeCapability: mountCapability('ext4', 'MULTI_NODE_MULTI_WRITER') },
    ],
    [
      'stage',
      'the Secret of nodeStageSecretRef: node.session.auth.username',
      { secrets: { 'node.session.auth.password': 'hunter2' } },
    ],
    ['stage', 'no usable path', { volumeContext: {} }],
    [
      'stage',
      'LUN "999"',
      { volumeContext: { 'path.prioritypath.io/p0': 'iscsi://a/iqn.2026-01.io.x:v/999' } },
    ],
    ['publish', 'volume_id', { volumeId: '' }],
    ['publish', 'target_path', { targetPath: '' }],
    ['publish', 'volume_capability', { volumeCapability: undefined }],
    ['unpublish', 'volume_id', { volumeId: '' }],
    ['unpublish', 'target_path', { targetPath: '' }],
    ['unstage', 'volume_id', { volumeId: '' }],
    ['unstage', 'staging_target_path', { stagingTargetPath: '' }],
    ['stats', 'volume_id', { volumeId: '' }],
    ['stats', 'volume_path', { volumePath: '' }],
    ['expand', 'volume_id', { volumeId: '' }],
    ['expand', 'volume_path', { volumePath: '' }],
  ] as const)('%s: %s', async (rpc, text, change) => {
    const request = {
      volumeId: 'pv-1',
      stagingTargetPath: bench.staging,
      targetPath: bench.target(),
      volumePath: bench.target(),
      volumeCapability: mountCapability(),
      volumeContext: CONTEXT,
      ...change,
    };
    const answer = await refusal(bench.kubelet[rpc](request as never));
    expect(answer).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(answer.message).toContain(text);
    expect(bench.pathd.calls).toEqual([]);
    expect(bench.logged.join()).not.toContain('hunter2');
  });

  test('expand with another access type', async () => {
    await bench.stage('pv-1', blockCapability());
    const request = {
      volumeId: 'pv-1',
      volumePath: bench.staging,
      volumeCapability: mountCapability(),
    };
    expect((await refusal(bench.kubelet.expand(request))).code).toBe('INVALID_ARGUMENT');
  });
});

test('good paths are used and bad ones are logged', async () => {
  await bench.kubelet.stage({
    volumeId: 'pv-1',
    stagingTargetPath: bench.staging,
    volumeCapability: mountCapability(),
    volumeContext: { ...CONTEXT, 'path.prioritypath.io/p1': 'iscsi://10.0.0.1/disk/1' },
  });
  expect(bench.pathd.lastAttach?.paths.map((path) => path.name)).toEqual(['p0']);
  expect(bench.logged.join('\n')).toMatch(/value is ignored .*path\.prioritypath\.io\/p1/);
});

describe('NOT_FOUND', () => {
  test.each(['stats', 'expand'] as const)(
    '%s of an unknown volume, or at a wrong path',
    async (rpc) => {
      const ask = (volumeId: string, volumePath: string): Promise<{ code: string }> =>
        refusal(bench.kubelet[rpc]({ volumeId, volumePath }));
      expect((await ask('nobody', '/some/path')).code).toBe('NOT_FOUND');
      await bench.stage('pv-1', mountCapability());
      expect((await ask('pv-1', '/')).code).toBe('INVALID_ARGUMENT');
      expect((await ask('pv-1', '/tmp')).code).toBe('NOT_FOUND');
      expect((await ask('pv-1', bench.target())).code).toBe('NOT_FOUND');
    },
  );

  test('stats at a path that is not absolute, as csi-sanity asks', async () => {
    const request = { volumeId: 'pv-1', volumePath: 'some/path' };
    expect((await refusal(bench.kubelet.stats(request))).code).toBe('NOT_FOUND');
  });

  test('stats where the published mount has gone', async () => {
    await bench.stage('pv-1', mountCapability());
    await bench.publish('pv-1', mountCapability());
    await run('umount', [bench.target()]);
    const request = { volumeId: 'pv-1', volumePath: bench.target() };
    expect((await refusal(bench.kubelet.stats(request))).code).toBe('NOT_FOUND');
  });
});

describe('ABORTED', () => {
  test('while a slow attach runs every other call for the volume is refused, and works after it', async () => {
    let open = (): void => undefined;
    bench.pathd.attachGate = new Promise((resolve) => (open = resolve));
    const first = bench.stage('pv-1', mountCapability());
    while (bench.pathd.lastAttach === undefined) await new Promise((go) => setTimeout(go, 5));
    const at = { volumeId: 'pv-1', volumePath: bench.target() };
    for (const call of [
      bench.stage('pv-1', mountCapability()),
      bench.unstage('pv-1'),
      bench.publish('pv-1', mountCapability()),
      bench.unpublish('pv-1'),
      bench.kubelet.stats(at),
      bench.kubelet.expand(at),
    ]) {
      expect(await refusal(call)).toMatchObject({
        code: 'ABORTED',
        message: matching(/NodeStageVolume of volume pv-1 is still running/),
      });
    }
    await bench.unpublish('pv-2');
    open();
    await first;
    await bench.publish('pv-1', mountCapability());
  });
});

describe('ALREADY_EXISTS', () => {
  test('stage with another capability or at another path', async () => {
    await bench.stage('pv-1', mountCapability());
    for (const capability of [
      blockCapability(),
      mountCapability('xfs'),
      mountCapability('ext4', 'MULTI_NODE_READER_ONLY'),
      mountCapability('ext4', 'SINGLE_NODE_MULTI_WRITER', ['noatime']),
    ]) {
      expect((await refusal(bench.stage('pv-1', capability))).code).toBe('ALREADY_EXISTS');
    }
    const elsewhere = {
      volumeId: 'pv-1',
      stagingTargetPath: join(bench.dir, 'other'),
      volumeCapability: mountCapability(),
      volumeContext: CONTEXT,
    };
    expect((await refusal(bench.kubelet.stage(elsewhere))).code).toBe('ALREADY_EXISTS');
    expect(bench.mounts()).toEqual([bench.staging]);
  });

  test('publish at the same target with other arguments', async () => {
    await bench.stage('pv-1', mountCapability());
    await bench.publish('pv-1', mountCapability());
    const readonly = bench.publish('pv-1', mountCapability(), 'pod-1', true);
    expect((await refusal(readonly)).code).toBe('ALREADY_EXISTS');
    const single = mountCapability('ext4', 'SINGLE_NODE_SINGLE_WRITER');
    expect((await refusal(bench.publish('pv-1', single))).code).toBe('ALREADY_EXISTS');
  });
});

describe('FAILED_PRECONDITION', () => {
  test('publish without staging path, without stage, with another staging path', async () => {
    const request = {
      volumeId: 'pv-1',
      targetPath: bench.target(),
      volumeCapability: mountCapability(),
      volumeContext: CONTEXT,
    };
    const bare = await refusal(bench.kubelet.publish(request));
    expect(bare).toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect((await refusal(bench.publish('pv-1', mountCapability()))).message).toContain(
      'not staged',
    );
    await bench.stage('pv-1', mountCapability());
    const wrong = bench.kubelet.publish({ ...request, stagingTargetPath: '/other' });
    expect((await refusal(wrong)).code).toBe('FAILED_PRECONDITION');
    expect(bench.mounts()).toEqual([bench.staging]);
  });

  test('publish over dead staging binds nothing', async () => {
    await bench.stage('pv-1', mountCapability());
    await run('umount', [bench.staging]);
    expect(await refusal(bench.publish('pv-1', mountCapability()))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: matching(/nothing is mounted at .*staging.*delete the pods/),
    });
    expect(bench.mounts()).toEqual([]);
  });

  test('publish over the mount of an earlier device binds nothing, and stage replaces it', async () => {
    await bench.stage('pv-1', mountCapability());
    const old = bench.device('pv-1');
    // The old device lives on below its mount; the volume comes back as another one.
    await bench.pathd.crash();
    await bench.pathd.attach(bench.pathd.lastAttach!);
    expect(bench.device('pv-1')).not.toBe(old);
    expect(await refusal(bench.publish('pv-1', mountCapability()))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: matching(new RegExp(`is a mount of ${old}, the volume is`)),
    });
    await bench.stage('pv-1', mountCapability());
    await bench.publish('pv-1', mountCapability());
    expect(bench.mounts()).toEqual([bench.staging, bench.target()]);
  });

  test.each([
    ['SINGLE_NODE_SINGLE_WRITER', 'FAILED_PRECONDITION'],
    ['SINGLE_NODE_WRITER', 'FAILED_PRECONDITION'],
    ['SINGLE_NODE_READER_ONLY', 'FAILED_PRECONDITION'],
    ['SINGLE_NODE_MULTI_WRITER', 'OK'],
    ['MULTI_NODE_MULTI_WRITER', 'OK'],
    ['MULTI_NODE_SINGLE_WRITER', 'OK'],
    ['MULTI_NODE_READER_ONLY', 'OK'],
  ] as const)('a second target with %s: %s', async (mode, expected) => {
    const capability = blockCapability(mode);
    await bench.stage('pv-1', capability);
    await bench.publish('pv-1', capability, 'pod-1');
    const second = bench.publish('pv-1', capability, 'pod-2');
    if (expected === 'OK') await second;
    else expect((await refusal(second)).code).toBe(expected);
    await bench.unpublish('pv-1', 'pod-1');
    await bench.publish('pv-1', capability, 'pod-2');
  });

  test('unstage while a pod has the volume: refused before anything is unmounted', async () => {
    await bench.stage('pv-1', mountCapability());
    await bench.publish('pv-1', mountCapability());
    expect(await refusal(bench.unstage('pv-1'))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: matching(/still published at .*pod-1/),
    });
    expect(bench.mounts()).toEqual([bench.staging, bench.target()]);
  });

  test('unstage while a process claims the device names it, and the volume stays attached', async () => {
    await bench.stage('pv-1', blockCapability());
    const fd = openSync(bench.device('pv-1'), constants.O_RDONLY | constants.O_EXCL);
    const holder = bench.spawn('sleep', ['60'], fd);
    closeSync(fd);
    expect(await refusal(bench.unstage('pv-1'))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: matching(
        new RegExp(`still in use.*opened by pid ${String(holder.pid)} \\(sleep\\)`),
      ),
    });
    expect(bench.pathd.calls).not.toContain('detach pv-1');
    const gone = new Promise((resolve) => holder.once('exit', resolve));
    holder.kill('SIGKILL');
    await gone;
    await bench.unstage('pv-1');
  });

  test('a mount elsewhere keeps the device attached', async () => {
    await bench.stage('pv-1', mountCapability());
    const copy = join(bench.dir, 'copy');
    mkdirSync(copy);
    await run('mount', ['--bind', bench.staging, copy]);
    expect(await refusal(bench.unstage('pv-1'))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: matching(/mounted at .*copy/),
    });
    await run('umount', [copy]);
    await bench.unstage('pv-1');
  });

  test("pathd's refusals pass through as they are", async () => {
    bench.pathd.attachError = new PathdError('FAILED_PRECONDITION', 'no fence: add this line');
    expect(await refusal(bench.stage('pv-1', mountCapability()))).toEqual({
      code: 'FAILED_PRECONDITION',
      message: 'no fence: add this line',
    });
    bench.pathd.attachError = new PathdError('UNAVAILABLE', 'no path is up');
    expect((await refusal(bench.stage('pv-1', mountCapability()))).code).toBe('UNAVAILABLE');
    bench.pathd.attachError = undefined;
    await bench.stage('pv-1', mountCapability());
    bench.pathd.detachError = new PathdError('FAILED_PRECONDITION', 'busy');
    expect((await refusal(bench.unstage('pv-1'))).code).toBe('FAILED_PRECONDITION');
    bench.pathd.detachError = undefined;
    await bench.unstage('pv-1');
  });

  test('something else at the staging path is left alone', async () => {
    mkdirSync(bench.staging);
    await run('mount', ['-t', 'tmpfs', 'none', bench.staging]);
    expect(await refusal(bench.stage('pv-1', mountCapability()))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: matching(/tmpfs.*not by this driver/),
    });
    expect(bench.pathd.device('pv-1')).toBeUndefined();
  });

  test('a volume that failed for good is staged afresh when nobody uses it, not under a pod', async () => {
    await bench.stage('pv-1', mountCapability());
    await bench.publish('pv-1', mountCapability());
    bench.pathd.volumeState = 'failed';
    expect(await refusal(bench.stage('pv-1', mountCapability()))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: matching(/has failed \(no path for 120 s\).*delete the pods/),
    });
    await bench.unpublish('pv-1');
    await bench.stage('pv-1', mountCapability());
    expect(bench.pathd.calls.filter((call) => call === 'attach pv-1')).toHaveLength(2);
    expect(bench.pathd.calls).toContain('detach pv-1');
  });
});

describe('OUT_OF_RANGE', () => {
  test('expand beyond the LUN, beyond the limit, with nonsense', async () => {
    await bench.stage('pv-1', blockCapability());
    const expand = (requiredBytes: number, limitBytes = 0): Promise<{ code: string }> =>
      refusal(
        bench.kubelet.expand({
          volumeId: 'pv-1',
          volumePath: bench.staging,
          capacityRange: { requiredBytes, limitBytes },
        }),
      );
    expect((await expand(EXT4_BYTES + 1)).code).toBe('OUT_OF_RANGE');
    expect((await expand(0, EXT4_BYTES - 1)).code).toBe('OUT_OF_RANGE');
    expect((await expand(2, 1)).code).toBe('OUT_OF_RANGE');
    expect((await expand(-1)).code).toBe('OUT_OF_RANGE');
  });
});

describe('INTERNAL', () => {
  test('a damaged record stops everything for that volume, and only for that', async () => {
    await bench.stage('pv-1', mountCapability());
    const file = join(bench.stateDir, 'volumes', 'pv-1.json');
    writeFileSync(file, '{"version":1,"vol');
    const expected = {
      code: 'INTERNAL',
      message: matching(/pv-1\.json is damaged.*delete the file/),
    };
    expect(await refusal(bench.stage('pv-1', mountCapability()))).toMatchObject(expected);
    expect(await refusal(bench.publish('pv-1', mountCapability()))).toMatchObject(expected);
    expect(await refusal(bench.unstage('pv-1'))).toMatchObject(expected);
    expect(bench.mounts()).toEqual([bench.staging]);
    await bench.unstage('pv-2');
  });

  test('a filesystem that fsck cannot mend is not mounted, and what the call did is undone', async () => {
    await bench.stage('pv-1', mountCapability());
    await bench.unstage('pv-1');
    bench.fakeProgram(
      'fsck.ext4',
      'echo "pv-1: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY." >&2; exit 4',
    );
    const before = bench.digest('pv-1');
    expect(await refusal(bench.stage('pv-1', mountCapability()))).toMatchObject({
      code: 'INTERNAL',
      message: matching(/not mounted.*code 4.*UNEXPECTED INCONSISTENCY/),
    });
    expect(bench.mounts()).toEqual([]);
    expect(bench.pathd.device('pv-1')).toBeUndefined();
    expect(bench.digest('pv-1')).toBe(before);
    bench.restorePrograms();
    await bench.stage('pv-1', mountCapability());
  });

  test('a mount that fails is undone', async () => {
    bench.fakeProgram('mount', 'echo "mount: /x: cannot" >&2; exit 32');
    expect(await refusal(bench.stage('pv-1', mountCapability()))).toMatchObject({
      code: 'INTERNAL',
      message: matching(/could not be mounted: mount: \/x: cannot/),
    });
    expect(bench.pathd.device('pv-1')).toBeUndefined();
  });

  test('unpublish never deletes what it did not make', async () => {
    mkdirSync(bench.target(), { recursive: true });
    writeFileSync(join(bench.target(), 'precious'), 'x');
    expect((await refusal(bench.unpublish('pv-1'))).code).toBe('INTERNAL');
    const file = bench.kubelet.unpublish({
      volumeId: 'pv-1',
      targetPath: join(bench.target(), 'precious'),
    });
    expect((await refusal(file)).code).toBe('INTERNAL');
  });

  test('a umount that hangs is given up in time and says so', async () => {
    await bench.stage('pv-1', mountCapability());
    bench.fakeProgram('umount', 'exec sleep 30');
    const startedAt = performance.now();
    const result = await unmountAll(bench.staging, 300);
    expect(result).toMatchObject({ ok: false, error: { kind: 'timeout' } });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    bench.restorePrograms();
    await bench.unstage('pv-1');
  });
});

describe('RESOURCE_EXHAUSTED', () => {
  test('a full state disk refuses before anything is done; teardown still works', async () => {
    await bench.stage('pv-0', blockCapability('MULTI_NODE_MULTI_WRITER'));
    await bench.unstage('pv-0');
    mkdirSync(bench.stateDir, { recursive: true });
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', bench.stateDir]);
    await bench.restart();
    await bench.stage('pv-1', mountCapability());
    await bench.publish('pv-1', mountCapability());
    await run('dd', ['if=/dev/zero', `of=${join(bench.stateDir, 'full')}`, 'bs=4k']).catch(() => 0);
    bench.pathd.calls.length = 0;
    const request = {
      volumeId: 'pv-2',
      stagingTargetPath: join(bench.dir, 'staging-2'),
      volumeCapability: mountCapability(),
      volumeContext: CONTEXT,
    };
    expect(await refusal(bench.kubelet.stage(request))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: matching(/cannot write .*pv-2\.json: the disk is full/),
    });
    expect(bench.pathd.calls).toEqual([]);
    const publish = bench.publish('pv-1', mountCapability(), 'pod-2');
    expect((await refusal(publish)).code).toBe('RESOURCE_EXHAUSTED');
    await bench.unpublish('pv-1');
    await bench.unstage('pv-1');
    expect(bench.mounts()).toEqual([bench.stateDir]);
  });
});

describe('UNIMPLEMENTED', () => {
  test('controller calls', async () => {
    const call = bench.kubelet.raw('/csi.v1.Controller/CreateVolume');
    expect((await refusal(call)).code).toBe('UNIMPLEMENTED');
  });
});

test('no log line repeats secrets or the volume context, each call has an id', async () => {
  const secrets = { 'node.session.auth.password': 'hunter2' };
  await refusal(
    bench.kubelet.stage({
      volumeId: 'pv-1',
      stagingTargetPath: bench.staging,
      volumeCapability: mountCapability(),
      volumeContext: { ...CONTEXT, private: 'context-value' },
      secrets,
    }),
  );
  const all = bench.logged.join('\n');
  expect(all).not.toMatch(/hunter2|context-value/);
  expect(all).toMatch(/call failed .*"requestId":\d+.*"rpc":"NodeStageVolume".*"volumeId":"pv-1"/);
});
