/**
 * The version of the product: package.json has it, everything else is a copy. The program asks
 * package.json when it starts, the image has it built in (build.ts). `npm run release` (release.ts) writes
 * the copies, a test compares them. Pure.
 */
import { err, ok, type Result } from '../../src/base/result.ts';

/** The one place. */
export const SOURCE = 'package.json';

/** The manifests are made of it. */
export const CHART = 'charts/priority-path-csi/Chart.yaml';

const IMAGE_TAG = /(?<=\bpriority-path-csi:)\d+\.\d+\.\d+/g;

/** Files with the version in them: what matches is the version alone. */
export const COPIES: Readonly<Record<string, RegExp>> = {
  [SOURCE]: /(?<=^ {2}"version": ")[^"]+/gm,
  'package-lock.json':
    /(?<=^ {2}"version": "|^ {6}"name": "priority-path-csi",\n {6}"version": ")[^"]+/gm,
  [CHART]: /(?<=^(?:version|appVersion): ).+$/gm,
  'README.md': IMAGE_TAG,
  'deploy/README.md': IMAGE_TAG,
  'deploy/Dockerfile': IMAGE_TAG,
};

/** Made from the chart by `npm run deploy:gen`. */
export const GENERATED: Readonly<Record<string, RegExp>> = {
  'deploy/priority-path-csi.yaml': new RegExp(
    `(?<=app\\.kubernetes\\.io/version: ")[^"]+|${IMAGE_TAG.source}`,
    'g',
  ),
};

export const CHANGELOG = 'CHANGELOG.md';

/** Every version that the file says, of a file of the tables above. */
export function versionsIn(path: string, text: string): readonly string[] {
  const pattern = COPIES[path] ?? GENERATED[path];
  return pattern === undefined ? [] : [...text.matchAll(pattern)].map(([version]) => version);
}

export function withVersion(path: string, text: string, version: string): Result<string, string> {
  const pattern = COPIES[path];
  if (pattern === undefined || versionsIn(path, text).length === 0) {
    return err(`${path}: no version found to replace; mend COPIES in test/tooling/versions.ts`);
  }
  return ok(text.replace(pattern, version));
}

const SEMANTIC = /^(\d+)\.(\d+)\.(\d+)$/;

/** What is wanted, a version or the part that grows, as a version. */
export function nextVersion(current: string, wanted: string): Result<string, string> {
  const [, major, minor, patch] = (SEMANTIC.exec(current) ?? []).map(Number);
  if (major === undefined || minor === undefined || patch === undefined) {
    return err(`${SOURCE}: "${current}" is no version like 1.2.3`);
  }
  if (wanted === 'major') return ok(`${String(major + 1)}.0.0`);
  if (wanted === 'minor') return ok(`${String(major)}.${String(minor + 1)}.0`);
  if (wanted === 'patch') return ok(`${String(major)}.${String(minor)}.${String(patch + 1)}`);
  if (!SEMANTIC.test(wanted)) {
    return err(`"${wanted}": expected a version like 1.2.3, or major, minor, patch`);
  }
  return wanted.localeCompare(current, 'en', { numeric: true }) < 0
    ? err(`${wanted} is older than ${current}, which ${SOURCE} has`)
    : ok(wanted);
}

interface Section {
  readonly name: string;
  /** Date, or `unreleased`; empty: neither. */
  readonly when: string;
  readonly heading: string;
  readonly body: string;
}

export function sectionsOf(changelog: string): readonly Section[] {
  const headings = [...changelog.matchAll(/^## \[([^\]\n]+)\](?: - (.+))?$/gm)];
  return headings.map(({ 0: heading, 1: name = '', 2: when = '', index }, i) => {
    const body = changelog.slice(index + heading.length, headings[i + 1]?.index);
    return { name, when, heading, body };
  });
}

const OPEN = '## [Unreleased]';

/** The version that waits for its release: the section on top names it and is not dated. */
export function waitingVersion(changelog: string): string | undefined {
  const top = sectionsOf(changelog)[0];
  return top?.when === 'unreleased' ? top.name : undefined;
}

/** Dates what is not released yet as this version, and opens a new section above it. */
export function withDate(changelog: string, version: string, date: string): Result<string, string> {
  const [top, ...rest] = sectionsOf(changelog);
  if (rest.some(({ name }) => name === version)) {
    return err(`${CHANGELOG}: ${version} has a section already: choose another version`);
  }
  if (top === undefined || !(top.heading === OPEN || waitingVersion(changelog) === version)) {
    return err(
      `${CHANGELOG}: the first section must be "${OPEN}" or "## [${version}] - unreleased"`,
    );
  }
  if (!/^- /m.test(top.body)) {
    return err(`${CHANGELOG}: "${top.heading}" lists no change: write down what has changed`);
  }
  return ok(changelog.replace(top.heading, `${OPEN}\n\n## [${version}] - ${date}`));
}
