/** Reads that nothing answers: a pipe that nobody writes to stands for a device whose back end hangs. */
import { execFileSync } from 'node:child_process';
import { constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readWithin, Unanswered } from '../../../../src/host/mount/read-within.ts';
import { hasGrown } from '../../../../src/host/mount/superblock.ts';

let dir: string;
let silent: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'silent-'));
  silent = join(dir, 'device');
  execFileSync('mkfifo', [silent]);
});

afterEach(async () => {
  // Lets the thread go that waits for the pipe.
  const writer = await open(silent, constants.O_RDWR | constants.O_NONBLOCK);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await writer.close();
  rmSync(dir, { recursive: true });
});

test('an open that never ends has a limit, and the error says which device', async () => {
  const read = readWithin(silent, 50, (handle) => handle.readFile());
  await expect(read).rejects.toThrow(/device did not answer a read within 50 ms/u);
});

test('so has the read of a superblock: nothing is grown, and the stage says why', async () => {
  await expect(hasGrown(silent, 'ext4', 50)).rejects.toBeInstanceOf(Unanswered);
});

test('a read that never ends has one too', async () => {
  const file = join(dir, 'file');
  writeFileSync(file, 'x');
  const read = readWithin(file, 50, () => new Promise(() => undefined));
  await expect(read).rejects.toBeInstanceOf(Unanswered);
});

test('in doubt a filesystem may have grown: a device that cannot be read is no device that is silent', async () => {
  await expect(hasGrown(join(dir, 'none'), 'ext4', 50)).resolves.toBe(true);
  const file = join(dir, 'file');
  writeFileSync(file, 'short');
  await expect(hasGrown(file, 'ext4')).resolves.toBe(true);
});
