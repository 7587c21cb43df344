/** Programs of the host that do not run, or not to their end. */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import type * as nodeFs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { exec } from '../../../src/host/exec.ts';

const descriptors = vi.hoisted(() => ({ free: Infinity }));

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof nodeFs>();
  return {
    ...fs,
    openSync: (path: string, flags: string) => {
      if (descriptors.free === 0) throw new Error('EMFILE');
      descriptors.free--;
      return fs.openSync(path, flags);
    },
    closeSync: (fd: number) => {
      descriptors.free++;
      fs.closeSync(fd);
    },
  };
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'exec-'));
  onTestFinished(() => rm(made, { recursive: true }));
  return made;
}

it('a program that is not there is a failure that names it', async () => {
  const ended = await exec('/nowhere/mount', []);
  expect(ended).toMatchObject({
    code: -1,
    failure: expect.stringMatching(/nowhere\/mount.*ENOENT/) as unknown,
  });
});

it('an error that spawn throws is a failure as well', async () => {
  const program = join(await folder(), 'mount');
  await writeFile(program, '#!/bin/sh\n', { mode: 0o755 });
  // As for want of memory: execve(2) refuses a file that is open for writing.
  const writer = await open(program, 'r+');
  onTestFinished(() => writer.close());
  const ended = await exec(program, []);
  expect(ended).toMatchObject({
    code: -1,
    failure: expect.stringMatching(/mount.*ETXTBSY/) as unknown,
  });
});

it('a program that does not end in time is killed, and is a failure', async () => {
  const ended = await exec('sleep', ['10'], { timeoutMs: 20 });
  expect(ended).toMatchObject({
    code: -1,
    failure: expect.stringMatching(/sleep.*20 ms/) as unknown,
  });
});

it('what a program says, and its code, are its result', async () => {
  const ended = await exec('sh', ['-c', 'echo out; echo err >&2; exit 3']);
  expect(ended).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n', failure: undefined });
});

it('with too few descriptors nothing is started, and none is lost', async () => {
  descriptors.free = 7;
  expect(await exec('true', [])).toMatchObject({ code: -1, failure: 'cannot run true: EMFILE' });
  expect(descriptors.free).toBe(7);
  descriptors.free = 8;
  expect(await exec('true', [])).toMatchObject({ code: 0 });
  expect(descriptors.free).toBe(8);
});
