/** README.md says the truth: every UNH-IOL item once, covered by a test of that name or excluded. */
import { globSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { ITEMS } from './items.ts';

const folder = new URL('.', import.meta.url).pathname;

/** Rows of the table: item and what is said about it. */
function rows(): [item: string, state: string][] {
  const text = readFileSync(`${folder}README.md`, 'utf8');
  return [...text.matchAll(/^\| ((?:Login|FFP|CHAP) [^|]+?) +\| ([^|]+?) +\|$/gmu)].map((row) => [
    row[1]!,
    row[2]!,
  ]);
}

/** Items that tests are named after: "<item>: <claim>". */
function tested(): Set<string> {
  const files = globSync('*.test.ts', { cwd: folder });
  const sources = files.map((file) => readFileSync(`${folder}${file}`, 'utf8')).join('\n');
  const names = sources.matchAll(/'((?:Login|FFP|CHAP) \d[^':]*)[':]/gu);
  return new Set([...names].map((match) => match[1]!));
}

it('the table has every item of the lists once, in their order', () => {
  expect(rows().map(([item]) => item)).toEqual(ITEMS);
});

it('an item is covered by a test of its name, or excluded with a reason', () => {
  const names = tested();
  for (const [item, state] of rows()) {
    expect(state, item).toMatch(/^(covered|excluded: .{10,})$/u);
    expect(names.has(item), item).toBe(state === 'covered');
  }
  expect([...names].filter((name) => !ITEMS.includes(name))).toEqual([]);
});
