import { describe, expect, it } from 'vitest';
import { descriptorKind, leaked, parseMountInfo, takeStock } from '../../../support/node/leaks.ts';
import { closeSync, openSync } from 'node:fs';

describe('counting what a process holds', () => {
  it('names a descriptor by what it is, not by which', () => {
    expect(descriptorKind('socket:[81723]')).toBe('socket');
    expect(descriptorKind('pipe:[4]')).toBe('pipe');
    expect(descriptorKind('anon_inode:[eventpoll]')).toBe('eventpoll');
    expect(descriptorKind('anon_inode:inotify')).toBe('inotify');
    expect(descriptorKind('/dev/fuse')).toBe('/dev/fuse');
    expect(descriptorKind('/dev/loop17')).toBe('/dev/loopN');
    expect(descriptorKind('/tmp/x')).toBe('file');
  });

  it('undoes the escapes of mountinfo', () => {
    const line = '36 35 98:0 / /mnt/a\\040b rw,noatime master:1 - ext4 /dev/root rw';
    expect(parseMountInfo(line)).toEqual([{ mountPoint: '/mnt/a b', type: 'ext4' }]);
  });

  it('sees a descriptor that stays open, and not one that was closed', () => {
    const scope = { pids: [process.pid], folders: ['/nowhere'] };
    const before = takeStock(scope);
    expect(before.get('process 0: threads')).toBeGreaterThan(0);
    const fd = openSync('/dev/null', 'r');
    const tolerance = { socket: 5, pipe: 5, threads: 5 };
    expect(leaked(before, takeStock(scope), tolerance)).toMatch(
      /^process 0: fd \/dev\/null: \d before, \d after$/,
    );
    closeSync(fd);
    expect(leaked(before, takeStock(scope), tolerance)).toBe('');
  });

  it('allows what the tolerance of a kind allows, and no more', () => {
    const [before, after] = [
      new Map([['process 0: threads', 10]]),
      new Map([['process 0: threads', 12]]),
    ];
    expect(leaked(before, after)).toBe('process 0: threads: 10 before, 12 after');
    expect(leaked(before, after, { threads: 2 })).toBe('');
    expect(leaked(before, after, { threads: 1 })).not.toBe('');
  });
});
