/** Is what a path leads to the volume? The rule, and the book that is kept of it. */
import { describe, expect, it } from 'vitest';
import { IdentityBook } from '../../../../src/volume/unit/identity-book.ts';
import {
  canFound,
  compareIdentity,
  type LuIdentity,
} from '../../../../src/volume/unit/identity.ts';

const LU: LuIdentity = {
  deviceType: 0,
  strong: ['naa.6a'],
  weak: ['t10.x'],
  serial: 'S',
  blockSize: 512,
  blocks: 100,
};

const WEAK: LuIdentity = { ...LU, strong: [] };

describe('identity', () => {
  const compare = (seen: LuIdentity, record = LU, path = 'p1', serial?: string) =>
    compareIdentity({ identity: record, founder: 'p0' }, seen, path, serial).kind;

  it.each([
    ['the same strong name', {}, 'verified'],
    ['one strong name in common', { strong: ['eui.b', 'naa.6a'] }, 'verified'],
    ['another strong name', { strong: ['naa.6b'] }, 'banned'],
    ['no strong name', { strong: [] }, 'banned'],
    ['another serial with the same strong name', { serial: 'T' }, 'verified'],
    ['larger', { blocks: 101 }, 'verified'],
    ['smaller', { blocks: 99 }, 'banned'],
    ['another block size', { blockSize: 4096 }, 'banned'],
    ['a tape', { deviceType: 1 }, 'banned'],
  ])('%s: %j is %s', (_what, change, verdict) => {
    expect(compare({ ...LU, ...change })).toBe(verdict);
  });

  it('weak identity: only the founder, or with the expected serial', () => {
    expect(compare(WEAK, WEAK, 'p0')).toBe('verified');
    expect(compare(WEAK, WEAK, 'p1')).toBe('unverified');
    expect(compare(WEAK, WEAK, 'p1', 'S')).toBe('verified');
    expect(compare(WEAK, WEAK, 'p1', 'T')).toBe('banned');
    expect(compare({ ...WEAK, serial: 'T' }, WEAK, 'p0')).toBe('banned');
    expect(compare({ ...WEAK, weak: [] }, WEAK, 'p0')).toBe('banned');
    expect(compare(LU, WEAK, 'p0')).toBe('banned');
  });

  it('the expected serial makes up for other weak names, not for another serial than the recorded one', () => {
    expect(compare({ ...WEAK, weak: ['t10.other'] }, WEAK, 'p1', 'S')).toBe('verified');
    expect(compare({ ...WEAK, serial: 'T' }, WEAK, 'p0', 'T')).toBe('banned');
    expect(compare({ ...WEAK, serial: 'T' }, WEAK, 'p1', 'T')).toBe('banned');
  });

  it('the expected serial does not make up for another strong name', () => {
    expect(compare({ ...LU, strong: ['naa.6b'] }, LU, 'p1', 'S')).toBe('banned');
  });

  it('who may found a record', () => {
    expect(canFound(LU, 'p1', 'p0', undefined).kind).toBe('verified');
    expect(canFound(WEAK, 'p0', 'p0', undefined).kind).toBe('verified');
    expect(canFound(WEAK, 'p1', 'p0', undefined).kind).toBe('unverified');
    expect(canFound(WEAK, 'p1', 'p0', 'S').kind).toBe('verified');
    expect(canFound(WEAK, 'p0', 'p0', 'T').kind).toBe('banned');
    expect(canFound({ ...LU, blockSize: 520 }, 'p0', 'p0', undefined).kind).toBe('banned');
    expect(canFound({ ...LU, deviceType: 5 }, 'p0', 'p0', undefined).kind).toBe('banned');
  });

  const book = (record?: LuIdentity, expectedSerial = '') =>
    new IdentityBook({
      firstPath: 'p0',
      policy: () => ({ expectedSerial }),
      record: record && { identity: record, founder: 'p0' },
      banned: {},
    });

  it('a disagreement before the first use is a dispute, afterwards a ban that sticks', () => {
    const fresh = book();
    fresh.judge('p0', LU);
    expect(fresh.judge('p1', { ...LU, strong: ['naa.6b'] }).kind).toBe('banned');
    expect(fresh.dispute).toContain('p1');
    const used = book(LU);
    expect(used.judge('p1', { ...LU, strong: ['naa.6b'] }).kind).toBe('banned');
    expect(used.dispute).toBeUndefined();
    expect(used.judge('p1', LU).kind).toBe('banned');
    used.readmit('p1');
    expect(used.judge('p1', LU).kind).toBe('verified');
  });

  it('the expected serial settles who is right, whoever is read first', () => {
    for (const order of [
      ['p0', 'p1'],
      ['p1', 'p0'],
    ] as const) {
      const fresh = book(undefined, 'S');
      for (const path of order) fresh.judge(path, path === 'p0' ? LU : { ...LU, serial: 'T' });
      expect(fresh.dispute).toBeUndefined();
      expect(fresh.record?.founder).toBe('p0');
    }
  });
});
