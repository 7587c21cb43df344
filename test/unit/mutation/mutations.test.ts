/** Mutations and the table of invariants are about code and tests that are there. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MUTATIONS } from '../../mutation/mutations.ts';
import { patchedFiles, patchedSource } from '../../mutation/patches.ts';

const root = new URL('../../../', import.meta.url).pathname;
const read = (file: string): string => readFileSync(`${root}${file}`, 'utf8');

test.each(MUTATIONS.map((one) => [one.name, one] as const))(
  '%s still changes the code, and its test is there',
  (_, mutation) => {
    for (const file of patchedFiles([mutation])) {
      expect(patchedSource(file, read(file), [mutation])).not.toBe(read(file));
    }
    expect(existsSync(`${root}${mutation.file}`)).toBe(true);
    expect(mutation.test).not.toBe('');
  },
);

test('no two mutations have one name', () => {
  expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
});

interface Row {
  readonly label: string;
  readonly files: readonly string[];
  readonly mutations: readonly string[];
}

const quoted = (cell = ''): readonly string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);

const rows: readonly Row[] = read('test/property/README.md')
  .split('\n')
  .flatMap((line) => {
    const [, label = '', , files, mutations] = line.split('|').map((cell) => cell.trim());
    const isRow = /^P\d+$/.test(label);
    return isRow ? [{ label, files: quoted(files), mutations: quoted(mutations) }] : [];
  });

test('the table has P1 to P23, each once', () => {
  const labels = Array.from({ length: 23 }, (_, i) => `P${String(i + 1)}`);
  expect(rows.map(({ label }) => label)).toEqual(labels);
});

test.each(rows)('$label is a test by that title in each of its files', ({ label, files }) => {
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) {
    expect(read(`test/property/${file}`)).toMatch(new RegExp(`['"]${label}(: |', ')`));
  }
});

test.each(rows)('$label is killed by the mutations named beside it', ({ label, mutations }) => {
  const killed = MUTATIONS.filter((one) => one.test.startsWith(`${label}:`)).map(
    ({ name }) => name,
  );
  expect(killed.length).toBeGreaterThan(0);
  expect([...mutations].sort()).toEqual([...killed].sort());
});
