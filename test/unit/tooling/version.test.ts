/** The version stands in package.json; every copy of it says the same, and no other file has one. */
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  CHANGELOG,
  COPIES,
  GENERATED,
  sectionsOf,
  SOURCE,
  versionsIn,
} from '../../tooling/versions.ts';

const root = new URL('../../..', import.meta.url).pathname;
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const [version = ''] = versionsIn(SOURCE, read(SOURCE));

/** How often each file says it at least: a pattern that finds less has drifted. */
const TIMES: Readonly<Record<string, number>> = {
  'package-lock.json': 2,
  'charts/priority-path-csi/Chart.yaml': 2,
  'deploy/priority-path-csi.yaml': 12,
};

it('is in package.json, once', () => {
  expect(versionsIn(SOURCE, read(SOURCE))).toHaveLength(1);
  expect(version).toMatch(/^\d+\.\d+\.\d+$/);
});

it.each([...Object.keys(COPIES), ...Object.keys(GENERATED)])('%s says the same', (path) => {
  const found = versionsIn(path, read(path));
  expect([...new Set(found)]).toEqual([version]);
  expect(found.length).toBeGreaterThanOrEqual(TIMES[path] ?? 1);
});

it('the newest section of the changelog that has a version has this one', () => {
  const newest = sectionsOf(read(CHANGELOG)).find(({ when }) => when !== '');
  expect(newest?.name).toBe(version);
  expect(newest?.when).toMatch(/^(unreleased|\d{4}-\d\d-\d\d)$/);
});

it('is in no other file that ships or is read', () => {
  const known = new Set([...Object.keys(COPIES), ...Object.keys(GENERATED), CHANGELOG]);
  const others = ['*.{md,json}', '{src,charts,deploy,proto}/**/*']
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .filter((path) => !known.has(path) && statSync(join(root, path)).isFile());
  expect(others.length).toBeGreaterThan(200);
  const whole = new RegExp(`(?<![\\d.])${version.replaceAll('.', '\\.')}(?![\\d.])`);
  expect(others.filter((path) => whole.test(read(path)))).toEqual([]);
});

it.each([
  ['package.json', '{\n  "version": "1.2.3",\n  "x": { "version": "9" }\n}', ['1.2.3']],
  [
    'package-lock.json',
    '{\n  "version": "1.2.3",\n  "packages": {\n    "": {\n      "name": "priority-path-csi",\n' +
      '      "version": "1.2.4",\n    },\n    "node_modules/a": {\n      "version": "9.9.9"\n',
    ['1.2.3', '1.2.4'],
  ],
  [
    'charts/priority-path-csi/Chart.yaml',
    'apiVersion: v2\nversion: 1\nappVersion: 2\n',
    ['1', '2'],
  ],
  ['README.md', 'REGISTRY/priority-path-csi:1.2.3 . && 4.5.6', ['1.2.3']],
])('what differs in %s is seen', (path, text, found) => {
  expect(versionsIn(path, text)).toEqual(found);
});
