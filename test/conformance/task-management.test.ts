/** UNH-IOL "Full Feature Phase, initiators" 3.1, items 19.4: tasks that are aborted. */
import { expect, it } from 'vitest';
import { SocketSession } from '../../src/host/iscsi/initiator-session.ts';
import type { ScsiOutcome, Session } from '../../src/ports/session.ts';
import { read16, write16 } from '../../src/protocol/scsi/cdb.ts';
import type { Script } from '../support/targets/scripted-target/script.ts';
import type { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import { Op } from '../support/targets/scripted-target/pdu.ts';
import { BLOCK, type Changes, login, pattern, roundTrip, startTarget } from './rig.ts';

/** The volume has no use for these functions, so they are not in its interface. */
async function managed(
  script: Partial<Script> = {},
  options: Changes = {},
): Promise<{ target: ScriptedTarget; session: SocketSession }> {
  const target = await startTarget(script);
  const session = await login(target, options);
  if (!(session instanceof SocketSession)) throw new Error('another kind of session');
  return { target, session };
}

function issue(session: Session, count: number): ScsiOutcome[] {
  const outcomes: ScsiOutcome[] = [];
  for (let lba = 0; lba < count; lba++) {
    const dataIn = Buffer.alloc(BLOCK);
    session.execute({ cdb: read16(lba, 1), dataIn, done: (outcome) => outcomes.push(outcome) });
  }
  return outcomes;
}

const silent = (): Partial<Script> => ({
  handlers: new Map([[Op.SCSI_COMMAND, () => undefined]]),
});

it('FFP 19.4.1 Abort Task Set: what was sent before is ended, what comes after is done', async () => {
  const { target, session } = await managed(silent());
  const outcomes = issue(session, 3);
  await expect.poll(() => target.last.of(Op.SCSI_COMMAND).length).toBe(3);
  expect(await session.abortTaskSet(1000)).toEqual({ ok: true, value: undefined });
  expect(outcomes).toEqual([{ kind: 'ended' }, { kind: 'ended' }, { kind: 'ended' }]);
  const [request] = target.last.of(Op.TASK_REQUEST);
  expect(request).toMatchObject({ immediate: true, flags: 0x82, lun: 1 });
  target.script.handlers.clear();
  await roundTrip(session, 0, 1);
});

it('FFP 19.3 RefCmdSN: names the command that is to be aborted, and its tag', async () => {
  const { target, session } = await managed(silent());
  const outcomes = issue(session, 1);
  const command = { cdb: read16(9, 1), dataIn: Buffer.alloc(BLOCK), done: () => undefined };
  session.execute(command);
  await expect.poll(() => target.last.of(Op.SCSI_COMMAND).length).toBe(2);
  expect(await session.abortTask(command, 1000)).toEqual({ ok: true, value: undefined });
  const [request] = target.last.of(Op.TASK_REQUEST);
  const about = target.last.of(Op.SCSI_COMMAND)[1]!;
  expect(request).toMatchObject({ flags: 0x81, at20: about.itt });
  expect(request!.bhs.readUInt32BE(32)).toBe(about.cmdSn);
  expect(outcomes).toEqual([]);
  expect(session.outstanding).toBe(1);
});

const NAMES: readonly (readonly [string, boolean])[] = [
  ['FFP 19.4.2 Abort Task Set, outstanding R2T: answered to the end', false],
  ['FFP 19.4.3 Abort Task Set, data under way: ends, and the session goes on', true],
];
it.each(NAMES)('%s', async (_name, fastAbort) => {
  const { target, session } = await managed({ r2tOutstanding: 1 }, { fastAbort });
  const outcomes: ScsiOutcome[] = [];
  const dataOut = pattern(4096, 1); // 2 MiB: several R2Ts
  session.execute({ cdb: write16(0, 4096), dataOut, done: (outcome) => outcomes.push(outcome) });
  await expect.poll(() => target.last.of(Op.DATA_OUT).length).toBeGreaterThan(0);
  const result = await session.abortTaskSet(5000);
  await expect.poll(() => outcomes.length).toBe(1);
  expect(result.ok).toBe(true);
  await roundTrip(session, 0, 8);
});
