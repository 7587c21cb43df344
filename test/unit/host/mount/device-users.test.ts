import { describe, expect, it } from 'vitest';
import {
  describeUsers,
  findUsers,
  openExclusive,
  splitDeviceNumber,
} from '../../../../src/host/mount/device-users.ts';

describe('splitDeviceNumber', () => {
  it.each([
    [0x0700, 7, 0],
    [0x07ff, 7, 255],
    [0x1007_00, 7, 256], // minors above 255 continue at bit 20
    [0x1034_56, 0x34, 0x156],
    [2 ** 44 + 0x0801, 0x1008, 1], // majors above 4095 continue at bit 44
  ])('%i is %i:%i', (dev, major, minor) => {
    expect(splitDeviceNumber(dev)).toEqual({ major, minor });
  });
});

describe('describeUsers', () => {
  it('names every holder, and says when there are more than fit', () => {
    expect(describeUsers([{ what: 'held by dm-0' }, { what: 'opened by pid 4 (dd)' }])).toBe(
      'held by dm-0; opened by pid 4 (dd)',
    );
    const many = Array.from({ length: 11 }, (_, pid) => ({ what: `opened by pid ${pid} (x)` }));
    expect(describeUsers(many)).toMatch(/pid 7 \(x\); and 3 more$/);
  });

  it('does not claim that nobody is there when nobody is seen', () => {
    expect(describeUsers([])).toMatch(/do not show/);
  });
});

describe('paths that are no block device', () => {
  it('have no holders', async () => {
    expect(await findUsers('/dev/null')).toEqual([]);
    expect(await findUsers('/nonexistent')).toEqual([]);
  });

  it('cannot be opened exclusively when they do not exist', async () => {
    const result = await openExclusive('/nonexistent');
    expect(result).toMatchObject({ ok: false, error: { kind: 'no-device' } });
  });
});
