/** The record of a volume: what was saved comes back, and nothing else passes for it. */
import { describe, expect, it } from 'vitest';
import { ok } from '../../../../src/base/result.ts';
import {
  emptyRecord,
  parseRecord,
  type VolumeRecord,
} from '../../../../src/volume/record/record.ts';
import type { LuIdentity } from '../../../../src/volume/unit/identity.ts';

const LU: LuIdentity = {
  deviceType: 0,
  strong: ['naa.6a'],
  weak: ['t10.x'],
  serial: 'S',
  blockSize: 512,
  blocks: 100,
};

const FULL: VolumeRecord = {
  ...emptyRecord('v'),
  lu: { identity: LU, founder: 'p0' },
  mayHoldWrites: ['p0'],
  banned: { 'p1 iscsi://h:1/t/0': 'other' },
};

describe('record', () => {
  const text = JSON.stringify(FULL, undefined, 2);

  it('comes back as it was saved', () => {
    expect(parseRecord(text)).toEqual(ok(FULL));
    expect(parseRecord(JSON.stringify(emptyRecord('v')))).toEqual(ok(emptyRecord('v')));
  });

  it('cut anywhere it is an error, never an empty record', () => {
    for (let length = 0; length < text.length; length++) {
      expect(parseRecord(text.slice(0, length)).ok).toBe(false);
    }
  });

  const paths = [
    ['version'],
    ['volumeId'],
    ['mayHoldWrites'],
    ['format'],
    ['banned'],
    ['lu', 'founder'],
    ['lu', 'identity'],
    ...Object.keys(LU).map((key) => ['lu', 'identity', key]),
  ];
  const wrong = [undefined, null, -1, 1.5, 'x y', {}, [1], true];

  it.each(paths)('refuses a missing or wrong %s %s %s', (...keys) => {
    const path = keys.filter((key): key is string => typeof key === 'string');
    for (const value of wrong) {
      const copy = JSON.parse(text) as Record<string, unknown>;
      const parent = path.slice(0, -1).reduce((at, key) => at[key] as typeof copy, copy);
      const last = path.at(-1) ?? '';
      if (typeof value === typeof parent[last] && typeof value === 'string') continue;
      if (last === 'banned' && JSON.stringify(value) === '{}') continue;
      parent[last] = value;
      expect(
        parseRecord(JSON.stringify(copy)).ok,
        `${path.join('.')}=${value === undefined ? 'missing' : JSON.stringify(value)}`,
      ).toBe(false);
    }
  });
});
