/**
 * Residual counts of commands with data (RFC 7143 11.4.5), end to end: a volume on the real initiator, and a
 * target that says GOOD and tells in the same PDU that other data was moved than there was to move.
 */
import { afterEach, expect, it } from 'vitest';
import type { IoKind } from '../../src/ports/block.ts';
import type { Volume } from '../../src/volume/volume.ts';
import { startVolume, submit } from '../support/node/real-volume.ts';
import { Op } from '../support/targets/scripted-target/pdu.ts';
import { BLOCK, startTarget } from './rig.ts';

const OVERFLOW = 0x04;
const UNDERFLOW = 0x02;

const volumes: Volume[] = [];

afterEach(async () => {
  for (const volume of volumes.splice(0)) await volume.close();
});

it.each([
  ['an underflow', 'write', UNDERFLOW],
  ['an overflow', 'write', OVERFLOW],
  ['an underflow', 'write-zeroes', UNDERFLOW],
  ['an overflow', 'write-zeroes', OVERFLOW],
  ['an underflow', 'discard', UNDERFLOW],
  ['an overflow', 'discard', OVERFLOW],
  ['an overflow', 'read', OVERFLOW],
] as const)('GOOD with %s is no answer to a %s', async (_, kind: IoKind, flag) => {
  const target = await startTarget({ collapseStatus: false });
  const { host, port, script } = target;
  const { targetName } = script;
  const volume = await startVolume({ portals: [{ host, port }], targetName, policy: {} });
  volumes.push(volume);
  const bytes = 4 * BLOCK;
  const data = kind === 'read' || kind === 'write' ? Buffer.alloc(bytes, 7) : undefined;
  const io = { kind, offset: 8 * BLOCK, length: bytes, data };
  expect(await submit(volume, io)).toBeUndefined();

  // Probes read one block.
  const isOurs = ({ cdb }: { readonly cdb: Buffer }): boolean =>
    [0x88, 0x8a, 0x93].includes(cdb[0] ?? 0) && cdb.readUInt32BE(10) === 4;
  let bent = 0;
  script.outgoing = (pdu) => {
    const commands = target.last.of(Op.SCSI_COMMAND).filter(({ itt }) => itt === pdu.itt);
    const command = commands.at(-1);
    if (pdu.opcode !== Op.SCSI_RESPONSE || command === undefined || !isOurs(command)) return [pdu];
    bent++;
    return [{ ...pdu, flags: pdu.flags | flag, at44: BLOCK }];
  };
  expect(await submit(volume, io)).toBe('EIO');
  expect(bent).toBe(1);
  script.outgoing = (pdu) => [pdu];
  expect(await submit(volume, io)).toBeUndefined();
  expect(volume.status().state).toBe('serving');
});
