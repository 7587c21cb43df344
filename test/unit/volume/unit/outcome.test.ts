/** What SCSI status and sense mean for a request, its path and the volume. */
import { describe, expect, it } from 'vitest';
import {
  asksForIdentity,
  endsOutstanding,
  judge,
  tellsOfLoss,
  tellsWeArePreempted,
  type Verdict,
} from '../../../../src/volume/unit/outcome.ts';

const sense = (key: number, asc: number, ascq: number): Verdict =>
  judge({ kind: 'status', status: 2, sense: { key, asc, ascq }, received: 0, residual: 0 });

const statusOf = (status: number): Verdict =>
  judge({ kind: 'status', status, sense: undefined, received: 0, residual: 0 });

describe('outcomes', () => {
  it.each([
    [0x00, 'good'],
    [0x04, 'good'],
    [0x08, 'busy'],
    [0x28, 'busy'],
    [0x30, 'busy'],
    [0x40, 'retry'],
    [0x18, 'reservation-conflict'],
    [0x02, 'error'],
    [0x77, 'error'],
  ])('status %i is %s', (status, kind) => {
    expect(statusOf(status).kind).toBe(kind);
  });

  it.each([
    ['no sense', [0, 0, 0], 'good'],
    ['recovered', [1, 0x17, 1], 'good'],
    ['becoming ready', [2, 4, 1], 'busy'],
    ['ALUA transition', [2, 4, 0x0a], 'busy'],
    ['ALUA standby', [2, 4, 0x0b], 'path'],
    ['medium not present', [2, 0x3a, 0], 'path'],
    ['medium error', [3, 0x11, 0], 'error'],
    ['hardware error', [4, 0x44, 0], 'error'],
    ['no such LUN', [5, 0x25, 0], 'path'],
    ['LBA out of range', [5, 0x21, 0], 'path'],
    ['invalid opcode', [5, 0x20, 0], 'error'],
    ['invalid field', [5, 0x24, 0], 'error'],
    ['unit attention', [6, 0x29, 0], 'retry'],
    ['write protected', [7, 0x27, 0], 'path'],
    ['thin pool full', [7, 0x27, 7], 'error'],
    ['aborted command', [0x0b, 0x47, 3], 'retry'],
    ['protection error', [0x0b, 0x10, 1], 'error'],
    ['miscompare', [0x0e, 0x1d, 0], 'error'],
  ] as const)('%s: %j is %s', (_what, [key, asc, ascq], kind) => {
    expect(sense(key, asc, ascq).kind).toBe(kind);
  });

  it.each([0, 1, 3, 4, 7, 0xb])('a deferred error of key %i is not the command’s', (key) => {
    const attention = { key, asc: 0x0c, ascq: 2, deferred: true } as const;
    const outcome = { kind: 'status', status: 2, received: 0, residual: 0 } as const;
    expect(judge({ ...outcome, sense: attention })).toEqual({ kind: 'retry', attention });
    expect(tellsOfLoss(attention)).toBe(key > 1);
    expect(tellsOfLoss({ key, asc: 0x0c, ascq: 2 })).toBe(false);
  });

  it('a deferred unit attention is news and no loss', () => {
    expect(tellsOfLoss({ key: 6, asc: 0x29, ascq: 0, deferred: true })).toBe(false);
  });

  it('names the errors that callers tell apart', () => {
    expect(sense(7, 0x27, 7)).toMatchObject({ error: 'ENOSPC' });
    expect(sense(7, 0x27, 0)).toMatchObject({ kind: 'path', cause: 'write-protected' });
    expect(sense(7, 0x20, 2)).toMatchObject({ error: 'EROFS' });
    expect(sense(5, 0x20, 0)).toMatchObject({ error: 'EOPNOTSUPP' });
    expect(sense(5, 0x25, 0)).toMatchObject({ cause: 'lun-absent' });
    expect(judge({ kind: 'lost' }).kind).toBe('unknown');
  });

  it('sorts unit attentions', () => {
    const ua = (asc: number, ascq: number) => ({ key: 6, asc, ascq });
    for (const ascq of [0, 1, 2, 3, 4, 7]) expect(endsOutstanding(ua(0x29, ascq))).toBe(true);
    expect(endsOutstanding(ua(0x2f, 0))).toBe(true);
    expect(endsOutstanding(ua(0x2f, 1))).toBe(false);
    expect(endsOutstanding(ua(0x2a, 1))).toBe(false);
    for (const [asc, ascq] of [
      [0x3f, 0x0e],
      [0x3f, 0x03],
      [0x2a, 0x09],
      [0x2a, 0x00],
      [0x2a, 0x01],
    ] as const)
      expect(asksForIdentity(ua(asc, ascq))).toBe(true);
    expect(asksForIdentity(ua(0x3f, 0))).toBe(false);
    expect(asksForIdentity(ua(0x2a, 2))).toBe(false);
    for (const ascq of [3, 4, 5]) expect(tellsWeArePreempted(ua(0x2a, ascq))).toBe(true);
    expect(tellsWeArePreempted(ua(0x2a, 9))).toBe(false);
  });
});
