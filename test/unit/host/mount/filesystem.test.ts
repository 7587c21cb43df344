import { expect, test } from 'vitest';
import { judgeBlkid, probeDevice } from '../../../../src/host/mount/filesystem-probe.ts';
import { oneLine } from '../../../../src/host/mount/mount.ts';
import { parseStatfs } from '../../../../src/host/mount/statfs.ts';

const tags = (...lines: string[]): string => `DEVNAME=/dev/loop0\n${lines.join('\n')}\n`;

test.each([
  ['nothing found', 2, '', '', { kind: 'blank' }],
  ['ext4', 0, tags('TYPE=ext4', 'USAGE=filesystem'), '', { kind: 'filesystem', type: 'ext4' }],
  ['vfat', 0, tags('TYPE=vfat', 'USAGE=filesystem'), '', { kind: 'filesystem', type: 'vfat' }],
])('blkid: %s', (_, code, stdout, stderr, expected) => {
  expect(judgeBlkid(code, stdout, stderr)).toEqual(expected);
});

test.each([
  ['LVM', tags('TYPE=LVM2_member', 'USAGE=raid'), /LVM/],
  ['LUKS', tags('TYPE=crypto_LUKS', 'USAGE=crypto'), /crypto_LUKS/],
  ['swap', tags('TYPE=swap', 'USAGE=other'), /swap/],
  ['RAID', tags('TYPE=linux_raid_member', 'USAGE=raid'), /RAID/],
  ['something new', tags('TYPE=zfs_member', 'USAGE=raid'), /zfs_member/],
  ['a partition table', tags('PTTYPE=gpt'), /partition table \(gpt\)/],
  ['a table and a filesystem', tags('TYPE=ext4', 'USAGE=filesystem', 'PTTYPE=dos'), /dos.*ext4/],
])('blkid: %s is foreign and named', (_, stdout, what) => {
  expect(judgeBlkid(0, stdout, '')).toEqual({
    kind: 'foreign',
    what: expect.stringMatching(what) as string,
  });
});

test('blkid: contradicting signatures are foreign', () => {
  expect(judgeBlkid(8, '', '')).toMatchObject({ kind: 'foreign' });
});

test.each([
  [4, '', 'error: cannot read'],
  [2, '', 'error: /dev/x: No such file'],
  [2, 'DEVNAME=/dev/x', ''],
  [1, '', ''],
  [0, '', ''],
  [0, tags('UUID=1'), ''],
  [-1, '', ''],
])('blkid: code %i with %j and %j is never blank', (code, stdout, stderr) => {
  expect(judgeBlkid(code, stdout, stderr).kind).toBe('unknown');
});

test('a device that is not there is not blank, although blkid -p exits 2 for it', async () => {
  await expect(probeDevice('/dev/no-such-device')).resolves.toMatchObject({ kind: 'unknown' });
});

test('statfs numbers are bytes and inodes', () => {
  expect(parseStatfs('4096 100 40 30 10 7\n')).toEqual({
    totalBytes: 409_600,
    usedBytes: 245_760,
    availableBytes: 122_880,
    totalInodes: 10,
    usedInodes: 3,
    availableInodes: 7,
  });
  expect(parseStatfs('? ? ?')).toBeUndefined();
});

test('complaints of programs become one line', () => {
  expect(oneLine('mount: /x: wrong fs type.\n       dmesg(1) may have more.\n\n')).toBe(
    'mount: /x: wrong fs type.',
  );
});
