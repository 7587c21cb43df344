/** Login: rounds, stages, rejections, and what a broken target gets. */
import { describe, expect, it } from 'vitest';
import { get16, get32 } from '../../../../src/base/bytes.ts';
import { Field } from '../../../../src/protocol/iscsi/bhs.ts';
import { Framer } from '../../../../src/protocol/iscsi/framer.ts';
import { Login, type LoginStep } from '../../../../src/protocol/iscsi/login.ts';
import { decodeText } from '../../../../src/protocol/iscsi/text.ts';
import { type LoginAnswer, loginResponse, nopIn } from './pdus.ts';

const ISID = Buffer.from('800000abcdef', 'hex');

class Dialogue {
  readonly steps: LoginStep[] = [];
  readonly #login: Login;
  readonly #framer: Framer;
  readonly first: Buffer;
  #statSn = 77;

  constructor() {
    this.#login = new Login(
      { initiatorName: 'iqn.2026-01.test:i', targetName: 'iqn.2026-01.test:t', isid: ISID },
      0xffff_fffe,
      (into, at) => {
        this.#framer.receiveInto(into, at);
      },
      (step) => this.steps.push(step),
    );
    this.#framer = new Framer(this.#login);
    this.first = this.#login.start();
  }

  raw(bytes: Buffer): LoginStep | undefined {
    this.#framer.push(bytes, bytes.length);
    return this.steps.at(-1);
  }

  answer(answer: LoginAnswer): LoginStep | undefined {
    return this.raw(loginResponse({ statSn: this.#statSn++, ...answer }, ISID));
  }

  /** The request that the last step sends. */
  get sent(): { flags: number; keys: Record<string, string>; expStatSn: number } {
    const step = this.steps.at(-1);
    const bytes = step === undefined ? this.first : step.kind === 'send' ? step.pdu : undefined;
    if (bytes === undefined) throw new Error('nothing was sent');
    const keys = decodeText(bytes.subarray(48));
    return {
      flags: bytes[1] as number,
      keys: keys.ok ? Object.fromEntries(keys.value) : {},
      expStatSn: get32(bytes, Field.EXP_STAT_SN),
    };
  }
}

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
    [0x0203, 'login: target not found (0203)'],
    [0x0201, 'login: authentication failure (0201)'],
    [0x0301, 'login: service unavailable (0301)'],
    [0x02ee, 'login: initiator error (02ee)'],
  ])('says what status %i means', (status, detail) => {
    expect(new Dialogue().answer({ stage: 0, status })).toEqual({
      kind: 'failed',
      failure: { kind: 'login-rejected', detail },
    });
  });

  it('names the address of a redirect', () => {
    const keys = { TargetAddress: '10.0.0.1:3260,1' };
    expect(new Dialogue().answer({ stage: 0, status: 0x0101, keys })).toMatchObject({
      failure: { detail: 'login: target moved temporarily (0101) to 10.0.0.1:3260,1' },
    });
  });

  it('does not log in where authentication is wanted', () => {
    const step = new Dialogue().answer({ stage: 0, keys: { AuthMethod: 'CHAP' } });
    expect(step).toMatchObject({ failure: { kind: 'login-rejected' } });
  });

  it.each<[string, LoginAnswer]>([
    ['another stage', { stage: 1, transit: true, tsih: 1 }],
    ['a jump to full feature phase', { stage: 0, transit: true, next: 3, tsih: 1 }],
    ['another ISID', { stage: 0, isid: Buffer.alloc(6) }],
    ['T and C together', { stage: 0, transit: true, continued: true }],
    ['text that is none', { stage: 0, text: Buffer.from('=x\0') }],
    ['a repeated key', { stage: 0, text: Buffer.from('A=1\0A=2\0') }],
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
