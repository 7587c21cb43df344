/**
 * Whoever follows a citation arrives: rules (D1, P1), files and headings that comments and docs of this
 * repository name are there. Each kind of dead citation is planted and found.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type DeadCitation, deadCitations } from '../../tooling/citations.ts';

const root = new URL('../../..', import.meta.url).pathname;
const NOT_OURS = new Set(['.git', 'node_modules', 'dist']);

/** Every text of the repository by its path. */
function repository(): Map<string, string> {
  const tree = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      if (NOT_OURS.has(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile()) tree.set(path, readFileSync(join(root, path), 'utf8'));
    }
  };
  visit('');
  return tree;
}

const words = ({ file, line, citation, why }: DeadCitation): string =>
  `${file}:${String(line)}: ${citation}: ${why}`;

it('no citation of this repository leads nowhere', () => {
  expect(deadCitations(repository()).map(words)).toEqual([]);
});

describe('the rules of src/README.md', () => {
  const text = readFileSync(join(root, 'src/README.md'), 'utf8');
  const rules = [...text.matchAll(/^- \*\*D(\d+) [^*]+\*\*[\s\S]*?(?=\n- \*\*D|\n\n)/gm)];

  it('are numbered one after the other', () => {
    expect(rules.map(([, number]) => Number(number))).toEqual(rules.map((_, i) => i + 1));
    expect(rules.length).toBeGreaterThan(50);
  });

  it('each names what shows it', () => {
    const unshown = rules.filter(
      ([rule]) => !/`(test\/[\w/.-]+\.test\.ts|npm run [\w:]+)`/.test(rule),
    );
    expect(unshown.map(([rule]) => rule)).toEqual([]);
  });
});

/** A small repository; what is planted in it is said of one file. */
const TREE: Readonly<Record<string, string>> = {
  'src/README.md': '# Map\n\n## Rules, all of them\n\n- **D1 First.** One.\n- **D2 Next.** Two.\n',
  'test/property/README.md': '| P1 | one |\n',
  'src/a/one.ts': '',
  'src/a/same.ts': '',
  'src/b/same.ts': '',
  'src/c/deep/only.ts': '',
  'deploy/x.yaml': '',
};

function found(file: string, text: string): string[] {
  const dead = deadCitations(new Map(Object.entries({ ...TREE, [file]: text })));
  return dead.map(({ line, citation, why }) => `${String(line)} ${citation}: ${why}`);
}

describe('a dead citation is found', () => {
  const block = (text: string): string => `/**\n * ${text}\n */\nexport {};\n`;
  it.each([
    ['a rule that is not there', 'as D3 says', '2 D3: no such rule in src/README.md'],
    ['a property that is not there', 'P2 holds', '2 P2: no such rule in test/property/README.md'],
    ['a section of a text that is not here', 'see §4.8', '2 §4: cite a rule of src/README.md'],
    ['the design as such', 'by the design', '2 the design: cite a rule of src/README.md'],
    ['a file', 'see gone.ts', '2 gone.ts: no such file'],
    ['a file of a folder', 'see a/gone.ts', '2 a/gone.ts: no such file'],
    ['a file from the root', 'see src/a/gone.ts', '2 src/a/gone.ts: no such file'],
    ['one of several', 'see {one,gone}.ts', '2 {one,gone}.ts: no such file'],
    ['a pattern that nothing fits', 'see a/g*.ts', '2 a/g*.ts: no such file'],
    ['a folder', 'all of src/gone/', '2 src/gone/: no such file'],
    ['a manifest', 'see deploy/gone.yaml', '2 deploy/gone.yaml: no such file'],
    ['a relative path', 'see ../b/gone.ts', '2 ../b/gone.ts: no such file'],
  ])('in a comment: %s', (_, text, dead) => {
    expect(found('src/a/citing.ts', block(text))).toEqual([dead]);
  });

  it('in a comment at the end of a line', () => {
    expect(found('src/a/citing.ts', 'const x = 1; // D9\n')).toEqual([
      '1 D9: no such rule in src/README.md',
    ]);
  });

  it('a name that two files have, neither of them nearer', () => {
    expect(found('src/c/citing.ts', block('see same.ts'))).toEqual([
      '2 same.ts: which one: src/a/same.ts, src/b/same.ts',
    ]);
  });

  it.each([
    ['[x](gone.md)', '1 gone.md: no such file'],
    [
      '[x](../README.md#nothing)',
      '1 ../README.md#nothing: src/README.md has no heading of that name',
    ],
    ['[x](#nothing)', '1 #nothing: src/a/README.md has no heading of that name'],
    ['the rule D3', '1 D3: no such rule in src/README.md'],
    ['`gone.ts`', '1 gone.ts: no such file'],
  ])('in Markdown: %s', (text, dead) => {
    expect(found('src/a/README.md', `${text}\n`)).toEqual([dead]);
  });

  it('in the comments of YAML and of scripts, and nowhere else in them', () => {
    expect(found('charts/values.yaml', '# see D7\nname: D8\n')).toHaveLength(1);
    expect(found('.ci/run', '# see D7\necho D8\n')).toHaveLength(1);
    expect(found('deploy/Dockerfile', '# see test/gone.ts\nRUN D8\n')).toHaveLength(1);
  });
});

it('what leads somewhere is let pass', () => {
  const text = `/**
 * D1, D2, P1; one.ts beside it, same.ts too, c/deep/only.ts, only.ts, src/b/same.ts, ../b/same.ts,
 * a/{one,same}.ts, a/*.ts, src/a, deploy/x.yaml; node.json and https://x.example/y.ts are not ours.
 */
const name = 'gone.ts, D9'; export {};
`;
  expect(found('src/a/citing.ts', text)).toEqual([]);
  const markdown =
    '[a](../README.md#rules-all-of-them) [b](one.ts) [c](https://x.example/#y) [d](../a)\n' +
    '```\ngone.ts D9\n```\n## Twice\n## Twice\n[e](#twice-1)\n';
  expect(found('src/a/README.md', markdown)).toEqual([]);
});
