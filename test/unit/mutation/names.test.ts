/**
 * A patch that names what its file does not know ends with a ReferenceError: that is found at once, and proves
 * nothing about the rule that the patch is to switch off.
 */
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { expect, it, test } from 'vitest';
import { MUTATIONS } from '../../mutation/mutations.ts';
import { type Patch, patchedFiles, patchedSource, PATCHES } from '../../mutation/patches.ts';

const root = new URL('../../../', import.meta.url).pathname;
/** Types of the language that a patch uses. */
const OF_THE_LANGUAGE = new Set(['Awaited']);

interface Names {
  readonly all: ReadonlySet<string>;
  /** Neither a member nor a key, nor declared in the text. */
  readonly free: readonly string[];
}

function namesOf(text: string): Names {
  const [all, used, declared] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      all.add(node.text);
      const { parent } = node;
      if (!('name' in parent) || parent.name !== node) used.add(node.text);
      else if (!ts.isPropertyAccessExpression(parent)) declared.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('text.ts', text, ts.ScriptTarget.Latest, true));
  return { all, free: [...used].filter((name) => !declared.has(name)) };
}

/** Names that a patch brings into a file which knew nothing of the kind. */
function unknownNames(patch: Patch, read: (file: string) => string): string[] {
  return [...patchedFiles([patch])].flatMap((file) => {
    const before = namesOf(read(file)).all;
    return namesOf(patchedSource(file, read(file), [patch])).free.filter(
      (name) => !before.has(name) && !(name in globalThis) && !OF_THE_LANGUAGE.has(name),
    );
  });
}

const all: readonly Patch[] = [...MUTATIONS, ...PATCHES];

test.each(all.map((one) => [one.name, one] as const))('%s names only what is there', (_, patch) => {
  expect(unknownNames(patch, (file) => readFileSync(`${root}${file}`, 'utf8'))).toEqual([]);
});

it('a name that the file has lost is found', () => {
  const edits = [{ file: 'src/a.ts', was: 'b.ms > 0', is: 'times.ms > b.lost' }];
  const patch = { name: 'x', what: '', edits };
  expect(unknownNames(patch, () => 'const x = b.ms > 0;')).toEqual(['times']);
});
