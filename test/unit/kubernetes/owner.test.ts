import { describe, expect, test } from 'vitest';
import { describeRefusal, judgeOwner, needsOwner } from '../../../src/kubernetes/owner.ts';

const self = 'node-1';

describe('who may take the claim', () => {
  test.each([undefined, ''])('free (%j): claimed', (owner) => {
    expect(judgeOwner({ owner, self, ownerNode: undefined })).toMatchObject({
      kind: 'claim',
      from: undefined,
    });
  });

  test('ours: held, nothing to write', () => {
    expect(judgeOwner({ owner: self, self, ownerNode: 'present' })).toEqual({ kind: 'owned' });
  });

  test.each([
    ['gone', /does not exist/],
    ['out-of-service', /tainted out-of-service/],
  ] as const)("another's whose Node is %s: taken over, with why", (ownerNode, why) => {
    const verdict = judgeOwner({ owner: 'node-2', self, ownerNode });
    expect(verdict).toMatchObject({ kind: 'claim', from: 'node-2' });
    expect(verdict.kind === 'claim' && verdict.why).toMatch(why);
  });

  test.each(['present', undefined] as const)("another's whose Node is %s: refused", (ownerNode) => {
    const verdict = judgeOwner({ owner: 'node-2', self, ownerNode });
    expect(verdict).toEqual({ kind: 'refused', by: 'node-2' });
  });
});

test('the refusal says who holds it and every way to take over', () => {
  const text = describeRefusal('vol-1', 'pv-1', 'node-2');
  expect(text).toContain('claimed by node node-2');
  expect(text).toContain('kubectl taint node node-2 node.kubernetes.io/out-of-service=');
  expect(text).toContain('delete the Node');
  expect(text).toContain('kubectl annotate pv pv-1 owner.prioritypath.io/node-');
});

test.each([
  ['SINGLE_NODE_WRITER', true],
  ['SINGLE_NODE_SINGLE_WRITER', true],
  ['SINGLE_NODE_MULTI_WRITER', true],
  ['SINGLE_NODE_READER_ONLY', true],
  ['MULTI_NODE_READER_ONLY', false],
  ['MULTI_NODE_MULTI_WRITER', false],
])('%s is claimed: %s', (mode, claimed) => {
  expect(needsOwner(mode)).toBe(claimed);
});
