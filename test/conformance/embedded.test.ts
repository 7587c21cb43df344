/** The embedded targets of `npm run demo -- --targets embedded`: processes that share one disk. */
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import type { Session } from '../../src/ports/session.ts';
import { inquiryVpd, readCapacity16 } from '../../src/protocol/scsi/cdb.ts';
import { EmbeddedTarget } from '../demo/embedded-target.ts';
import { freePort, temporaryFolder } from '../support/targets/ports.ts';
import { makeBackingFile } from '../support/targets/tgt.ts';
import { GOOD, INITIATOR_NAME, pattern, read, run, write } from './rig.ts';

const SIZE = 8 * 1024 * 1024;
const IQN = 'iqn.2026-01.io.prioritypath.test:embedded';
const folder = temporaryFolder('embedded', '/tmp');
const targets: EmbeddedTarget[] = [];
const sessions: Session[] = [];

afterEach(async () => {
  for (const session of sessions.splice(0)) session.abort('end of test');
  await Promise.all(targets.splice(0).map((target) => target.kill()));
  folder.remove();
});

async function open(port: number): Promise<Session> {
  const result = await createInitiator().connect({
    target: { host: '127.0.0.1', port, targetName: IQN, lun: 1 },
    ...{ initiatorName: INITIATOR_NAME, isid: '800000000001', timeoutMs: 5000 },
  });
  if (!result.ok) throw new Error(result.error.detail);
  sessions.push(result.value);
  return result.value;
}

it('what one has taken another serves, also after it was killed; a new one takes its place', async () => {
  const backingFile = join(folder.path, 'disk');
  makeBackingFile(backingFile, SIZE);
  const ports = [await freePort(), await freePort()];
  for (const port of ports) {
    const options = { host: '127.0.0.1', port, backingFile, iqn: IQN, serial: 'embedded-1' };
    const target = new EmbeddedTarget(options);
    targets.push(target);
    await target.start();
  }
  const first = await open(ports[0]!);
  const data = pattern(2048, 1);
  expect(await write(first, 100, data)).toMatchObject(GOOD);
  await targets[0]!.kill();
  expect(await first.closed).toMatchObject({ kind: 'reset' });
  expect(targets[0]!.running).toBe(false);
  const second = await open(ports[1]!);
  expect((await read(second, 100, 2048)).data.equals(data)).toBe(true);
  await targets[0]!.start();
  const again = await open(ports[0]!);
  expect((await read(again, 100, 2048)).data.equals(data)).toBe(true);
  const answers: string[] = [];
  for (const session of [second, again]) {
    const [names, capacity] = [Buffer.alloc(255), Buffer.alloc(32)];
    await run(session, inquiryVpd(0x83, 255), { dataIn: names });
    await run(session, readCapacity16(), { dataIn: capacity });
    answers.push(names.toString('hex') + capacity.toString('hex'));
  }
  // One logical unit to whoever compares them.
  expect(answers[0]).toBe(answers[1]);
  expect(answers[0]).toContain(Buffer.from('embedded-1').toString('hex'));
});
