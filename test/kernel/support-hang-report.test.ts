/** The report of a test that hangs: it comes although the thread that hangs can do nothing any more. */
import { expect, test } from 'vitest';
import { exec } from '../../src/host/exec.ts';

test('tells what is waited for while the thread of the test is blocked', async () => {
  const script = `
    import { execFileSync } from 'node:child_process';
    import { reportHang } from '${import.meta.dirname}/../support/node/hang-report.ts';
    const callOff = reportHang('the trial', 500);
    await new Promise((resolve) => setTimeout(resolve, 300));
    execFileSync('sleep', ['1.7']);
    await callOff();
    execFileSync('sleep', ['1.1']);`;
  const done = await exec(process.execPath, ['--input-type=module', '-e', script]);
  expect(done).toMatchObject({ code: 0, stdout: '' });
  expect(done.stderr).toMatch(/^the trial has not ended after 0\.5 s; what waits:$/m);
  expect(done.stderr).toMatch(/^\d+\/\d+ parent \d+ S \S+: sleep 1\.7$/m);
  expect(done.stderr).toMatch(/^load /m);
  expect(done.stderr).not.toContain('sleep 1.1');
});
