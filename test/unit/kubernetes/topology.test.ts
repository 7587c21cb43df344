import { expect, test } from 'vitest';
import fc from 'fast-check';
import { type Topology, DEFAULT_WEIGHTS, distance } from '../../../src/kubernetes/topology.ts';

const at = (rack?: string, room?: string): Topology => ({ rack, room });

test.each([
  ['same rack and room', at('r1', 'a'), at('r1', 'a'), 'sameRack', false],
  [
    'same rack name in another room is another room',
    at('r1', 'a'),
    at('r1', 'b'),
    'otherRoom',
    false,
  ],
  ['racks equal, no room labels', at('r1'), at('r1'), 'sameRack', false],
  ['racks equal, one room label', at('r1', 'a'), at('r1'), 'sameRack', false],
  ['other rack, same room', at('r1', 'a'), at('r2', 'a'), 'sameRoom', false],
  ['no racks, same room', at(undefined, 'a'), at(undefined, 'a'), 'sameRoom', false],
  ['other room', at('r1', 'a'), at('r2', 'b'), 'otherRoom', false],
  ['no labels at all', at(), at(), 'otherRoom', true],
  ['no labels on the node', at(), at('r1', 'a'), 'otherRoom', true],
  ['racks differ, rooms not known', at('r1'), at('r2'), 'otherRoom', true],
] as const)('%s', (_, node, target, tier, unknown) => {
  expect(distance(node, target)).toEqual({ tier, unknown });
});

const label = fc.option(fc.constantFrom('x', 'y', 'z'), { nil: undefined });
const place = fc.record({ rack: label, room: label });

test('distance is symmetric', () => {
  fc.assert(
    fc.property(place, place, (a, b) => {
      expect(distance(a, b)).toEqual(distance(b, a));
    }),
  );
});

test('unknown is only ever said of the lowest weight', () => {
  fc.assert(
    fc.property(place, place, (a, b) => {
      const { tier, unknown } = distance(a, b);
      if (unknown) expect(DEFAULT_WEIGHTS[tier]).toBe(DEFAULT_WEIGHTS.otherRoom);
    }),
  );
});

test('taking a label away never brings two places of different racks closer', () => {
  fc.assert(
    fc.property(place, place, (a, b) => {
      if (a.rack === b.rack) return;
      const without = distance({ ...a, room: undefined }, b);
      expect(DEFAULT_WEIGHTS[without.tier]).toBeLessThanOrEqual(
        DEFAULT_WEIGHTS[distance(a, b).tier],
      );
    }),
  );
});
