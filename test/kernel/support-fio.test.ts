/** fio jobs on a plain file: a good one passes, a block changed under fio is caught. */
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { FioJobRun, runFio } from '../support/load/fio.ts';
import { temporaryFolder } from '../support/targets/ports.ts';

const folder = temporaryFolder('fio', '/tmp');
afterAll(() => folder.remove());

describe('fio', () => {
  it('writes and verifies for about as long as it was told, without an error', async () => {
    const file = `${folder.path}/good`;
    const started = Date.now();
    const result = await runFio({ file, sizeBytes: 4 << 20, runtimeSeconds: 2 });
    expect(Date.now() - started).toBeGreaterThan(1500);
    expect(result.error).toBe(0);
    expect(result.write.ios).toBeGreaterThan(1000);
    expect(result.read.ios).toBeGreaterThan(1000);
    expect(result.write.maxUs).toBeGreaterThan(result.write.meanUs);
  });

  it('stops at a block that somebody else has changed', async () => {
    const file = `${folder.path}/bad`;
    const job = new FioJobRun({ file, sizeBytes: 4 << 20, runtimeSeconds: 10 });
    const spoil = setInterval(() => {
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < 4 << 20) return;
      const fd = openSync(file, 'r+');
      writeSync(fd, Buffer.alloc(1 << 20), 0, 1 << 20, 1 << 20);
      closeSync(fd);
    }, 100);
    const result = await job.done.finally(() => clearInterval(spoil));
    expect(result.error).not.toBe(0);
    expect(result.complaint).toContain('verify');
  });

  it('can be ended early', async () => {
    const job = new FioJobRun({ file: `${folder.path}/k`, sizeBytes: 1 << 20, runtimeSeconds: 60 });
    setTimeout(() => job.kill(), 500);
    await expect(job.done).rejects.toThrow('killed by SIGKILL');
  });
});
