/** A malformed edit of a volume that is in use, and what values of others may do to a line of text. */
import { describe, expect, test } from 'vitest';
import {
  describeProblems,
  parseVolumeConfig,
  type VolumeConfig,
} from '../../../src/kubernetes/contract.ts';
import { mergeKeys, ourKeys } from '../../../src/kubernetes/keys.ts';
import { DEFAULT_WEIGHTS } from '../../../src/kubernetes/topology.ts';

type Keys = Readonly<Record<string, string>>;

const url = (n: number | string): string =>
  `iscsi://10.0.0.${String(n)}/iqn.2026-01.io.example:v/1`;
const path = (n: number): string => `path.prioritypath.io/p${String(n)}`;
const read = (keys: Keys, before?: Keys): VolumeConfig =>
  parseVolumeConfig(keys, { rack: 'r1', room: 'a' }, DEFAULT_WEIGHTS, before);
const hosts = ({ paths }: VolumeConfig): string[] =>
  paths.map(({ name, host }) => `${name} ${host.slice('10.0.0.'.length)}`);

const GOOD: Keys = {
  [path(0)]: url(0),
  [path(1)]: url(1),
  [path(2)]: url(2),
  'weight.prioritypath.io/p0': '95',
  'drain.prioritypath.io/p1': 'true',
  'prioritypath.io/pin': 'p2',
  'policy.prioritypath.io/fencing': 'gone',
};

describe('a malformed edit leaves in force what the key said before', () => {
  const { good } = read(GOOD);

  test('what was good is remembered as it was typed', () => {
    expect(good).toEqual(GOOD);
  });

  test.each([
    ['a path', path(0), 'iscsi//10.0.0.9'],
    ['a weight', 'weight.prioritypath.io/p0', '9five'],
    ['a drain', 'drain.prioritypath.io/p1', 'ture'],
    ['the pin', 'prioritypath.io/pin', 'p22'],
    ['a policy', 'policy.prioritypath.io/fencing', ' '],
  ])('%s', (_, key, typo) => {
    const [now, then] = [read({ ...GOOD, [key]: typo }, good), read(GOOD)];
    expect({ ...now, problems: [] }).toEqual(then);
    expect(now.problems).toEqual([expect.stringMatching(/; it stays ".+"$/)]);
    expect(now.problems[0]).toContain(`it stays "${String(GOOD[key])}"`);
  });

  test('a key that is removed is removed, also while another one is malformed', () => {
    const left = Object.entries(GOOD).filter(([key]) => !key.endsWith('/p1'));
    const now = read({ ...Object.fromEntries(left), [path(0)]: 'x' }, good);
    expect(hosts(now)).toEqual(['p0 0', 'p2 2']);
  });

  test('of a volume that is not in use nothing is kept', () => {
    expect(hosts(read({ ...GOOD, [path(0)]: 'x' }))).toEqual(['p1 1', 'p2 2']);
  });

  test('a second malformed edit keeps the same value', () => {
    const once = read({ ...GOOD, [path(0)]: 'x' }, good);
    expect(hosts(read({ ...GOOD, [path(0)]: 'y' }, once.good))).toEqual(['p0 0', 'p1 1', 'p2 2']);
  });

  test('of two paths that an edit made equal, the edited one stays as it was', () => {
    for (const [edited, other] of [
      [0, 1],
      [1, 0],
      [2, 0],
    ] as const) {
      const now = read({ ...GOOD, [path(edited)]: url(other) }, good);
      expect(hosts(now)).toEqual(['p0 0', 'p1 1', 'p2 2']);
      expect(now.problems).toEqual([
        expect.stringContaining(`LUN as path p${String(other)}; it stays`),
      ]);
    }
  });

  test('two paths may change places in one edit', () => {
    const now = read({ ...GOOD, [path(0)]: url(1), [path(1)]: url(0) }, good);
    expect(hosts(now)).toEqual(['p0 1', 'p1 0', 'p2 2']);
    expect(now.problems).toEqual([]);
  });

  test('a path moves to the address of one that is malformed now: that one stays, and so it does', () => {
    const keys = { ...GOOD, [path(0)]: 'x', [path(1)]: url(0), [path(2)]: url(1) };
    expect(hosts(read(keys, good))).toEqual(['p0 0', 'p1 1', 'p2 2']);
  });

  test('a seventeenth path displaces none of the sixteen', () => {
    const sixteen = Object.fromEntries(
      Array.from({ length: 16 }, (_, n) => [`path.prioritypath.io/x${String(n)}`, url(n + 10)]),
    );
    const before = read(sixteen).good;
    const now = read({ ...sixteen, 'path.prioritypath.io/a': url(9) }, before);
    expect(now.paths.map(({ name }) => name)).not.toContain('a');
    expect(now.paths).toHaveLength(16);
  });

  test('thousands of paths at one address are judged in a moment', () => {
    const many = Object.fromEntries(
      Array.from({ length: 4_000 }, (_, n) => [`path.prioritypath.io/y${String(n)}`, url(7)]),
    );
    const startedAt = performance.now();
    const now = read({ ...GOOD, ...many }, good);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(hosts(now)).toEqual(['p0 0', 'p1 1', 'p2 2', 'y0 7']);
  });
});

describe('values of others in a line of text', () => {
  const NASTY = `\x1b[2J\u202e\x9b31m${'n'.repeat(200_000)}`;
  const nasty: Keys = {
    [path(0)]: `iscsi://10.0.0.1/${NASTY}/0`,
    [path(1)]: `iscsi://${NASTY}/iqn.2026-01.io.example:v/1`,
    [path(2)]: url(2),
    'weight.prioritypath.io/p2': NASTY,
    'drain.prioritypath.io/p2': NASTY,
    'prioritypath.io/pin': NASTY,
    'policy.prioritypath.io/fencing': NASTY,
    [`path.prioritypath.io/${NASTY}`]: NASTY,
    [`nothing.prioritypath.io/${NASTY}`]: NASTY,
  };

  test('each problem is one line of bounded length without a control character', () => {
    const { problems } = read(nasty);
    expect(problems.length).toBeGreaterThan(6);
    for (const problem of problems) {
      expect(problem).not.toMatch(/[\p{Cc}\p{Cf}]/u);
      expect(problem.length).toBeLessThan(1_400);
    }
  });

  test('so is all that is kept of them', () => {
    const kept = ourKeys({ ...nasty, 'status.prioritypath.io/n': 'two\nlines' });
    expect(kept['status.prioritypath.io/n']).toBe('two\nlines');
    const others = mergeKeys({ attributes: nasty, labels: {}, annotations: nasty });
    expect(JSON.stringify(others).length).toBeLessThan(15_000);
    expect(JSON.stringify(others)).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  test('a value does not become good by being cleaned, a line break at its end is forgiven', () => {
    expect(read({ [path(0)]: url('1\x00') }).paths).toEqual([]);
    expect(read({ [path(0)]: `${url(1)}\n` }).paths).toHaveLength(1);
  });

  test('many problems are one text of bounded length', () => {
    const problems = Array.from({ length: 4_000 }, (_, n) => `problem ${String(n)}`);
    expect(describeProblems(problems)).toMatch(/^problem 0; .*; problem 15; and 3984 more$/);
  });
});
