/** UNH-IOL items about digests (RFC 7143 6.2.1, 7.7, 13.1), and what a wrong digest leads to. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../support/targets/scripted-target/crc32c.ts';
import { Op, type Reply } from '../support/targets/scripted-target/pdu.ts';
import type { Script } from '../support/targets/scripted-target/script.ts';
import { decodePairs, valueOf } from '../support/targets/scripted-target/text.ts';
import type { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import {
  attempt,
  type Changes,
  ended,
  login,
  read,
  refused,
  roundTrip,
  startTarget,
} from './rig.ts';

const BOTH: Changes = { headerDigest: 'crc32c', dataDigest: 'crc32c' };

function offer(target: ScriptedTarget, key: string): string | undefined {
  const pairs = target.last.of(Op.LOGIN_REQUEST).flatMap(({ data }) => decodePairs(data));
  return valueOf(pairs, key);
}

it('the vectors of RFC 7143 B.4 hold for the target that we are judged by', () => {
  const ascending = Buffer.from(Array.from({ length: 32 }, (_, n) => n));
  const digest = (bytes: Buffer): string => digestOf(bytes).toString('hex');
  expect(digest(Buffer.alloc(32))).toBe('aa36918a');
  expect(digest(Buffer.alloc(32, 0xff))).toBe('43aba862');
  expect(digest(ascending)).toBe('4e79dd46');
});

it('Login 9.1 Digests Offer: none, either and only CRC32C are offered as they were asked for', async () => {
  for (const [choice, offers] of [
    ['none', 'None'],
    ['prefer', 'CRC32C,None'],
    ['crc32c', 'CRC32C'],
  ] as const) {
    const target = await startTarget();
    await login(target, { headerDigest: choice, dataDigest: choice });
    expect(offer(target, 'HeaderDigest')).toBe(offers);
    expect(offer(target, 'DataDigest')).toBe(offers);
  }
});

it('Login 9.2 Digest Response: the target chooses of what was offered, and of nothing else', async () => {
  const keys = { HeaderDigest: 'None', DataDigest: 'None' };
  const target = await startTarget({ keys });
  const session = await login(target, { headerDigest: 'prefer', dataDigest: 'prefer' });
  expect(target.last.login!.parameters).toMatchObject({ headerDigest: false, dataDigest: false });
  await roundTrip(session, 0, 4);
  // None was not offered: the target cannot, and we will not without.
  expect((await refused({ keys }, BOTH)).kind).toMatch(/^(protocol|login-rejected)$/u);
});

describe('Login 9.3 CRC32C: every PDU of full feature phase has the digests that were agreed', () => {
  const choices = ['none', 'crc32c'] as const;
  const cases = choices.flatMap((header) => choices.map((data) => [header, data] as const));
  it.each(cases)('header %s, data %s', async (headerDigest, dataDigest) => {
    const target = await startTarget({
      keys: { MaxRecvDataSegmentLength: '1000', MaxBurstLength: '4096' },
      dataInSizes: [1, 2, 3, 500, 2048],
      faults: () => ({ chunk: 501 }),
    });
    const session = await login(target, { headerDigest, dataDigest });
    for (const blocks of [1, 3, 64]) await roundTrip(session, 0, blocks);
    target.last.service.ping(1);
    expect((await session.resetLogicalUnit(2000)).ok).toBe(true);
    await session.logout(2000);
    expect(target.last.received.every(({ damaged }) => damaged === undefined)).toBe(true);
  });
});

describe('a wrong digest of the target ends the session and delivers nothing', () => {
  const cases: [string, number, (pdu: Reply) => void][] = [
    ['header of a Data-In', Op.DATA_IN, (pdu) => (pdu.damage = 'header')],
    ['data of a Data-In', Op.DATA_IN, (pdu) => (pdu.damage = 'data')],
    ['data changed on the way', Op.DATA_IN, (pdu) => (pdu.flipData = true)],
    ['header of a SCSI Response', Op.SCSI_RESPONSE, (pdu) => (pdu.damage = 'header')],
  ];
  it.each(cases)('%s', async (_, opcode, damage) => {
    const outgoing: Script['outgoing'] = (pdu) => {
      if (pdu.opcode === opcode) damage(pdu);
      return [pdu];
    };
    const target = await startTarget({ outgoing, collapseStatus: opcode === Op.DATA_IN });
    const session = await login(target, BOTH);
    const { outcome } = await read(session, 0, 4);
    expect(outcome).toEqual({ kind: 'lost' });
    expect(await ended(session)).toMatch(/^protocol: .*digest/iu);
  });
});

it('digests and a redirected or refused login: a status counts before the keys do', async () => {
  const target = await startTarget({
    login: (answer) => ({ ...answer, transit: false, next: 0, statusClass: 3, statusDetail: 1 }),
  });
  const result = await attempt(target, BOTH);
  expect(result).toMatchObject({ ok: false, error: { kind: 'login-rejected' } });
});
