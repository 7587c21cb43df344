/**
 * Test tiers: unit and property run anywhere; chart needs helm; interop and kernel need root, real
 * targets, loop, FUSE.
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
        test: { name: 'chart', include: ['test/chart/**/*.test.ts'], testTimeout: 60_000 },
      },
      { root, test: { name: 'interop', include: ['test/interop/**/*.test.ts'], ...alone } },
      { root, test: { name: 'kernel', include: ['test/kernel/**/*.test.ts'], ...alone } },
    ],
  },
});
