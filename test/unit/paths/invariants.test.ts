/** Broken invariants of the controller are noticed where they break: programmer errors crash. */
import { expect, it } from 'vitest';
import type { Instant, VolumeId } from '../../../src/base/brand.ts';
import { createController, step } from '../../../src/paths/controller.ts';
import { newPath } from '../../../src/paths/path-state.ts';
import { probeSent } from '../../../src/paths/probing.ts';
import { fullBucket, taken } from '../../../src/paths/tokens.ts';
import type { Move } from '../../../src/paths/state.ts';
import { Turn } from '../../../src/paths/turn.ts';
import { policyOf } from '../../support/model/model-world.ts';

const now = 0 as Instant;
const policy = policyOf();
const config = { name: 'p0', maxWeight: 100, drained: false };
const path = newPath(config, now);
const state = createController(
  { volumeId: 'v' as VolumeId, paths: [config], policy: () => policy },
  now,
);

it.each([0, -1, 101, Number.NaN])('a path never weighs %d of 100', (weight) => {
  const turn = new Turn(state, now);
  expect(() => turn.put({ ...path, weight })).toThrow('assertion failed: a weight is between');
});

it('a token is taken that is there', () => {
  const empty = { ...fullBucket(policy, now), tokens: 0 };
  expect(() => taken(empty)).toThrow('assertion failed: a token is taken that is there');
});

it('a path has one probe at a time', () => {
  const probed = probeSent(path, 1, now);
  expect(() => probeSent(probed, 2, now)).toThrow('assertion failed: one probe');
});

const MOVE: Move = {
  ...{ from: undefined, to: path.name, how: 'failover' },
  cause: { kind: 'refused', detail: '' },
};

it.each([
  ['a volume that has failed for good is not switched', { latched: true, move: MOVE }],
  ['I/O is held or it moves, not both', { holding: true, move: MOVE }],
  ['I/O never goes on moving to a path that cannot take it', { move: MOVE }],
  ['no path is in use before the first one was chosen', { current: path.name }],
])('%s', (text, wrong) => {
  expect(() => step({ ...state, ...wrong }, { kind: 'tick' }, now)).toThrow(text);
});

it('time never goes back', () => {
  const { state: later } = step(state, { kind: 'tick' }, 10 as Instant);
  expect(() => step(later, { kind: 'tick' }, 9 as Instant)).toThrow('time never goes back');
});
