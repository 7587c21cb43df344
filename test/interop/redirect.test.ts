/** Redirects by a real tgtd, and a target that is reached by IPv6. */
import { expect, it } from 'vitest';
import * as cdb from '../../src/protocol/scsi/cdb.ts';
import type { Target } from '../support/targets/tgt.ts';
import { login, optionsFor, pattern, run, startIstgt, startTarget } from './initiator-rig.ts';

async function sendOn(from: Target, to: Target, reason: string): Promise<void> {
  const { host, port } = to.options;
  const values = { RedirectAddress: host, RedirectPort: String(port), RedirectReason: reason };
  for (const [name, value] of Object.entries(values)) {
    const update = ['--op', 'update', '--mode', 'target', '--tid', '1', '-n', name, '-v', value];
    await from.admin(...update);
  }
}

it.each(['Temporary', 'Permanent'])('tgtd, %s: the login ends where it is sent', async (reason) => {
  const [from, to] = [await startTarget(), await startTarget()];
  await sendOn(from, to, reason);
  const session = await login(optionsFor(from));
  expect(session.portal).toEqual({ host: to.options.host, port: to.options.port });
  expect(await run(session, cdb.testUnitReady())).toMatchObject({ kind: 'status' });
  const dataOut = pattern(512, 1);
  expect(await run(session, cdb.write16(0, 1), { dataOut })).toMatchObject({ status: 0 });
  expect(await from.admin('--op', 'show', '--mode', 'conn', '--tid', '1')).toBe('');
});

it('istgt on IPv6 moves data', async () => {
  const target = await startIstgt({ host: '::1' });
  const session = await login(optionsFor(target));
  expect(session.portal).toEqual({ host: '::1', port: target.options.port });
  await run(session, cdb.testUnitReady());
  const dataOut = pattern(4096, 2);
  expect(await run(session, cdb.write16(8, 8), { dataOut })).toMatchObject({ status: 0 });
  const dataIn = Buffer.alloc(4096);
  await run(session, cdb.read16(8, 8), { dataIn });
  expect(dataIn.equals(pattern(4096, 2))).toBe(true);
});
