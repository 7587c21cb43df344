/** Which numbers the descriptors on /dev/fuse and on the loop device have; any files show it. */
import { closeSync, openSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { LowDescriptor } from '../../../../src/host/block/low-descriptor.ts';

const opened: number[] = [];
const ends: (() => Promise<void>)[] = [];

function pair(): LowDescriptor {
  const low = LowDescriptor.below('/dev/null');
  opened.push(low.above);
  return low;
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
    expect(() => LowDescriptor.below('/nowhere/fuse')).toThrow('ENOENT');
    const after = openSync('/dev/null', 'r');
    closeSync(after);
    expect(after).toBe(before);
  });
});
