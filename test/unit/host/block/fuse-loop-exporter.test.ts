/** An attach that fails where the kernel's tables cannot be read: for want of memory or of descriptors. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { createFuseLoopExporter } from '../../../../src/host/block/fuse-loop-exporter.ts';
import * as mountinfo from '../../../../src/host/mount/mountinfo.ts';
import { DISK } from '../../protocol/fuse/support.ts';

vi.mock('../../../../src/host/mount/mountinfo.ts', async (original) => ({
  ...(await original<typeof mountinfo>()),
  readMountInfo: () => Promise.reject(new Error('EMFILE: too many open files')),
}));

it('an attach that cannot read the mount table fails, and is tried again', async () => {
  const runDir = await mkdtemp(join(tmpdir(), 'exporter-'));
  onTestFinished(() => rm(runDir, { recursive: true }));
  const exporter = createFuseLoopExporter({ runDir, reading: 'polled' });
  const source = { ...DISK, volatileCache: false, submit: () => undefined };
  for (let attempt = 1; attempt <= 2; attempt++) {
    const attached = await exporter.attach('pv-1', source);
    expect(attached).toMatchObject({
      ok: false,
      error: { kind: 'io', detail: expect.stringMatching(/EMFILE/) as unknown },
    });
  }
});
