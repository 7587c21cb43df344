/**
 * A node that nobody asked: logs in to a target under a name of its own and writes one block over its
 * first. Prints the SCSI status of that WRITE, in hexadecimal.
 *
 *   node test/cluster/stranger.ts HOST PORT IQN
 */
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import type { ScsiCommand, ScsiOutcome, Session } from '../../src/ports/session.ts';
import * as cdb from '../../src/protocol/scsi/cdb.ts';

const [host = '', port = '', targetName = ''] = process.argv.slice(2);

function execute(session: Session, command: Omit<ScsiCommand, 'done'>): Promise<ScsiOutcome> {
  return new Promise((done) => session.execute({ ...command, done }));
}

const connected = await createInitiator().connect({
  target: { host, port: Number(port), targetName, lun: 1 },
  initiatorName: 'iqn.2026-01.io.prioritypath.test:stranger',
  isid: '800000000001',
  timeoutMs: 5_000,
});
if (!connected.ok) throw new Error(connected.error.detail);
const session = connected.value;
// A new nexus is told of the power-on first.
for (let attentions = 0; attentions < 3; attentions++) {
  await execute(session, { cdb: cdb.testUnitReady() });
}
const write = { cdb: cdb.write16(0, 1), dataOut: Buffer.alloc(512, 0x66) };
const outcome = await execute(session, write);
const said = outcome.kind === 'status' ? `0x${outcome.status.toString(16)}` : outcome.kind;
process.stdout.write(`${said}\n`);
await session.logout(1_000);
