/**
 * Attempts to make the driver format something. Each puts a trap on the volume or in the tools, asks
 * for it to be staged, and compares every byte afterwards.
 */
import { closeSync, openSync, symlinkSync, mkdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CsiBench, EXT4_BYTES, MIB, refusal, run } from '../support/node/csi-bench.ts';
import { mountCapability } from '../support/node/kubelet.ts';

let bench: CsiBench;
beforeEach(async () => {
  bench = await CsiBench.open();
});
afterEach(() => bench.close());

const matching = (pattern: RegExp): string => expect.stringMatching(pattern) as string;

function put(offset: number, data: Buffer | string): void {
  const fd = openSync(bench.pathd.image('pv-1'), 'r+');
  writeSync(fd, Buffer.from(data as string), 0, undefined, offset);
  closeSync(fd);
}

/** Stages, expects this refusal, and that neither a byte nor the attachment is left of it. */
async function expectUntouched(
  expected: { code: string; message: string },
  capability = mountCapability(),
): Promise<void> {
  const before = bench.digest('pv-1');
  for (let i = 0; i < 2; i++) {
    expect(await refusal(bench.stage('pv-1', capability))).toEqual(expected);
    expect(bench.digest('pv-1')).toBe(before);
    expect(bench.pathd.device('pv-1')).toBeUndefined();
    expect(bench.mounts()).toEqual([]);
  }
}

const refused = (what: RegExp): { code: string; message: string } => ({
  code: 'FAILED_PRECONDITION',
  message: matching(what),
});

describe('what is on the volume', () => {
  test('ext4 where xfs is asked for', async () => {
    await bench.stage('pv-1', mountCapability());
    await bench.unstage('pv-1');
    await expectUntouched(refused(/holds ext4, but xfs is asked for/), mountCapability('xfs'));
  });

  test('another filesystem', async () => {
    await run('mkfs.ext4', ['-q', '-O', '^has_journal', '-t', 'ext2', bench.pathd.image('pv-1')]);
    await expectUntouched(refused(/holds ext2, but ext4/));
  });

  test('ext4 whose superblock was wiped', async () => {
    await run('mkfs.ext4', ['-q', bench.pathd.image('pv-1')]);
    put(1024, Buffer.alloc(1024));
    bench.pathd.formatVerdict = { mayFormat: true, reason: '' };
    await expectUntouched(refused(/data without a known signature at byte/));
  });

  test('a partition table', async () => {
    const entry = Buffer.from('00010100830303100008000000400000', 'hex');
    put(446, entry);
    put(510, Buffer.from('55aa', 'hex'));
    await expectUntouched(refused(/partition table \(dos\)/));
  });

  test('a LUKS header', async () => {
    put(0, Buffer.from('4c554b53babe0001', 'hex'));
    await expectUntouched(refused(/crypto_LUKS/));
  });

  test('swap space', async () => {
    await run('mkswap', [bench.pathd.image('pv-1')]);
    await expectUntouched(refused(/swap space/));
  });

  test('data at the tail only', async () => {
    put(EXT4_BYTES - 10, 'x');
    bench.pathd.formatVerdict = { mayFormat: true, reason: '' };
    await expectUntouched(refused(new RegExp(`at byte ${String(EXT4_BYTES - 10)}\\b`)));
  });

  test('one byte, near the end of the head', async () => {
    put(2 * MIB - 1, 'x');
    bench.pathd.formatVerdict = { mayFormat: true, reason: '' };
    await expectUntouched(refused(new RegExp(`at byte ${String(2 * MIB - 1)}\\b`)));
  });
});

describe('who disagrees', () => {
  test('pathd: its reason is passed on', async () => {
    bench.pathd.formatVerdict = { mayFormat: false, reason: 'path p1 failed while it was read' };
    await expectUntouched(refused(/not formatted: path p1 failed while it was read/));
    expect(bench.pathd.calls).not.toContain('endFormat pv-1');
  });

  test('pathd, because the volume was formatted before and is blank now', async () => {
    await bench.stage('pv-1', mountCapability());
    await bench.unstage('pv-1');
    await run('dd', ['if=/dev/zero', `of=${bench.pathd.image('pv-1')}`, 'bs=1M', 'count=64']);
    await expectUntouched(refused(/formatted before/));
  });

  test('a read-only access mode never formats', async () => {
    const reader = mountCapability('ext4', 'MULTI_NODE_READER_ONLY');
    await expectUntouched(refused(/read-only: it is never formatted/), reader);
    expect(bench.pathd.calls).not.toContain('beginFormat pv-1');
  });
});

describe('tools that fail', () => {
  const unknown = (what: RegExp): { code: string; message: string } => ({
    code: 'INTERNAL',
    message: matching(what),
  });

  test('blkid is missing', async () => {
    bench.fakeProgram('nothing', 'exit 0');
    for (const tool of ['losetup', 'mkfs.ext4', 'mount', 'umount', 'fsck.ext4', 'sleep']) {
      const { stdout } = await run('which', [tool]);
      symlinkSync(stdout.trim(), join(bench.dir, 'bin', tool));
    }
    bench.hideOtherPrograms();
    await expectUntouched(unknown(/cannot run blkid/));
  });

  test.each([
    ['exits 4', 'echo "I/O error" >&2; exit 4'],
    ['exits 2 and complains', 'echo "error: cannot open" >&2; exit 2'],
    ['exits 0 and says nothing', 'exit 0'],
    ['crashes', 'kill -SEGV $$'],
  ])('blkid %s', async (_, script) => {
    bench.fakeProgram('blkid', script);
    await expectUntouched(unknown(/cannot tell what it holds/));
  });

  test('blkid finds nothing where there is ext4', async () => {
    await bench.stage('pv-1', mountCapability());
    await bench.unstage('pv-1');
    bench.fakeProgram('blkid', 'exit 2');
    bench.pathd.formatVerdict = { mayFormat: true, reason: '' };
    await expectUntouched(refused(/data without a known signature/));
  });
});

describe('an interrupted mkfs', () => {
  test('that has written something is not made again', async () => {
    const half =
      'for last; do :; done; printf half | dd of="$last" bs=1 seek=8192 conv=fsync,notrunc';
    bench.fakeProgram('mkfs.ext4', `${half}; kill -KILL $$`);
    expect(await refusal(bench.stage('pv-1', mountCapability()))).toMatchObject({
      code: 'INTERNAL',
      message: matching(/could not be formatted: mkfs\.ext4 was killed by SIGKILL/),
    });
    expect(bench.pathd.calls).not.toContain('endFormat pv-1');
    bench.restorePrograms();
    bench.pathd.formatVerdict = { mayFormat: true, reason: '' };
    await expectUntouched(
      refused(/at byte 8192 \(making a filesystem began at .* was interrupted\)/),
    );
    await bench.unstage('pv-1');
    await expectUntouched(refused(/was interrupted/));
  });

  test('that was complete is proved by a full check, then used', async () => {
    bench.pathd.endFormatError = new Error('pathd was restarted');
    expect((await refusal(bench.stage('pv-1', mountCapability()))).message).toContain('restarted');
    expect(bench.pathd.device('pv-1')).toBeUndefined();
    bench.pathd.endFormatError = undefined;
    await bench.stage('pv-1', mountCapability());
    expect(bench.pathd.calls.filter((call) => call === 'beginFormat pv-1')).toHaveLength(1);
    expect(bench.pathd.calls.filter((call) => call === 'endFormat pv-1')).toHaveLength(2);
  });

  test('whose filesystem does not pass the check is neither mounted nor made again', async () => {
    bench.pathd.endFormatError = new Error('pathd was restarted');
    await refusal(bench.stage('pv-1', mountCapability()));
    bench.pathd.endFormatError = undefined;
    bench.fakeProgram('fsck.ext4', 'exit 4');
    await expectUntouched(refused(/was interrupted, and the check of what is there fails/));
  });
});

test('a blank volume is formatted once, without discarding', async () => {
  mkdirSync(bench.staging);
  await bench.stage('pv-1', mountCapability());
  await bench.unstage('pv-1');
  await bench.stage('pv-1', mountCapability());
  const formats = bench.pathd.calls.filter((call) => /Format/.test(call));
  expect(formats).toEqual(['beginFormat pv-1', 'endFormat pv-1', 'endFormat pv-1']);
});

test('a filesystem that others made is never formatted away once it was seen', async () => {
  await run('mkfs.ext4', ['-q', bench.pathd.image('pv-1')]);
  await bench.stage('pv-1', mountCapability());
  await bench.unstage('pv-1');
  expect(bench.pathd.calls).not.toContain('beginFormat pv-1');
  await run('dd', ['if=/dev/zero', `of=${bench.pathd.image('pv-1')}`, 'bs=1M', 'count=64']);
  await expectUntouched(refused(/formatted before/));
});
