/** The rule of every key: what our offers become, and which answers are refused. */
import { describe, expect, it } from 'vitest';
import {
  Negotiation,
  type SessionOffers,
  type SessionParameters,
} from '../../../../src/protocol/iscsi/negotiation.ts';

function settle(
  answers: Record<string, string>,
  offers: Partial<SessionOffers> = {},
): SessionParameters | string {
  const negotiation = new Negotiation(offers);
  const received = negotiation.receive(new Map(Object.entries(answers)));
  if (!received.ok) return received.error;
  const result = negotiation.result();
  return result.ok ? result.value : result.error;
}

const DEFAULTS: SessionParameters = {
  headerDigest: false,
  dataDigest: false,
  maxReceiveSegment: 262_144,
  initialR2T: true,
  immediateData: true,
  maxSendSegment: 8192,
  maxBurstLength: 262_144,
  firstBurstLength: 65_536,
  maxOutstandingR2T: 1,
};

describe('operational negotiation', () => {
  it('takes the defaults of the RFC for keys without an answer', () => {
    expect(settle({})).toEqual(DEFAULTS);
  });

  it('takes legal answers', () => {
    const answers = {
      HeaderDigest: 'None',
      InitialR2T: 'No',
      ImmediateData: 'No',
      MaxRecvDataSegmentLength: '0x10000',
      MaxBurstLength: '1048576',
      FirstBurstLength: '131072',
      MaxOutstandingR2T: '4',
      DefaultTime2Wait: '2',
      TargetPortalGroupTag: '1',
      TargetAlias: 'anything',
    };
    expect(settle(answers)).toEqual({
      ...DEFAULTS,
      initialR2T: false,
      immediateData: false,
      maxSendSegment: 65_536,
      maxBurstLength: 1_048_576,
      firstBurstLength: 131_072,
      maxOutstandingR2T: 4,
    });
  });

  it.each([
    ['a digest that was not offered', 'HeaderDigest', 'CRC32C'],
    ['a boolean that is none', 'ImmediateData', 'yes'],
    ['OR of Yes turned into No', 'DataPDUInOrder', 'No'],
    ['a minimum above the offer', 'MaxOutstandingR2T', '9'],
    ['a number below its range', 'MaxRecvDataSegmentLength', '511'],
    ['a number above its range', 'MaxRecvDataSegmentLength', '16777216'],
    ['a number that is none', 'MaxBurstLength', '64k'],
    ['an error recovery level above the offer', 'ErrorRecoveryLevel', '1'],
    ['Reject', 'MaxBurstLength', 'Reject'],
  ])('refuses %s', (_, key, value) => {
    expect(settle({ [key]: value })).toContain(key);
  });

  it.each(['Irrelevant', 'NotUnderstood'])('falls back to the default on %s', (answer) => {
    expect(settle({ InitialR2T: answer, FirstBurstLength: answer })).toEqual(DEFAULTS);
  });

  it('refuses a key that was settled before', () => {
    const negotiation = new Negotiation();
    const answer = new Map([['InitialR2T', 'No']]);
    expect(negotiation.receive(answer).ok).toBe(true);
    expect(negotiation.receive(answer)).toEqual({
      ok: false,
      error: 'InitialR2T negotiated twice',
    });
  });

  it('answers NotUnderstood to keys that it does not know', () => {
    const result = new Negotiation().receive(new Map([['X-com.example.Speed', '11']]));
    expect(result).toEqual({ ok: true, value: [['X-com.example.Speed', 'NotUnderstood']] });
  });

  it('never lets the first burst exceed the burst', () => {
    const result = settle({ MaxBurstLength: '4096', FirstBurstLength: '8192' });
    expect(result).toMatchObject({ maxBurstLength: 4096, firstBurstLength: 4096 });
  });

  it('rounds the target segment length down to a multiple of four', () => {
    expect(settle({ MaxRecvDataSegmentLength: '1023' })).toMatchObject({ maxSendSegment: 1020 });
  });

  it('answers Reject to the marker keys of RFC 3720, which may not be NotUnderstood', () => {
    const keys = { OFMarker: 'No', IFMarker: 'No', OFMarkInt: '1~65535', IFMarkInt: '1~65535' };
    const result = new Negotiation().receive(new Map(Object.entries(keys)));
    expect(result).toEqual({
      ok: true,
      value: Object.keys(keys).map((key) => [key, 'Reject']),
    });
  });

  it('offers what it is told to', () => {
    const offers = Object.fromEntries(
      new Negotiation({
        headerDigest: 'prefer',
        dataDigest: 'crc32c',
        initialR2T: true,
        immediateData: false,
        maxReceiveSegment: 8192,
        maxBurstLength: 65_536,
        firstBurstLength: 4096,
        maxOutstandingR2T: 1,
      }).offers(),
    );
    expect(offers).toMatchObject({
      HeaderDigest: 'CRC32C,None',
      DataDigest: 'CRC32C',
      InitialR2T: 'Yes',
      ImmediateData: 'No',
      MaxRecvDataSegmentLength: '8192',
      MaxBurstLength: '65536',
      FirstBurstLength: '4096',
      MaxOutstandingR2T: '1',
    });
  });

  it('refuses an answer that is not the result of a forced offer', () => {
    expect(settle({ InitialR2T: 'No' }, { initialR2T: true })).toContain('InitialR2T');
    expect(settle({ ImmediateData: 'Yes' }, { immediateData: false })).toContain('ImmediateData');
  });
});

describe('digests', () => {
  it.each(['headerDigest', 'dataDigest'] as const)(
    '%s: the target picks from the offer',
    (part) => {
      const key = part === 'headerDigest' ? 'HeaderDigest' : 'DataDigest';
      expect(settle({ [key]: 'CRC32C' }, { [part]: 'prefer' })).toMatchObject({ [part]: true });
      expect(settle({ [key]: 'None' }, { [part]: 'prefer' })).toMatchObject({ [part]: false });
      expect(settle({}, { [part]: 'prefer' })).toMatchObject({ [part]: false });
      expect(settle({ [key]: 'CRC32C' }, { [part]: 'crc32c' })).toMatchObject({ [part]: true });
      expect(settle({ [key]: 'None' }, { [part]: 'crc32c' })).toContain(key);
    },
  );

  it.each(['NotUnderstood', 'Irrelevant'])(
    'that are insisted on are not given up: %s',
    (answer) => {
      const refused = settle({ DataDigest: answer }, { dataDigest: 'crc32c' });
      expect(refused).toContain('no data digest');
      expect(settle({}, { headerDigest: 'crc32c' })).toContain('no header digest');
    },
  );
});
