/** statfs(2) by a child that cannot be started. */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { exec } from '../../../../src/host/exec.ts';
import { statfs } from '../../../../src/host/mount/statfs.ts';

vi.mock('../../../../src/host/exec.ts', async (original) => {
  const real = await original<{ exec: typeof exec }>();
  return { exec: vi.fn(real.exec) };
});

it('an answer is one also where the next question is asked before it is read', async () => {
  const { promise: asked, resolve: ask } = Promise.withResolvers<Promise<unknown>>();
  vi.mocked(exec).mockImplementationOnce((_program, _args, { onGone } = {}) => {
    onGone?.();
    // The child has ended, its output is still to be read.
    ask(statfs('/nowhere-1', 1000));
    return Promise.resolve({ code: 0, stdout: '4096 9 5 4 8 7\n', stderr: '', failure: undefined });
  });
  expect(await statfs('/nowhere-1', 1000)).toMatchObject({ ok: true });
  await asked;
});

it('a child that cannot be started is an error, and no reason to ask no more', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'statfs-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'stat'), '#!/bin/sh\n', { mode: 0o755 });
  // execve(2) refuses a file that is open for writing, and `spawn` throws, as it does for want of memory.
  const writer = await open(join(folder, 'stat'), 'r+');
  onTestFinished(() => writer.close());
  vi.stubEnv('PATH', folder);
  const refused = await statfs('/', 1000);
  vi.unstubAllEnvs();
  expect(refused).toMatchObject({ ok: false, error: { kind: 'failed' } });
  expect(await statfs('/', 1000)).toMatchObject({ ok: true });
});
