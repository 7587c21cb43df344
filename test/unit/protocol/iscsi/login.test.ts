/** Login: rounds, stages, rejections, and what a broken target gets. */
import { describe, expect, it } from 'vitest';
import { get16, get24 } from '../../../../src/base/bytes.ts';
import { Field } from '../../../../src/protocol/iscsi/bhs.ts';
import { decodeText } from '../../../../src/protocol/iscsi/text.ts';
import { Dialogue, ISID } from './login-dialogue.ts';
import { type LoginAnswer, nopIn } from './pdus.ts';

const FINISH: LoginAnswer = { stage: 1, transit: true, tsih: 9, expCmdSn: 5, maxCmdSn: 36 };

describe('login', () => {
  it('starts in the security stage with its names, ISID and TSIH 0, immediate', () => {
    const { first, sent } = new Dialogue();
    expect(first[0]).toBe(0x43);
    expect(sent.flags).toBe(0x81);
    expect(first.subarray(Field.ISID, Field.ISID + 6)).toEqual(ISID);
    expect(get16(first, Field.TSIH)).toBe(0);
    expect(sent.keys).toEqual({
      InitiatorName: 'iqn.2026-01.test:i',
      SessionType: 'Normal',
      TargetName: 'iqn.2026-01.test:t',
      AuthMethod: 'None',
    });
  });

  it('goes through both stages into full feature phase', () => {
    const dialogue = new Dialogue();
    dialogue.answer({ stage: 0, transit: true, keys: { AuthMethod: 'None' } });
    expect(dialogue.sent.flags).toBe(0x87);
    expect(dialogue.sent.keys).toMatchObject({ ErrorRecoveryLevel: '0', HeaderDigest: 'None' });
    expect(dialogue.sent.expStatSn).toBe(78);
    const step = dialogue.answer({ ...FINISH, keys: { InitialR2T: 'No' } });
    expect(step).toMatchObject({
      kind: 'done',
      session: { tsih: 9, cmdSn: 0xffff_fffe, maxCmdSn: 36, expStatSn: 79 },
    });
  });

  it('sends an empty request when the target is not done (T=0), in either stage', () => {
    const dialogue = new Dialogue();
    dialogue.answer({ stage: 0, keys: { TargetPortalGroupTag: '1' } });
    expect(dialogue.sent).toMatchObject({ flags: 0x81, keys: {} });
    dialogue.answer({ stage: 0, transit: true });
    dialogue.answer({ stage: 1, keys: { MaxRecvDataSegmentLength: '262144' } });
    expect(dialogue.sent).toMatchObject({ flags: 0x87, keys: {} });
    expect(dialogue.answer(FINISH)).toMatchObject({
      kind: 'done',
      session: { parameters: { maxSendSegment: 262_144 } },
    });
  });

  it('collects text that the target continues (C bit), even when cut inside of a key', () => {
    const dialogue = new Dialogue();
    dialogue.answer({ stage: 0, transit: true });
    dialogue.answer({ stage: 1, continued: true, text: Buffer.from('MaxBurstLen') });
    expect(dialogue.sent).toMatchObject({ flags: 0x04, keys: {} });
    const step = dialogue.answer({ ...FINISH, text: Buffer.from('gth=4096\0') });
    expect(step).toMatchObject({ session: { parameters: { maxBurstLength: 4096 } } });
  });

  it('gives up after 16 rounds', () => {
    const dialogue = new Dialogue();
    for (let round = 0; round < 16; round++) dialogue.answer({ stage: 0 });
    expect(dialogue.steps.map((step) => step.kind)).toEqual([
      ...new Array<string>(15).fill('send'),
      'failed',
    ]);
  });

  it.each([
    [0x0203, 'login: target not found (0203): check the target name of the path'],
    [0x0302, 'login: target out of resources (0302)'],
    [0x0301, 'login: service unavailable (0301)'],
    [0x02ee, 'login: initiator error (02ee)'],
  ])('says what status %i means', (status, detail) => {
    expect(new Dialogue().answer({ stage: 0, status })).toEqual({
      kind: 'failed',
      failure: { kind: 'login-rejected', detail },
    });
  });

  it.each([
    [0x0101, '10.0.0.1:3261,1', { host: '10.0.0.1', port: 3261, tpgt: 1 }, false],
    [0x0102, '[fe80::1],2', { host: 'fe80::1', port: 3260, tpgt: 2 }, true],
    [0x0102, 'gw-2.example.org', { host: 'gw-2.example.org', port: 3260, tpgt: undefined }, true],
  ])('follows a redirect %i to %s', (status, text, address, permanent) => {
    const dialogue = new Dialogue();
    expect(dialogue.answer({ stage: 0, status, keys: { TargetAddress: text } })).toEqual({
      kind: 'redirect',
      address,
      permanent,
    });
    dialogue.answer({ stage: 0, transit: true });
    expect(dialogue.steps).toHaveLength(1);
  });

  it.each([
    [{}, 'no TargetAddress'],
    [{ TargetAddress: '10.0.0.1:99999' }, 'a TargetAddress that is none'],
    [{ TargetAddress: '[10.0.0.1]' }, 'a TargetAddress that is none'],
    [{ TargetAddress: 'a b' }, 'a TargetAddress that is none'],
  ])('does not follow a redirect with %j', (keys, detail) => {
    expect(new Dialogue().answer({ stage: 0, status: 0x0101, keys })).toMatchObject({
      failure: {
        kind: 'login-rejected',
        detail: `login: target moved temporarily (0101), with ${detail}`,
      },
    });
  });

  it('cuts its own text that is longer than a PDU, and waits for empty answers (C bit)', () => {
    const dialogue = new Dialogue({ initiatorName: `iqn.2026-01.test:${'i'.repeat(20_000)}` });
    const parts = [dialogue.first];
    expect(dialogue.first.length).toBe(48 + 8192);
    for (let part = 0; part < 2; part++) {
      const step = dialogue.answer({ stage: 0 });
      if (step?.kind === 'send') parts.push(step.pdu);
    }
    expect(parts.map((pdu) => pdu[1])).toEqual([0x40, 0x40, 0x81]);
    const lengths = parts.map((pdu) => get24(pdu, Field.DATA_SEGMENT_LENGTH));
    const text = Buffer.concat(parts.map((pdu, at) => pdu.subarray(48, 48 + (lengths[at] ?? 0))));
    const keys = decodeText(text);
    expect(keys.ok && keys.value.get('InitiatorName')).toHaveLength(20_017);
    expect(dialogue.answer({ stage: 0, transit: true })).toMatchObject({ kind: 'send' });
  });

  it.each<[string, LoginAnswer]>([
    ['keys', { stage: 0, keys: { TargetPortalGroupTag: '1' } }],
    ['T', { stage: 0, transit: true }],
    ['C', { stage: 0, continued: true }],
  ])('drops a target that answers half of our text with %s', (_, answer) => {
    const dialogue = new Dialogue({ initiatorName: 'i'.repeat(9000) });
    expect(dialogue.answer(answer)).toMatchObject({ failure: { kind: 'protocol' } });
  });

  it('starts a discovery session without a target, with the keys that matter there', () => {
    const dialogue = new Dialogue({ targetName: undefined });
    expect(dialogue.sent.keys).toEqual({
      InitiatorName: 'iqn.2026-01.test:i',
      SessionType: 'Discovery',
      AuthMethod: 'None',
    });
    dialogue.answer({ stage: 0, transit: true });
    expect(Object.keys(dialogue.sent.keys)).toEqual([
      'HeaderDigest',
      'DataDigest',
      'MaxRecvDataSegmentLength',
      'DefaultTime2Wait',
      'DefaultTime2Retain',
      'ErrorRecoveryLevel',
    ]);
    expect(dialogue.answer(FINISH)).toMatchObject({ kind: 'done' });
  });

  it('answers NotUnderstood to keys that it does not know, in either stage', () => {
    const dialogue = new Dialogue();
    dialogue.answer({ stage: 0, keys: { 'X-com.example.a': '1' } });
    expect(dialogue.sent).toMatchObject({
      flags: 0x81,
      keys: { 'X-com.example.a': 'NotUnderstood' },
    });
    dialogue.answer({ stage: 0, transit: true });
    dialogue.answer({ stage: 1, keys: { 'X-com.example.b': '1' } });
    expect(dialogue.sent).toMatchObject({
      flags: 0x87,
      keys: { 'X-com.example.b': 'NotUnderstood' },
    });
  });

  it('fails when a demanded digest is not had', () => {
    const dialogue = new Dialogue({ offers: { headerDigest: 'crc32c' } });
    dialogue.answer({ stage: 0, transit: true });
    expect(dialogue.answer({ ...FINISH, keys: { HeaderDigest: 'Reject' } })).toMatchObject({
      failure: { detail: expect.stringContaining('HeaderDigest=CRC32C') as string },
    });
  });

  it.each<[string, LoginAnswer]>([
    ['another stage', { stage: 1, transit: true, tsih: 1 }],
    ['a jump to full feature phase', { stage: 0, transit: true, next: 3, tsih: 1 }],
    ['another ISID', { stage: 0, isid: Buffer.alloc(6) }],
    ['T and C together', { stage: 0, transit: true, continued: true }],
    ['text that is none', { stage: 0, text: Buffer.from('=x\0') }],
    ['a repeated key', { stage: 0, text: Buffer.from('A=1\0A=2\0') }],
    ['an operational key in the security stage', { stage: 0, keys: { ImmediateData: 'No' } }],
    ['a portal group tag that is none', { stage: 0, keys: { TargetPortalGroupTag: '65536' } }],
    ['another protocol version', { stage: 0, version: 1 }],
  ])('drops a target that answers with %s', (_, answer) => {
    expect(new Dialogue().answer(answer)).toMatchObject({
      kind: 'failed',
      failure: { kind: 'protocol' },
    });
  });

  it('drops a target that skips a StatSN or ends with TSIH 0', () => {
    const skipped = new Dialogue();
    skipped.answer({ stage: 0, transit: true });
    expect(skipped.answer({ ...FINISH, statSn: 80 })).toMatchObject({ kind: 'failed' });
    const unnamed = new Dialogue();
    unnamed.answer({ stage: 0, transit: true });
    expect(unnamed.answer({ ...FINISH, tsih: 0 })).toMatchObject({ kind: 'failed' });
  });

  it('drops a target that sends anything else during login, and ignores what follows', () => {
    const dialogue = new Dialogue();
    const step = dialogue.raw(nopIn({ itt: 0, ttt: 0 }));
    expect(step).toMatchObject({
      failure: { kind: 'protocol', detail: 'login: NOP IN during login' },
    });
    dialogue.answer({ stage: 0, transit: true });
    expect(dialogue.steps).toHaveLength(1);
  });
});
