/** The rule of every key: what our offers become, and which answers are refused. */
import { describe, expect, it } from 'vitest';
import { Negotiation, type SessionParameters } from '../../../../src/protocol/iscsi/negotiation.ts';

function settle(answers: Record<string, string>): SessionParameters | string {
  const negotiation = new Negotiation();
  const result = negotiation.receive(new Map(Object.entries(answers)));
  return result.ok ? negotiation.result() : result.error;
}

const DEFAULTS: SessionParameters = {
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
});
