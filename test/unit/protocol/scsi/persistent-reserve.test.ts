/** Persistent reservations, byte for byte as SPC-4 draws them (6.15, 6.16). */
import { describe, expect, it } from 'vitest';
import {
  decodeFullStatus,
  decodeReadKeys,
  decodeReadReservation,
  decodeReserveCapabilities,
  persistentReserveIn,
  persistentReserveOut,
  ReserveIn,
  ReserveOut,
  reserveOutParameters,
} from '../../../../src/protocol/scsi/persistent-reserve.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('command blocks', () => {
  it.each([
    ['REGISTER', ReserveOut.REGISTER, '5f000500000000001800'],
    ['RESERVE', ReserveOut.RESERVE, '5f010500000000001800'],
    ['RELEASE', ReserveOut.RELEASE, '5f020500000000001800'],
    ['PREEMPT', ReserveOut.PREEMPT, '5f040500000000001800'],
    ['PREEMPT AND ABORT', ReserveOut.PREEMPT_AND_ABORT, '5f050500000000001800'],
    ['REGISTER AND IGNORE', ReserveOut.REGISTER_AND_IGNORE_EXISTING_KEY, '5f060500000000001800'],
  ])('PERSISTENT RESERVE OUT, %s: 24 bytes of parameters, type 5, scope 0', (_, action, cdb) => {
    expect(hex(persistentReserveOut(action))).toBe(cdb);
  });

  it.each([
    ['READ KEYS', ReserveIn.READ_KEYS, '5e000000000000102800'],
    ['READ RESERVATION', ReserveIn.READ_RESERVATION, '5e010000000000102800'],
    ['REPORT CAPABILITIES', ReserveIn.REPORT_CAPABILITIES, '5e020000000000102800'],
    ['READ FULL STATUS', ReserveIn.READ_FULL_STATUS, '5e030000000000102800'],
  ])('PERSISTENT RESERVE IN, %s', (_, action, cdb) => {
    expect(hex(persistentReserveIn(action, 0x1028))).toBe(cdb);
  });

  it('the parameter list carries both keys and no flag', () => {
    const list = reserveOutParameters('0123456789abcdef', 'fedcba9876543210');
    expect(hex(list)).toBe('0123456789abcdeffedcba98765432100000000000000000');
    const lasting = reserveOutParameters('0123456789abcdef', 'fedcba9876543210', true);
    expect(hex(lasting)).toBe('0123456789abcdeffedcba98765432100000000001000000');
    expect(() => reserveOutParameters('12', '0123456789abcdef')).toThrow(/16 hex digits/);
  });
});

describe('READ KEYS', () => {
  it('lists one key for each registration, repeated ones too', () => {
    const data = bytes('00000007 00000018 0000000000000001 8000000000000000 0000000000000001');
    const keys = ['0000000000000001', '8000000000000000', '0000000000000001'];
    expect(decodeReadKeys(data)).toEqual({ ok: true, value: { generation: 7, keys } });
    expect(decodeReadKeys(bytes('00000000 00000000'))).toMatchObject({ value: { keys: [] } });
  });

  it('is refused when it was cut, for the missing key may be the one that matters', () => {
    const cut = decodeReadKeys(bytes('00000007 00000010 0000000000000001'));
    expect(cut).toMatchObject({ ok: false, error: { kind: 'short' } });
    expect(decodeReadKeys(bytes('00000007'))).toMatchObject({ error: { kind: 'short' } });
    const odd = decodeReadKeys(bytes('00000007 00000009 0000000000000001 00'));
    expect(odd).toMatchObject({ error: { kind: 'malformed' } });
  });
});

describe('READ RESERVATION', () => {
  it('tells holder, scope and type', () => {
    const data = bytes('00000001 00000010 00000000000000ab 00000000 00 05 0000');
    const value = { key: '00000000000000ab', scope: 0, type: 5 };
    expect(decodeReadReservation(data)).toEqual({ ok: true, value });
    const other = bytes('00000001 00000010 00000000000000ab 00000000 00 13 0000');
    expect(decodeReadReservation(other)).toMatchObject({ value: { scope: 1, type: 3 } });
  });

  it('without one is no error, cut short it is', () => {
    expect(decodeReadReservation(bytes('00000001 00000000'))).toEqual({
      ok: true,
      value: undefined,
    });
    expect(decodeReadReservation(bytes('00000001 00000010 00'))).toMatchObject({ ok: false });
    expect(decodeReadReservation(bytes('00000001 00000004 00000000'))).toMatchObject({
      error: { kind: 'malformed' },
    });
  });
});

describe('REPORT CAPABILITIES', () => {
  it.each([
    ['a target that says what it can do', '0008 01 80 20 00 0000', true, true],
    ['one that cannot have our type', '0008 00 80 02 00 0000', false, false],
    ['one that does not say', '0008 0c 00 00 00 0000', false, undefined],
  ])('%s', (_, data, power, type) => {
    expect(decodeReserveCapabilities(bytes(data))).toEqual({
      ok: true,
      value: { persistsThroughPowerLoss: power, writeExclusiveRegistrantsOnly: type },
    });
  });

  it('cut or of another length it is refused', () => {
    expect(decodeReserveCapabilities(bytes('0008 01 80'))).toMatchObject({ ok: false });
    expect(decodeReserveCapabilities(bytes('0004 01 80 20 00 0000'))).toMatchObject({ ok: false });
  });
});

describe('READ FULL STATUS', () => {
  const name = 'iqn.2026-01.io.test:A';
  const text = (tail: string): string => Buffer.from(`${name}${tail}`, 'latin1').toString('hex');
  const one = (transportId: string): string => {
    const length = (transportId.length / 2).toString(16).padStart(8, '0');
    return `0102030405060708 00000000 01 05 00000000 0001 ${length} ${transportId}`;
  };
  const list = (...each: string[]): Buffer => {
    const body = bytes(each.join(''));
    return Buffer.concat([bytes(`00000002 ${body.length.toString(16).padStart(8, '0')}`), body]);
  };

  it.each([
    ['an initiator port, as LIO tells it', `45 00 0028 ${text(',i,0x800000010000')}00`],
    ['an initiator device', `05 00 0018 ${text('')}000000`],
    ['no header at all, as istgt does it', text(',i,0x800000000001')],
  ])('names %s, in lower case', (_, transportId) => {
    const registrant = { key: '0102030405060708', initiatorName: 'iqn.2026-01.io.test:a' };
    const id = transportId.replaceAll(' ', '');
    const read = decodeFullStatus(list(one(id), one(id)));
    expect(read).toEqual({ ok: true, value: [registrant, registrant] });
  });

  it('of another transport, or without an identifier, names nobody', () => {
    const read = decodeFullStatus(list(one('00'.repeat(24)), one('')));
    expect(read.ok && read.value.map(({ initiatorName }) => initiatorName)).toEqual(['', '']);
  });

  it.each([
    ['a cut list', list(one('')).subarray(0, 20)],
    ['a cut header', bytes('0000')],
    ['half a descriptor', list('0102030405060708')],
    ['an identifier beyond the end', list(`${one('').trimEnd().slice(0, -8)}000000ff`)],
  ])('refuses %s', (_, cut) => {
    expect(decodeFullStatus(cut).ok).toBe(false);
  });
});
