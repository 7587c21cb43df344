/** One word a thing, one thing a word (src/README.md): names of types and of files, names that were given up. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { wordProblems } from '../../tooling/words.ts';

const root = new URL('../../..', import.meta.url).pathname;

function sources(): Map<string, string> {
  const all = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const files = all.filter((file) => file.endsWith('.ts')).map((file) => `src/${file}`);
  return new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
}

it('no name below src/ stands for two things, and none that was given up is back', () => {
  expect(wordProblems(sources())).toEqual([]);
});

function found(files: Readonly<Record<string, string>>): readonly string[] {
  return wordProblems(new Map(Object.entries(files)));
}

it.each([
  [
    'an exported type that is declared twice',
    { 'src/a/one.ts': 'export interface Claim {}', 'src/b/two.ts': 'export type Claim = 1;' },
    'type Claim: src/a/one.ts, src/b/two.ts',
  ],
  [
    'an exported type whose name another file has for itself',
    { 'src/a/one.ts': 'export class Entry {}', 'src/b/two.ts': 'interface Entry {}' },
    'type Entry: src/a/one.ts, src/b/two.ts',
  ],
  [
    'a file name in two rooms',
    { 'src/a/status.ts': '', 'src/b/status.ts': '' },
    'file status.ts: src/a/status.ts, src/b/status.ts',
  ],
  [
    'a name that was given up',
    { 'src/volume/reserve/nexus.ts': 'export class KeyRing {}' },
    'name KeyRing in src/volume/reserve/nexus.ts: now ReservationKeyScheme',
  ],
  [
    'a private one',
    { 'src/volume/volume.ts': 'class Volume { #settle(): void {} }' },
    'name settle in src/volume/volume.ts: now conclude, pay, finish',
  ],
  [
    'one that has its one meaning elsewhere',
    { 'src/pathd/notices.ts': 'book.hold(volumeId);' },
    'name hold in src/pathd/notices.ts: now keepOpen, postpone',
  ],
])('found: %s', (_, files, problem) => {
  expect(found(files)).toEqual([problem]);
});

it('passed: types of two files that keep them to themselves, words in comments and texts, the one meaning', () => {
  const files = {
    'src/a/one.ts': "interface Parts {} // the KeyRing of old\nconst text = 'settle';",
    'src/b/two.ts': 'interface Parts {}',
    'src/volume/io/ledger.ts': 'export class Ledger { settle(): void {} }',
    'src/volume/io/dispatch.ts': 'export class Dispatcher { hold(): void {} }',
  };
  expect(found(files)).toEqual([]);
});
