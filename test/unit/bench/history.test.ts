/** The table of `bench:quick` over time. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type Column, HISTORY_HEAD, historyLine, withEntry } from '../../bench/history.ts';

const TABLE = readFileSync(new URL('../../bench/history.md', import.meta.url), 'utf8');

function entry(value: string): Record<Column, string> {
  const names = HISTORY_HEAD.split('\n')[0]!.split('|').slice(1, -1);
  return Object.fromEntries(names.map((name) => [name.trim(), value])) as Record<Column, string>;
}

it('a line is as wide as the head', () => {
  const [head = ''] = HISTORY_HEAD.split('\n');
  expect(historyLine(entry('1.27'))).toHaveLength(head.length);
});

it('a run is added behind the last one, and nothing else changes', () => {
  const once = withEntry(TABLE, entry('0.93'));
  const twice = withEntry(once, entry('1.06'));
  const added = twice.split('\n').filter((line) => !TABLE.split('\n').includes(line));
  expect(added).toEqual([historyLine(entry('0.93')), historyLine(entry('1.06'))]);
  expect(twice.replace(`${added.join('\n')}\n`, '')).toBe(TABLE);
});

it('a table with other columns is left alone', () => {
  expect(() => withEntry(TABLE.replace('| commit', '| change'), entry('1'))).toThrow('columns');
});
