/** SendTargets: the list in one part and in many, the logout, and what a broken target gets. */
import { describe, expect, it } from 'vitest';
import { get32 } from '../../../../src/base/bytes.ts';
import { parseTargetAddress } from '../../../../src/protocol/iscsi/address.ts';
import { Field, NO_TAG, Opcode } from '../../../../src/protocol/iscsi/bhs.ts';
import { Framer } from '../../../../src/protocol/iscsi/framer.ts';
import { Negotiation } from '../../../../src/protocol/iscsi/negotiation.ts';
import { type DiscoveryStep, SendTargets } from '../../../../src/protocol/iscsi/send-targets.ts';
import { decodeText, encodeText, type Pairs } from '../../../../src/protocol/iscsi/text.ts';
import { nopIn, pdu, textResponse } from './pdus.ts';

class Dialogue {
  readonly steps: DiscoveryStep[] = [];
  readonly first: Buffer;
  readonly core: SendTargets;
  readonly #framer: Framer;
  statSn = 7;

  constructor(what = 'All') {
    const parameters = new Negotiation().result();
    if (!parameters.ok) throw new Error(parameters.error);
    const numbers = { tsih: 1, cmdSn: 0xffff_ffff, maxCmdSn: 10, expStatSn: 7 };
    this.core = new SendTargets(
      { parameters: parameters.value, ...numbers },
      (into, at) => {
        this.#framer.receiveInto(into, at);
      },
      (step) => this.steps.push(step),
    );
    this.#framer = new Framer(this.core);
    this.first = this.core.start(what);
  }

  raw(bytes: Buffer): DiscoveryStep | undefined {
    this.#framer.push(bytes, bytes.length);
    return this.steps.at(-1);
  }

  answer(answer: Partial<Parameters<typeof textResponse>[0]>): DiscoveryStep | undefined {
    const text = Buffer.alloc(0);
    return this.raw(textResponse({ itt: 1, statSn: this.statSn++, text, ...answer }));
  }
}

const LIST: Pairs = [
  ['TargetName', 'iqn.2026-01.test:a'],
  ['TargetAddress', '10.0.0.1:3260,1'],
  ['TargetAddress', '[2001:db8::1]:3260,2'],
  ['TargetName', 'iqn.2026-01.test:b'],
];
const TARGETS = [
  {
    targetName: 'iqn.2026-01.test:a',
    addresses: [
      { host: '10.0.0.1', port: 3260, tpgt: 1 },
      { host: '2001:db8::1', port: 3260, tpgt: 2 },
    ],
  },
  { targetName: 'iqn.2026-01.test:b', addresses: [] },
];

describe('SendTargets', () => {
  it('asks for all, or for one, and reads the list', () => {
    const dialogue = new Dialogue();
    expect(dialogue.first[0]).toBe(Opcode.TEXT_REQUEST);
    expect(dialogue.first[1]).toBe(0x80);
    expect(get32(dialogue.first, Field.TTT)).toBe(NO_TAG);
    expect(get32(dialogue.first, Field.CMD_SN)).toBe(0xffff_ffff);
    expect(decodeText(dialogue.first.subarray(48))).toEqual({
      ok: true,
      value: new Map([['SendTargets', 'All']]),
    });
    expect(dialogue.answer({ text: encodeText(LIST) })).toEqual({ kind: 'done', targets: TARGETS });
    const one = new Dialogue('iqn.2026-01.test:a').first;
    expect(one.includes('SendTargets=iqn.2026-01.test:a\0')).toBe(true);
  });

  it('asks for the rest with the tag of the target, however the list is cut', () => {
    const text = encodeText(LIST);
    for (let cut = 0; cut <= text.length; cut++) {
      const dialogue = new Dialogue();
      const part = { text: text.subarray(0, cut), final: false, continued: true, ttt: 0x1234 };
      const step = dialogue.answer(part);
      if (step?.kind !== 'send') throw new Error('nothing was asked');
      expect(get32(step.pdu, Field.TTT)).toBe(0x1234);
      expect(get32(step.pdu, Field.ITT)).toBe(1);
      expect(get32(step.pdu, Field.CMD_SN)).toBe(0);
      expect(get32(step.pdu, Field.EXP_STAT_SN)).toBe(8);
      expect(step.pdu).toHaveLength(48);
      expect(dialogue.answer({ text: text.subarray(cut) })).toEqual({
        kind: 'done',
        targets: TARGETS,
      });
    }
  });

  it('logs out and hears the answer', () => {
    const dialogue = new Dialogue();
    dialogue.answer({ text: encodeText(LIST) });
    const logout = dialogue.core.logout();
    expect([logout[0], logout[1]]).toEqual([0x46, 0x80]);
    const itt = get32(logout, Field.ITT);
    const fields = [
      [Field.ITT, itt],
      [Field.STAT_SN, 8],
    ] as const;
    expect(dialogue.raw(pdu(Opcode.LOGOUT_RESPONSE, 0x80, fields))).toEqual({ kind: 'left' });
  });

  it('leaves a ping unanswered and goes on', () => {
    const dialogue = new Dialogue();
    expect(dialogue.raw(nopIn({ itt: NO_TAG, ttt: 5 }))).toBeUndefined();
    expect(dialogue.answer({ text: encodeText(LIST) })).toMatchObject({ kind: 'done' });
  });

  it.each<[string, Partial<Parameters<typeof textResponse>[0]>]>([
    ['another ITT', { itt: 2 }],
    ['another StatSN', { statSn: 9 }],
    ['both F and C', { continued: true }],
    ['more to come and no tag', { final: false }],
    ['text that is none', { text: Buffer.from('nothing\0') }],
    ['an address of no target', { text: encodeText([['TargetAddress', '10.0.0.1']]) }],
    ['a name that is none', { text: encodeText([['TargetName', 'iqn \u001b[2J']]) }],
    ['a name that is too long', { text: encodeText([['TargetName', 'i'.repeat(224)]]) }],
    ['an oversized segment', { text: Buffer.alloc(262_145) }],
  ])('drops a target that answers with %s', (_, answer) => {
    expect(new Dialogue().answer(answer)).toMatchObject({ kind: 'failed' });
  });

  it('ends a list without end, by its length and by its parts', () => {
    const long = new Dialogue();
    for (let part = 0; part < 5; part++) {
      long.answer({ text: Buffer.alloc(262_144, 'x'), final: false, ttt: 1 });
    }
    expect(long.steps.at(-1)).toMatchObject({ kind: 'failed' });
    const many = new Dialogue();
    for (let part = 0; part < 1100; part++) many.answer({ final: false, ttt: 1 });
    expect(many.steps.filter(({ kind }) => kind === 'failed')).toHaveLength(1);
    expect(many.steps).toHaveLength(1025);
  });

  it('puts targets that are named again together and leaves out what is no address', () => {
    const step = new Dialogue().answer({
      text: encodeText([
        ['TargetName', 'iqn.a'],
        ['TargetAddress', '10.0.0.1'],
        ['TargetAddress', 'nowhere at all'],
        ['TargetName', 'iqn.a'],
        ['TargetAddress', '10.0.0.1:3260,1'],
        ['TargetAddress', '10.0.0.2'],
      ]),
    });
    expect(step).toMatchObject({
      targets: [{ targetName: 'iqn.a', addresses: [{ host: '10.0.0.1' }, { host: '10.0.0.2' }] }],
    });
  });
});

describe('TargetAddress', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1', 3260, undefined],
    ['10.0.0.1:860,7', '10.0.0.1', 860, 7],
    ['[::ffff:10.0.0.1],1', '::ffff:10.0.0.1', 3260, 1],
    ['storage-1.example.org:3261', 'storage-1.example.org', 3261, undefined],
  ])('%s is read', (text, host, port, tpgt) => {
    expect(parseTargetAddress(text)).toEqual({ host, port, tpgt });
  });

  it.each([
    '',
    ':3260',
    '10.0.0.1:0',
    '10.0.0.1:65536',
    '::1',
    '[::1',
    '[x]',
    'a/b',
    '1.1.1.1,65536',
  ])('%j is none', (text) => {
    expect(parseTargetAddress(text)).toBeUndefined();
  });
});
