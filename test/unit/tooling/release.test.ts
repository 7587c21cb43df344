/**
 * `npm run release` on a repository of the test's own, made of the files that have a version. What makes the
 * manifests needs helm and is a double here; test/chart/release.test.ts runs the real one on a clone.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { err, ok } from '../../../src/base/result.ts';
import { prepareRelease, type ReleaseOptions, whatIsLeft } from '../../tooling/release.ts';
import {
  CHANGELOG,
  COPIES,
  GENERATED,
  nextVersion,
  versionsIn,
  withDate,
} from '../../tooling/versions.ts';

const source = new URL('../../..', import.meta.url).pathname;
const MANIFESTS = 'deploy/priority-path-csi.yaml';
const ALL = [...Object.keys(COPIES), ...Object.keys(GENERATED), CHANGELOG];

let root: string;

const git = (...args: readonly string[]): string =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
    cwd: root,
    encoding: 'utf8',
  });
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const write = (path: string, text: string): void => writeFileSync(join(root, path), text);
const commit = (): string => git('commit', '--quiet', '--all', '--message', 'x: y');

/** As helm would: the manifests have the version of the chart. */
function generate(): ReturnType<ReleaseOptions['generate']> {
  const [version = ''] = versionsIn(
    'charts/priority-path-csi/Chart.yaml',
    read('charts/priority-path-csi/Chart.yaml'),
  );
  write(MANIFESTS, read(MANIFESTS).replace(GENERATED[MANIFESTS]!, version));
  return ok(undefined);
}

function prepare(
  wanted?: string,
  more: Partial<ReleaseOptions> = {},
): ReturnType<typeof prepareRelease> {
  const options = { root, wanted, date: '2027-01-02', dryRun: false, generate };
  return prepareRelease({ ...options, ...more });
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'release-'));
  for (const path of ALL) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    cpSync(join(source, path), join(root, path));
  }
  write(
    CHANGELOG,
    '# Changelog\n\n## [Unreleased]\n\n### Added\n\n- a thing\n\n## [0.0.9] - 2026-01-01\n\n- older\n',
  );
  git('init', '--quiet');
  git('add', '.');
  commit();
});
afterEach(() => rmSync(root, { recursive: true }));

describe('a release', () => {
  it('has one version everywhere, a dated section, and room for what comes next', () => {
    const prepared = prepare('9.8.7');
    expect(prepared).toMatchObject({ ok: true, value: { version: '9.8.7' } });
    const changed = git('diff', '--name-only').trim().split('\n');
    expect(changed.sort()).toEqual([...ALL].sort());
    expect(prepared.ok && [...prepared.value.files].sort()).toEqual(changed);
    for (const path of ALL.filter((one) => one !== CHANGELOG)) {
      expect([...new Set(versionsIn(path, read(path)))]).toEqual(['9.8.7']);
    }
    expect(read(CHANGELOG)).toContain(
      '# Changelog\n\n## [Unreleased]\n\n## [9.8.7] - 2027-01-02\n\n### Added\n\n- a thing\n\n## [0.0.9]',
    );
    expect(JSON.parse(read('package-lock.json'))).toMatchObject({ version: '9.8.7' });
  });

  it('of the version that waits needs no name', () => {
    const [now = ''] = versionsIn('package.json', read('package.json'));
    write(CHANGELOG, `## [${now}] - unreleased\n\n- a thing\n`);
    commit();
    const what = { ok: true, value: { version: now, files: [CHANGELOG] } };
    expect(prepare(undefined, { dryRun: true })).toEqual(what);
    expect(prepare()).toEqual(what);
    expect(read(CHANGELOG)).toBe(`## [Unreleased]\n\n## [${now}] - 2027-01-02\n\n- a thing\n`);
  });

  it('says what is left, with the version in every command', () => {
    const left = whatIsLeft('9.8.7');
    for (const part of [
      '"release: 9.8.7"',
      'tag -a v9.8.7',
      'csi:9.8.7 --push',
      '-9.8.7.tgz',
      '[9.8.7]',
    ]) {
      expect(left).toContain(part);
    }
  });

  it('dry, says what it would change and changes nothing', () => {
    const prepared = prepare('9.8.7', { dryRun: true });
    expect(prepared.ok && [...prepared.value.files].sort()).toEqual([...ALL].sort());
    expect(git('status', '--porcelain')).toBe('');
  });
});

describe('refused, with the tree as it was', () => {
  const refused = (
    wanted: string | undefined,
    why: RegExp,
    more: Partial<ReleaseOptions> = {},
  ): void => {
    const before = git('status', '--porcelain');
    const prepared = prepare(wanted, more);
    expect(prepared.ok ? '' : prepared.error).toMatch(why);
    expect(git('status', '--porcelain')).toBe(before);
  };

  it('a tree that is not clean, untracked files too', () => {
    write('left-over', '');
    refused('9.8.7', /not clean: commit or remove these first\n\?\? left-over/);
  });

  it('no version that waits', () =>
    refused(undefined, /no version waits for its release: name one/));
  it('a version that has a section', () => refused('0.0.9', /0\.0\.9 is older than/));
  it('a word that is no version', () => refused('soon', /"soon": expected a version like 1\.2\.3/));

  it('a tag that is there', () => {
    git('tag', 'v9.8.7');
    refused('9.8.7', /there is a tag v9\.8\.7 already/);
  });

  it('a section without a change', () => {
    write(CHANGELOG, '## [Unreleased]\n\n## [0.0.9] - 2026-01-01\n\n- older\n');
    commit();
    refused('9.8.7', /lists no change/);
  });

  it('a copy that is not found any more', () => {
    write('charts/priority-path-csi/Chart.yaml', 'name: x\n');
    commit();
    refused('9.8.7', /Chart\.yaml: no version found to replace/);
  });

  it('manifests that cannot be made, or come out with another version', () => {
    refused('9.8.7', /no helm/, { generate: () => err('no helm') });
    refused('9.8.7', /left another version in deploy/, { generate: () => ok(undefined) });
  });
});

describe('versions', () => {
  it.each([
    ['0.9.3', 'patch', '0.9.4'],
    ['0.9.3', 'minor', '0.10.0'],
    ['0.9.3', 'major', '1.0.0'],
    ['0.9.3', '0.10.0', '0.10.0'],
    ['0.9.3', '0.9.3', '0.9.3'],
  ])('%s, %s: %s', (current, wanted, next) => {
    expect(nextVersion(current, wanted)).toEqual(ok(next));
  });

  it.each(['0.9.2', '0.1.0'])('%s is older than 0.9.3', (wanted) => {
    expect(nextVersion('0.9.3', wanted).ok).toBe(false);
  });

  it('one that is dated is not released again', () => {
    const text = '## [Unreleased]\n\n- new\n\n## [1.0.0] - 2026-01-01\n\n- old\n';
    expect(withDate(text, '1.0.0', '2027-01-02')).toMatchObject({ ok: false });
    expect(withDate('## [1.0.0] - 2026-01-01\n\n- old\n', '1.0.0', '2027-01-02').ok).toBe(false);
  });
});
