/**
 * README.md and deploy/VOLUMES.md show what `kubectl describe` printed in the cluster tier: their blocks
 * are, times and the like masked, pieces of the golden files that the tier compares with the real output.
 * `…` stands for lines that are left out.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { masked } from '../cluster/describe.ts';
import { quickstartCommands } from '../cluster/quickstart.ts';

const root = new URL('../..', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

/** Code blocks of the file in which the text stands: every other piece between fences. */
function blocksWith(text: string, readme: string): string[] {
  const pieces = read(readme).split(/^```.*\n/m);
  return pieces.filter((piece, index) => index % 2 === 1 && piece.includes(text));
}

test.each([
  ['a healthy volume', 'deploy/VOLUMES.md', 'last switch: none', 'describe-healthy.txt'],
  ['a volume that has failed over', 'README.md', 'Warning  FailedOver', 'describe-failed-over.txt'],
])('%s is shown as kubectl describe prints it', (_, readme, mark, file) => {
  const blocks = blocksWith(mark, readme);
  expect(blocks).toHaveLength(1);
  const golden = read(`test/cluster/${file}`);
  for (const piece of masked(blocks[0] ?? '').split(/^…\n/m)) {
    expect(golden).toContain(piece.trimEnd());
  }
});

test('the quickstart has the six commands that its heading promises', () => {
  expect(quickstartCommands()).toHaveLength(6);
});
