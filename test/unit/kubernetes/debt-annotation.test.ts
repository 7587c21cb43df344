import { describe, expect, test } from 'vitest';
import {
  claimEntry,
  type DebtEntry,
  DEBTS_MAX_BYTES,
  describeLeft,
  formatDebts,
  mergeDebts,
  mergeNexuses,
  parseDebts,
} from '../../../src/kubernetes/debt-annotation.ts';

const NOW = Date.parse('2026-11-29T12:00:00Z');
const TARGET = { host: '10.0.0.1', port: 3260, targetName: 'iqn.2026-01.io.example:vol', lun: 1 };
const ENTRY: DebtEntry = {
  isClaim: false,
  debt: {
    node: 'node-a',
    sinceUnixMs: NOW - 5_000,
    allPaths: false,
    initiatorName: 'iqn.2026-01.io.example:node-a',
    paths: [
      { name: 'p0', ...TARGET, isid: '800000010000', keptOut: true },
      { name: 'p1', ...TARGET, host: '2001:db8::1', isid: '', keptOut: false },
    ],
  },
};
const EVERYTHING = { node: '', allPaths: true, initiatorName: '', sinceUnixMs: NOW, paths: [] };

test('what is written is read again, and people can read it too', () => {
  const claim = claimEntry('node-b', NOW, [{ name: 'p2', ...TARGET }], undefined);
  const text = formatDebts([claim, ENTRY]);
  expect(parseDebts(text, NOW)).toEqual([claim, ENTRY]);
  expect(text).toContain(
    '"p0 iscsi://10.0.0.1:3260/iqn.2026-01.io.example:vol/1 isid=800000010000 kept-out"',
  );
  expect(text).toContain('"p1 iscsi://[2001:db8::1]:3260/iqn.2026-01.io.example:vol/1"');
  expect(formatDebts([])).toBeUndefined();
  expect(parseDebts(undefined, NOW)).toEqual([]);
});

test('a path that was kept out when it was removed is read again under the name that pathd has for it', () => {
  const paths = ['p0, removed', 'p0, removed 2'].map((name) => ({
    ...{ name, ...TARGET, isid: '800000010000', keptOut: true },
  }));
  const entry = { ...ENTRY, debt: { ...ENTRY.debt, paths } };
  const text = formatDebts([entry]);
  expect(text).toContain('"p0,%20removed iscsi://10.0.0.1:3260/');
  expect(parseDebts(text, NOW)).toEqual([entry]);
});

describe('a value that is not understood means every path, never clean', () => {
  const good = formatDebts([ENTRY]) ?? '';
  test.each([
    ['nothing', ''],
    ['no JSON', '[{"node":'],
    ['no list', '{}'],
    ['an empty list', '[]'],
    ['an entry that is none', '[null]'],
    ['no node', good.replace('"node"', '"nodes"')],
    ['a field of a later version', good.replace('{"node"', '{"more":1,"node"')],
    ['a time that is none', good.replace('2026-11-29T11', 'yesterday')],
    ['a path that is none', good.replace('iscsi://10', 'http://10')],
    ['a word that is none', good.replace('kept-out', 'kept-in')],
    ['an ISID that is none', good.replace('800000010000', '8000')],
    ['paths that are no list', '[{"node":"a","since":"2026-11-29T11:00:00Z","paths":{}}]'],
    ['a novel', `[${' '.repeat(2 * DEBTS_MAX_BYTES)}]`],
  ])('%s', (_, text) => {
    expect(parseDebts(text, NOW)).toMatchObject([{ isClaim: false, debt: EVERYTHING }]);
  });

  test('in part: the good entries count beside it', () => {
    const text = good.replace(']}]', ']},{"node":7},null]');
    expect(parseDebts(text, NOW)).toMatchObject([ENTRY, { debt: EVERYTHING }]);
  });
});

test('a claim counts as every path, whatever else it says', () => {
  const text = '[{"node":"a","claim":true,"since":"2026-11-29T11:00:00Z"}]';
  expect(parseDebts(text, NOW)).toMatchObject([{ isClaim: true, debt: { allPaths: true } }]);
});

test('a time that is still to come, by the clock of another node, is now: a delay is never cut short', () => {
  const text = formatDebts([{ ...ENTRY, debt: { ...ENTRY.debt, sinceUnixMs: NOW + 60_000 } }]);
  expect(parseDebts(text, NOW)[0]?.debt.sinceUnixMs).toBe(NOW);
});

test('what does not fit loses its paths and then means every path', () => {
  const path = { name: 'p0', ...TARGET, isid: '800000010000', keptOut: false };
  const long = (node: string, count: number): DebtEntry => ({
    isClaim: false,
    debt: { ...ENTRY.debt, node, paths: Array.from({ length: count }, () => path) },
  });
  const text = formatDebts([long('a', 20), long('b', 200), long('c', 20)]) ?? '';
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(DEBTS_MAX_BYTES);
  expect(
    parseDebts(text, NOW).map(({ debt }) => [debt.node, debt.allPaths, debt.paths.length]),
  ).toEqual([
    ['a', false, 20],
    ['b', true, 0],
    ['c', false, 20],
  ]);
  const many = Array.from({ length: 100 }, (_, i) => long(`node-${String(i)}`, 1));
  const merged = mergeDebts(many);
  expect(merged).toHaveLength(32);
  expect(merged.at(-1)).toMatchObject({ debt: { node: '', allPaths: true } });
});

test('the same entry twice is one; of another time, the later one', () => {
  expect(mergeDebts([ENTRY, ENTRY])).toEqual([ENTRY]);
  const at = (sinceUnixMs: number): DebtEntry => ({
    ...{ isClaim: false, debt: { ...ENTRY.debt, sinceUnixMs } },
  });
  const claim = { ...at(NOW), isClaim: true };
  expect(mergeDebts([at(NOW - 9), claim, at(NOW), at(NOW - 5)])).toEqual([at(NOW), claim]);
});

test('a claim whose volume gets a path names it too', () => {
  const nexuses = { initiatorName: 'iqn.x', isids: [{ path: 'p1', isid: '800000020000' }] };
  const first = claimEntry('a', NOW, [{ name: 'p0', ...TARGET }], undefined);
  const more = claimEntry('a', NOW + 9, [{ name: 'p1', ...TARGET }], nexuses);
  expect(mergeNexuses(first, more)).toMatchObject({
    isClaim: true,
    debt: {
      ...{ node: 'a', sinceUnixMs: NOW, initiatorName: 'iqn.x' },
      paths: [{ name: 'p0' }, { name: 'p1', isid: '800000020000' }],
    },
  });
});

test('what is left is told with the paths, and with what becomes of it', () => {
  const { debt } = ENTRY;
  const others = { ...debt, node: 'node-b', allPaths: true };
  expect(describeLeft('node-a', [debt, others], true)).toBe(
    'node node-a has given the volume back and has left this at its targets: p0 (10.0.0.1:3260), ' +
      'p1 ([2001:db8::1]:3260); every path of node node-b. The node that has the volume next fences that before ' +
      'its first write',
  );
  expect(describeLeft('node-a', [{ ...debt, paths: [] }], false)).toMatch(
    /its registrations\. Several nodes may write .* restart those targets/,
  );
});
