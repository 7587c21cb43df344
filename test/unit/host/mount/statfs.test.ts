/** statfs(2) by a child that cannot be started. */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { statfs } from '../../../../src/host/mount/statfs.ts';

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
