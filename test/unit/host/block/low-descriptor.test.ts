/** Which numbers the descriptors on /dev/fuse and on the loop device have; any files show it. */
import { closeSync, constants, openSync } from 'node:fs';
import { pbkdf2 } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { FileHandle } from 'node:fs/promises';
import { BufferPool } from '../../../../src/host/block/fuse-buffers.ts';
import { FuseServer } from '../../../../src/host/block/fuse-server.ts';
import { LowDescriptor } from '../../../../src/host/block/low-descriptor.ts';
import { UnansweredData } from '../../../../src/host/block/unanswered-data.ts';
import { DISK } from '../../protocol/fuse/support.ts';

const opened: number[] = [];
const ends: (() => Promise<void>)[] = [];

function pair(): LowDescriptor {
  const low = LowDescriptor.below('/dev/null', constants.O_RDWR);
  opened.push(low.above);
  return low;
}

/** All threads of libuv's pool work for a while: what is opened in the pool is opened later. */
async function busyPool(): Promise<void> {
  for (let n = 0; n < 2 * availableParallelism() + 16; n++) {
    const derived = promisify(pbkdf2)('x', 'y', 20_000, 16, 'sha512');
    ends.push(async () => {
      await derived;
    });
  }
  await new Promise(setImmediate);
}

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  for (const fd of opened.splice(0)) closeSync(fd);
});

describe('a pair of descriptors', () => {
  it('the device has the lower number, whatever was opened in between', async () => {
    const low = pair();
    for (let n = 0; n < 5; n++) opened.push(openSync('/dev/null', 'r'));
    const file = await low.open('/dev/zero');
    ends.push(() => file.close());
    expect(file.fd).toBeLessThan(low.above);
  });

  it('the device of each of two that are opened together has a lower number than its own file', async () => {
    const [first, second] = [pair(), pair()];
    await busyPool();
    const [two, one] = await Promise.all([second.open('/dev/zero'), first.open('/dev/zero')]);
    ends.push(
      () => one.close(),
      () => two.close(),
    );
    expect(one.fd).toBeLessThan(first.above);
    expect(two.fd).toBeLessThan(second.above);
  });

  it('files that are opened meanwhile, and stay open, do not take its number', async () => {
    const low = pair();
    await busyPool();
    const opening = low.open('/dev/zero');
    await new Promise(setImmediate);
    for (let n = 0; n < 5; n++) opened.push(openSync('/dev/null', 'r'));
    const file = await opening;
    ends.push(() => file.close());
    expect(file.fd).toBeLessThan(low.above);
  });

  it('a device that cannot be opened is an error, and the number is free again', async () => {
    const low = pair();
    await expect(low.open('/nowhere/loop0')).rejects.toThrow('ENOENT');
    const next = openSync('/dev/null', 'r');
    opened.push(next);
    expect(next).toBeLessThan(low.above);
  });

  it('it is given a higher number rather than none where no lower one is free', async () => {
    const low = pair();
    low.release();
    while ((opened.at(-1) ?? 0) < low.above || opened.length < 2)
      opened.push(openSync('/dev/null', 'r'));
    const file = await low.open('/dev/zero');
    ends.push(() => file.close());
    expect(file.fd).toBeGreaterThan(low.above);
  });

  it('the file that must have the higher number is missing: nothing stays open', () => {
    const before = openSync('/dev/null', 'r');
    closeSync(before);
    expect(() => LowDescriptor.below('/nowhere/fuse', constants.O_RDWR)).toThrow('ENOENT');
    const after = openSync('/dev/null', 'r');
    closeSync(after);
    expect(after).toBe(before);
  });
});

describe('a server', () => {
  const channel = {
    flags: 0,
    start: () => ({
      closed: new Promise<undefined>(() => undefined),
      mountEnded: () => undefined,
      write: () => undefined,
    }),
  };

  it.each([
    [98, 0],
    [100, 1],
  ])('with descriptor 99 on /dev/fuse: %i on the device is told %i times', async (fd, told) => {
    const log: string[] = [];
    const share = new UnansweredData({ budgetBytes: 4 << 20, volumesMax: 1 }).join(false);
    const source = { ...DISK, volatileCache: false, submit: () => undefined };
    const options = { mountPoint: '/nowhere', name: 'x', source, pool: new BufferPool(), share };
    const server = new FuseServer(
      { ...options, channel, log: (line) => log.push(line) },
      { above: 99, open: () => Promise.resolve({ fd } as FileHandle), release: () => undefined },
    );
    await server.openDevice('/dev/loop7');
    expect(log).toEqual(Array(told).fill(expect.stringMatching(/dev\/loop7.*umount -f \/nowhere/)));
  });
});
