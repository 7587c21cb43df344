/** A wrong serial number in expected-serial costs no more than its correction. */
import { expect, test } from 'vitest';
import { serialProblem, withoutMistakenBans } from '../../../src/pathd/expected-serial.ts';
import { compareIdentity, type LuIdentity } from '../../../src/volume/unit/identity.ts';
import { emptyRecord, type VolumeRecord } from '../../../src/volume/record/record.ts';

const unit = (serial: string): LuIdentity => ({
  ...{ deviceType: 0, strong: [], weak: ['t10.IET'], serial, blockSize: 512, blocks: 1_000 },
});

/** As volume/unit/identity.ts words it: a change there is noticed here. */
function banOf(showed: string, expected: string): string {
  const record = { identity: unit('A'), founder: 'p0' };
  const verdict = compareIdentity(record, unit(showed), 'p1', expected);
  if (verdict.kind !== 'banned') throw new Error('it was not banned');
  return verdict.detail;
}

const recorded = (banned: Readonly<Record<string, string>>): VolumeRecord => ({
  ...emptyRecord('v'),
  lu: { identity: unit('A'), founder: 'p0' },
  banned,
});

test('a live word that is not the serial number of the unit in use is refused, with both', () => {
  expect(serialProblem(unit('A'), 'B')).toContain('"B" is not the serial number');
  expect(serialProblem(unit('A'), 'B')).toContain('"A"');
  expect(serialProblem(unit('A'), 'A')).toBeUndefined();
  expect(serialProblem(unit('A'), '')).toBeUndefined();
  expect(serialProblem(undefined, 'B')).toBeUndefined();
});

test('bans by a former word are lifted from paths that showed the recorded serial number', () => {
  const record = recorded({ 'p0 x': banOf('A', 'TYPO'), 'p1 x': banOf('A', 'TYPO') });
  expect(withoutMistakenBans(record, 'A').banned).toEqual({});
  expect(withoutMistakenBans(record, '').banned).toEqual({});
});

test('every other ban stays: the word still stands, another unit was there, another difference', () => {
  const banned = {
    'p0 x': banOf('A', 'TYPO'),
    'p1 x': banOf('OTHER', 'A'),
    'p2 x': banOf('', 'TYPO'),
    'p3 x': 'does not show what was written: serial number is "A", expected "TYPO"',
    'p4 x': 'block size 4096, the volume has 512',
  };
  expect(withoutMistakenBans(recorded(banned), 'TYPO').banned).toEqual(banned);
  const { 'p0 x': mistaken, ...others } = banned;
  expect(mistaken).toContain('TYPO');
  expect(withoutMistakenBans(recorded(banned), 'A').banned).toEqual(others);
  // Corrected to the number of the unit that was there instead: that is no correction.
  expect(withoutMistakenBans(recorded(banned), 'OTHER').banned).toEqual(others);
});
