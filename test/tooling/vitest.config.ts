/**
 * Test tiers: unit, property and conformance run anywhere; chart needs helm; interop, kernel and sanity
 * need root, real targets, loop, FUSE; cluster needs all that and Kubernetes, which it builds.
 */
import { defineConfig } from 'vitest/config';

const root = new URL('../..', import.meta.url).pathname;

/** Tiers on real parts run one file at a time: they share two cores and measure time. */
const alone = { fileParallelism: false, testTimeout: 120_000, hookTimeout: 60_000 } as const;

export default defineConfig({
  root,
  test: {
    projects: [
      {
        root,
        // Milliseconds each when alone; the limit is for a machine that verify keeps busy.
        test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 30_000 },
      },
      {
        root,
        test: { name: 'property', include: ['test/property/**/*.test.ts'], testTimeout: 60_000 },
      },
      {
        root,
        test: {
          name: 'conformance',
          include: ['test/conformance/**/*.test.ts'],
          // Seconds when alone: thousands of connections, each cut at another byte.
          testTimeout: 120_000,
        },
      },
      {
        root,
        test: { name: 'chart', include: ['test/chart/**/*.test.ts'], testTimeout: 60_000 },
      },
      { root, test: { name: 'interop', include: ['test/interop/**/*.test.ts'], ...alone } },
      {
        root,
        test: { ...alone, name: 'kernel', include: ['test/kernel/**/*.test.ts'] },
      },
      {
        root,
        test: {
          ...alone,
          name: 'sanity',
          include: ['test/sanity/**/*.test.ts'],
          testTimeout: 600_000,
        },
      },
      {
        root,
        test: {
          ...alone,
          name: 'cluster',
          include: ['test/cluster/**/*.test.ts'],
          testTimeout: 300_000,
          // The first one builds Kubernetes where the cache is empty.
          hookTimeout: 40 * 60_000,
        },
      },
    ],
  },
});
