import { describe, expect, it } from 'vitest';
import {
  findByDevice,
  findByMountPoint,
  parseMountInfo,
  parseMountLine,
  readMountInfo,
  unescapeMountField,
} from '../../../../src/host/mount/mountinfo.ts';

const LINE =
  '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue';

describe('parseMountLine', () => {
  it('reads the example of proc_pid_mountinfo(5) field by field', () => {
    expect(parseMountLine(LINE)).toEqual({
      mountId: 36,
      parentId: 35,
      major: 98,
      minor: 0,
      root: '/mnt1',
      mountPoint: '/mnt2',
      options: ['rw', 'noatime'],
      propagation: ['master:1', 'shared:7'],
      fsType: 'ext3',
      source: '/dev/root',
      superOptions: ['rw', 'errors=continue'],
    });
  });

  it('reads a line without optional fields', () => {
    const entry = parseMountLine('22 27 0:21 / /proc rw - proc proc rw');
    expect(entry?.propagation).toEqual([]);
    expect(entry?.fsType).toBe('proc');
  });

  it('does not take a mount point named "-" for the separator', () => {
    const entry = parseMountLine('50 27 0:40 / - rw shared:1 - tmpfs tmpfs rw');
    expect(entry?.mountPoint).toBe('-');
    expect(entry?.fsType).toBe('tmpfs');
  });

  it('undoes octal escapes in mount point and source', () => {
    const entry = parseMountLine('50 27 0:40 / /a\\040b\\011c\\134d rw - fuse my\\040disk rw');
    expect(entry?.mountPoint).toBe('/a b\tc\\d');
    expect(entry?.source).toBe('my disk');
  });

  it.each(['', 'x', '36 35 98 / / rw - a b c', 'a 35 98:0 / / rw - x y z', '36 35 98:0 / /m rw -'])(
    'leaves out what is not in the format: %j',
    (line) => {
      expect(parseMountLine(line)).toBeUndefined();
    },
  );
});

describe('unescapeMountField', () => {
  it('leaves backslashes that start no escape', () => {
    expect(unescapeMountField('a\\04')).toBe('a\\04');
    expect(unescapeMountField('a\\999')).toBe('a\\999');
  });

  it('does not unescape its own output again', () => {
    expect(unescapeMountField('\\134040')).toBe('\\040');
  });
});

describe('lookups', () => {
  const entries = parseMountInfo(
    [
      '1 0 8:1 / / rw - ext4 /dev/sda1 rw',
      'garbage',
      '2 1 7:0 / /v rw - ext4 /dev/loop0 rw',
      '3 2 7:1 / /v rw - xfs /dev/loop1 rw',
      '4 1 7:0 /sub /bind rw - ext4 /dev/loop0 rw',
      '',
    ].join('\n'),
  );

  it('finds the topmost of stacked mounts', () => {
    expect(findByMountPoint(entries, '/v')?.mountId).toBe(3);
    expect(findByMountPoint(entries, '/v/')).toBeUndefined();
  });

  it('finds every mount of a device, bind mounts included', () => {
    expect(findByDevice(entries, 7, 0).map((entry) => entry.mountId)).toEqual([2, 4]);
    expect(findByDevice(entries, 70, 0)).toEqual([]);
  });

  it('reads the table of this process', async () => {
    const mounts = await readMountInfo();
    expect(findByMountPoint(mounts, '/proc')?.fsType).toBe('proc');
  });
});
