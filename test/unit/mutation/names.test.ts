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
  readonly declared: ReadonlySet<string>;
  /** Neither a member nor a key. */
  readonly used: ReadonlySet<string>;
}

/** Whether the name of this node can be used by itself from then on. */
function declares(node: ts.Node): boolean {
  const isMember = ts.isClassElement(node) || ts.isTypeElement(node) || ts.isEnumMember(node);
  return !isMember && !ts.isPropertyAssignment(node) && !ts.isPropertyAccessExpression(node);
}

function namesOf(text: string): Names {
  const [used, declared] = [new Set<string>(), new Set<string>()];
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const { parent } = node;
      const isName = 'name' in parent && parent.name === node;
      const isPart = ts.isQualifiedName(parent) && parent.right === node;
      if (isPart) return;
      if (!isName || ts.isShorthandPropertyAssignment(parent)) used.add(node.text);
      else if (declares(parent)) declared.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('text.ts', text, ts.ScriptTarget.Latest, true));
  return { declared, used };
}

/** Names that a patch brings into a file which knew nothing of the kind. */
function unknownNames(patch: Patch, read: (file: string) => string): string[] {
  return [...patchedFiles([patch])].flatMap((file) => {
    const before = namesOf(read(file));
    const { used, declared } = namesOf(patchedSource(file, read(file), [patch]));
    const isKnown = (name: string): boolean =>
      [before.used, declared, OF_THE_LANGUAGE].some((names) => names.has(name));
    return [...used].filter((name) => !isKnown(name) && !(name in globalThis));
  });
}

const all: readonly Patch[] = [...MUTATIONS, ...PATCHES];

test.each(all.map((one) => [one.name, one] as const))('%s names only what is there', (_, patch) => {
  expect(unknownNames(patch, (file) => readFileSync(`${root}${file}`, 'utf8'))).toEqual([]);
});

it('a name that the file has lost is found, also where a member has it', () => {
  const edits = [{ file: 'src/a.ts', was: 'b.ms > 0', is: 'times.ms > b.lost || ok(1)' }];
  const patch = { name: 'x', what: '', edits };
  expect(unknownNames(patch, () => 'const x = b.ms > 0; if (b.ok) f({ ok: 1 });')).toEqual([
    'times',
    'ok',
  ]);
});
