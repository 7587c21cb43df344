/**
 * A named mutation: one rule taken away, and the test that notices. `npm run test:mutation` (main.ts) runs
 * that test with the rule gone and expects it to fail. The invariants P1 … are those of
 * test/property/README.md.
 */
import type { Edit, Patch } from './patches.ts';

export interface Mutation extends Patch {
  /** Test file, and text of the title of the test in it. */
  readonly file: string;
  readonly test: string;
}

export function mutation(
  name: string,
  what: string,
  [file, test]: readonly [string, string],
  ...edits: readonly Edit[]
): Mutation {
  return { name, what, file, test, edits };
}
