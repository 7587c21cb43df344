/**
 * `npm run release`: prepares a release in the working tree. The version is set in package.json and in every
 * copy of it, the changelog is dated, the manifests are generated anew. Nothing is committed, tagged or
 * published: what is left to do by hand is printed.
 *
 * It begins with a clean tree only, so that a step that fails can be undone: everything is put back then.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { err, ok, type Result } from '../../src/base/result.ts';
import {
  CHANGELOG,
  CHART,
  COPIES,
  GENERATED,
  nextVersion,
  SOURCE,
  versionsIn,
  waitingVersion,
  withDate,
  withVersion,
} from './versions.ts';

const HELP = `Usage: npm run release -- [--dry-run] [VERSION | major | minor | patch]

Prepares a release in a clean working tree: sets the version in package.json and in its copies, dates
CHANGELOG.md, makes the manifests anew (npm run deploy:gen, which needs helm), and prints what is left to
do by hand. It commits, tags and publishes nothing.

Without VERSION: the one that waits in CHANGELOG.md ("## [1.2.3] - unreleased").

  --dry-run  say what would be changed, and change nothing
  --help     this text

Exit codes: 0 prepared, 1 not possible (stderr says what to do, the tree is as it was), 2 wrong usage.
`;

export interface ReleaseOptions {
  readonly root: string;
  /** A version, or the part that grows; undefined: what waits in the changelog. */
  readonly wanted: string | undefined;
  /** 2026-11-29. */
  readonly date: string;
  readonly dryRun: boolean;
  /** Makes what follows from the files that were written; the text says why it could not. */
  readonly generate: (root: string) => Result<void, string>;
}

export interface Prepared {
  readonly version: string;
  /** Written, or to be written. */
  readonly files: readonly string[];
}

export function prepareRelease(options: ReleaseOptions): Result<Prepared, string> {
  const { root, dryRun } = options;
  const git = (...args: readonly string[]): string =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8' });
  const changes = git('status', '--porcelain').trim();
  if (changes !== '') {
    return err(`the working tree is not clean: commit or remove these first\n${changes}`);
  }
  const plan = planRelease(options);
  if (!plan.ok) return plan;
  const { version, texts } = plan.value;
  if (git('tag', '--list', `v${version}`).trim() !== '') {
    return err(`there is a tag v${version} already: choose another version`);
  }
  const files = [...texts.keys()];
  if (dryRun) {
    const follow = texts.has(CHART) ? Object.keys(GENERATED) : [];
    return ok({ version, files: [...files, ...follow] });
  }
  for (const [path, text] of texts) writeFileSync(join(root, path), text);
  const made = options.generate(root);
  const stale = made.ok ? staleOf(root, version) : [];
  if (made.ok && stale.length === 0) {
    return ok({ version, files: git('diff', '--name-only').trim().split('\n') });
  }
  // The tree was clean: what is different now is ours.
  git('restore', '.');
  return err(
    made.ok ? `npm run deploy:gen left another version in ${stale.join(', ')}` : made.error,
  );
}

interface Plan {
  readonly version: string;
  /** Path → text as it is to be, of files that change. */
  readonly texts: ReadonlyMap<string, string>;
}

function planRelease({ root, wanted, date }: ReleaseOptions): Result<Plan, string> {
  const read = (path: string): string => readFileSync(join(root, path), 'utf8');
  const changelog = read(CHANGELOG);
  const asked = wanted ?? waitingVersion(changelog);
  if (asked === undefined) {
    return err(`${CHANGELOG}: no version waits for its release: name one, or major, minor, patch`);
  }
  const version = nextVersion(versionsIn(SOURCE, read(SOURCE))[0] ?? '', asked);
  if (!version.ok) return version;
  const dated = withDate(changelog, version.value, date);
  if (!dated.ok) return dated;
  const texts = new Map([[CHANGELOG, dated.value]]);
  for (const path of Object.keys(COPIES)) {
    const before = read(path);
    const after = withVersion(path, before, version.value);
    if (!after.ok) return after;
    if (after.value !== before) texts.set(path, after.value);
  }
  return ok({ version: version.value, texts });
}

function staleOf(root: string, version: string): readonly string[] {
  return Object.keys(GENERATED).filter((path) =>
    versionsIn(path, readFileSync(join(root, path), 'utf8')).some((found) => found !== version),
  );
}

export function whatIsLeft(version: string): string {
  const image = `docker.io/prioritypath/priority-path-csi:${version}`;
  return `What is left to do by hand:

  1. read the changes     git diff
  2. check everything     .ci/run
  3. commit and tag       git commit -am "release: ${version}"
                          git tag -a v${version} -m "priority-path-csi ${version}"
  4. push both            git push origin HEAD v${version}
  5. publish the image    docker buildx build -f deploy/Dockerfile --platform linux/amd64,linux/arm64 \\
                            -t ${image} --push .
  6. publish the chart    helm package charts/priority-path-csi
                          helm push priority-path-csi-${version}.tgz oci://REGISTRY
  7. announce it          the notes are the section [${version}] of ${CHANGELOG}

To undo it all before the commit: git restore .
`;
}

function deployGen(root: string): Result<void, string> {
  const done = spawnSync('npm', ['run', '--silent', 'deploy:gen'], { cwd: root, encoding: 'utf8' });
  if (done.status === 0) return ok(undefined);
  const why = done.error?.message ?? done.stderr.trim();
  return err(
    `npm run deploy:gen failed; \`npm run test:chart\` builds the helm that it needs\n${why}`,
  );
}

function main(args: readonly string[]): number {
  const fail = (code: number, text: string): number => {
    process.stderr.write(`release: ${text}\n`);
    return code;
  };
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      options: { 'dry-run': { type: 'boolean' }, help: { type: 'boolean' } },
      allowPositionals: true,
    });
  } catch (error) {
    return fail(2, error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  if (positionals.length > 1) return fail(2, 'one version at most; --help says more');
  const dryRun = values['dry-run'] === true;
  const prepared = prepareRelease({
    root: new URL('../..', import.meta.url).pathname,
    wanted: positionals[0],
    date: new Date().toISOString().slice(0, 10),
    dryRun,
    generate: deployGen,
  });
  if (!prepared.ok) return fail(1, prepared.error);
  const { version, files } = prepared.value;
  const said = dryRun ? `${version}: would change` : `${version} is prepared. Changed`;
  process.stdout.write(`${said} ${files.join(', ')}\n\n${dryRun ? '' : whatIsLeft(version)}`);
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
