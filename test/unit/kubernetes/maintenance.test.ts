import { describe, expect, test } from 'vitest';
import {
  isMaintained,
  maintenanceData,
  NO_MAINTENANCE,
  parseDrainedPortal,
  parseMaintenance,
} from '../../../src/kubernetes/maintenance.ts';

const path = (host: string, port: number, rack = '', room = '') => ({ host, port, rack, room });

describe('the ConfigMap', () => {
  test('names racks and portals, by white space or commas', () => {
    const data = { 'drain.racks': 'r1, room-a/r2\n', 'drain.portals': '10.0.0.1 10.0.0.2:3261' };
    expect(parseMaintenance(data)).toEqual({
      racks: ['r1', 'room-a/r2'],
      portals: [
        { host: '10.0.0.1', port: undefined },
        { host: '10.0.0.2', port: 3261 },
      ],
      problems: [],
    });
  });

  test('empty or without our keys drains nothing', () => {
    expect(parseMaintenance({})).toEqual(NO_MAINTENANCE);
    expect(parseMaintenance({ 'drain.racks': ' \n' })).toEqual(NO_MAINTENANCE);
  });

  test('a malformed value of a key leaves drained what the key drained before', () => {
    const before = parseMaintenance({
      'drain.portals': '10.0.0.1 [2001:db8::1]:3261',
      'drain.racks': 'r1',
    });
    const typo = parseMaintenance(
      { 'drain.portals': '10.0.0.l:x 10.0.0.2', 'drain.racks': '' },
      before,
    );
    expect(typo.portals.map(({ host }) => host)).toEqual(['10.0.0.2', '10.0.0.1', '2001:db8::1']);
    expect(typo.racks).toEqual([]);
    expect(typo.problems).toEqual([expect.stringContaining('stays drained until it is mended')]);
    // Also when it was on disk meanwhile, and until it is mended or removed.
    expect(parseMaintenance(maintenanceData(typo))).toEqual({ ...typo, problems: [] });
    expect(parseMaintenance({ 'drain.portals': '10.0.0.2' }, typo).portals).toHaveLength(1);
    expect(parseMaintenance({}, typo).portals).toEqual([]);
  });

  test('what is malformed is named, the good values stay', () => {
    const data = { 'drain.portals': '10.0.0.1 10.0.0.999', 'drain.racks': 'a/b/c r1', drain: 'x' };
    const { racks, portals, problems } = parseMaintenance(data);
    expect({ racks, portals }).toEqual({
      racks: ['r1'],
      portals: [{ host: '10.0.0.1', port: undefined }],
    });
    expect(problems).toHaveLength(3);
    expect(problems.join('\n')).toMatch(/^drain: unknown key/m);
    expect(problems.join('\n')).toMatch(/^drain.portals "10.0.0.999": /m);
    expect(problems.join('\n')).toMatch(/^drain.racks "a\/b\/c": expected/m);
  });
});

describe('what is meant', () => {
  test.each([
    ['10.0.0.1', path('10.0.0.1', 3261), true],
    ['10.0.0.1:3260', path('10.0.0.1', 3261), false],
    ['10.0.0.1:3261', path('10.0.0.1', 3261), true],
    ['[2001:db8::1]', path('2001:db8::1', 3260), true],
    ['[2001:db8::1]:3261', path('2001:db8::1', 3260), false],
    ['Storage-A', path('storage-a', 3260), true],
  ])('the portal %s', (portal, at, meant) => {
    expect(isMaintained(at, parseMaintenance({ 'drain.portals': portal }))).toBe(meant);
  });

  test.each([
    ['r1', 'r1', 'a', true],
    ['r1', 'r1', '', true],
    ['a/r1', 'r1', 'a', true],
    ['b/r1', 'r1', 'a', false],
    ['r2', 'r1', 'a', false],
    ['r1', '', 'a', false],
  ])('the rack %s, for a path in rack "%s" of room "%s": %s', (drained, rack, room, meant) => {
    const maintenance = parseMaintenance({ 'drain.racks': drained });
    expect(isMaintained(path('10.0.0.1', 3260, rack, room), maintenance)).toBe(meant);
  });

  test('a portal that is none is refused with what is expected', () => {
    expect(parseDrainedPortal('2001:db8::1')).toMatch(/brackets/);
    expect(parseDrainedPortal('10.0.0.1:0')).toMatch(/port/);
  });
});
