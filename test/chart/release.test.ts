/** `npm run release` as it is typed, on a clone: with the generator, with helm, up to what is left to do. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GENERATED, versionsIn } from '../tooling/versions.ts';

const source = new URL('../..', import.meta.url).pathname;
let folder: string;
let root: string;

const git = (...args: readonly string[]): string =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8' });

function release(...args: readonly string[]): {
  code: number | null;
  stdout: string;
  stderr: string;
} {
  const program = [join(root, 'test/tooling/release.ts'), ...args];
  const done = spawnSync(process.execPath, program, { encoding: 'utf8', cwd: root });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pp-release-'));
  root = join(folder, 'clone');
  execFileSync('git', ['clone', '--quiet', '--depth=1', `file://${source}`, root]);
  symlinkSync(join(source, 'node_modules'), join(root, 'node_modules'));
  // A link is not the folder that .gitignore names; the changelog must not depend on the day.
  writeFileSync(join(root, '.git/info/exclude'), 'node_modules\n');
  writeFileSync(join(root, 'CHANGELOG.md'), '## [Unreleased]\n\n- a change\n');
  git('-c', 'user.name=t', '-c', 'user.email=t@example.com', 'commit', '--quiet', '-am', 'x: y');
});

afterAll(() => rmSync(folder, { recursive: true }));

test('--help says what it does and what it does not', () => {
  const { code, stdout } = release('--help');
  expect(code).toBe(0);
  expect(stdout).toContain('commits, tags and publishes nothing');
});

test.each([['--nonsense'], ['1.0.0', '2.0.0']])('wrong usage ends with 2: %s', (...args) => {
  const { code, stderr } = release(...args);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^release: /);
});

test('--dry-run changes nothing', () => {
  const { code, stdout } = release('--dry-run', 'major');
  expect(code).toBe(0);
  expect(stdout).toMatch(/would change CHANGELOG\.md, package\.json/);
  expect(git('status', '--porcelain')).toBe('');
});

test('a tree that is not clean is refused', () => {
  writeFileSync(join(root, 'left-over'), '');
  expect(release('9.8.7')).toMatchObject({ code: 1, stdout: '' });
  rmSync(join(root, 'left-over'));
});

test('the release: manifests of the new version, and what is left to do', () => {
  const { code, stdout, stderr } = release('9.8.7');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('git tag -a v9.8.7');
  for (const path of Object.keys(GENERATED)) {
    const found = versionsIn(path, readFileSync(join(root, path), 'utf8'));
    expect([...new Set(found)]).toEqual(['9.8.7']);
  }
});
