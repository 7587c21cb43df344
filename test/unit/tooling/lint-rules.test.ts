/**
 * The lint rules that hold up the architecture fire. The configuration that applies to a file is asked
 * for as ESLint computes it; of that the rules which need no type information are run on a snippet.
 */
import { ESLint, Linter } from 'eslint';
import { globSync } from 'node:fs';
import { basename } from 'node:path';
import tseslint from 'typescript-eslint';
import { describe, expect, it } from 'vitest';

const root = new URL('../../..', import.meta.url).pathname;
const eslint = new ESLint({
  cwd: root,
  overrideConfigFile: `${root}test/tooling/eslint.config.js`,
});

async function complaints(file: string, code: string): Promise<string[]> {
  const config = (await eslint.calculateConfigForFile(`${root}${file}`)) as {
    rules: Linter.RulesRecord;
  };
  const core = Object.entries(config.rules).filter(([name]) => !name.includes('/'));
  const messages = new Linter().verify(
    code,
    {
      files: ['**/*.ts'],
      languageOptions: { parser: tseslint.parser },
      rules: Object.fromEntries(core),
    },
    { filename: file },
  );
  return [...new Set(messages.map(({ ruleId }) => ruleId ?? 'syntax'))];
}

const lines = (n: number, text: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => text(i)).join('\n');

const functionOf = (n: number): string =>
  `export function f(): void {\n${lines(n - 2, (i) => `  g(${String(i)});`)}\n}\n`;

describe('sizes', () => {
  it.each([
    [601, ['max-lines']],
    [600, []],
  ])('a file of %i lines, comments included', async (n, expected) => {
    const code = `${lines(n, (i) => (i % 2 ? '// why' : `export const a${String(i)} = 1;`))}\n`;
    expect(await complaints('src/volume/a.ts', code)).toEqual(expected);
  });

  it.each([
    [71, ['max-lines-per-function']],
    [70, []],
  ])('a function of %i lines', async (n, expected) => {
    expect(await complaints('src/csi/a.ts', functionOf(n))).toEqual(expected);
  });

  it('a function of five parameters passes, of six not', async () => {
    const code = (names: string): string => `export const f = (${names}) => [${names}];`;
    expect(await complaints('src/csi/a.ts', code('a, b, c, d, e'))).toEqual([]);
    expect(await complaints('src/csi/a.ts', code('a, b, c, d, e, f'))).toEqual(['max-params']);
  });
});

const PURE = [
  'src/base/a.ts',
  'src/protocol/iscsi/a.ts',
  'src/paths/a.ts',
  'src/kubernetes/contract.ts',
  'src/kubernetes/topology.ts',
];

describe.each([...PURE, 'src/volume/a.ts', 'src/ports/a.ts'])('%s', (file) => {
  it.each([
    ['timers', 'setTimeout(f, 1);', 'no-restricted-globals'],
    ['the environment', 'export const a = process.env;', 'no-restricted-globals'],
    ['the performance clock', 'export const a = performance.now();', 'no-restricted-globals'],
    ['chance', 'export const a = Math.random();', 'no-restricted-properties'],
    ['the wall clock', 'export const a = Date.now();', 'no-restricted-'],
  ])('has no %s', async (_, code, rule) => {
    expect((await complaints(file, code)).join()).toContain(rule);
  });
});

it.each(PURE)('%s makes no dates', async (file) => {
  expect(await complaints(file, 'export const a = new Date();')).toEqual(['no-restricted-globals']);
});

it('the edges may have time and chance', async () => {
  const code = 'setTimeout(f, Math.random() + Date.now());';
  expect(await complaints('src/host/system-clock.ts', code)).toEqual([]);
});

it('the comma operator is refused everywhere', async () => {
  expect(await complaints('src/host/a.ts', 'export const a = (b, c);')).toEqual(['no-sequences']);
});

describe('undefined is not success', () => {
  const refused = ['no-restricted-syntax'];

  it.each([
    ['a function', 'async function f(): Promise<PathFault | undefined> {}'],
    ['a method', 'class A { async #f(): Promise<undefined | StoreError> {} }'],
    ['a port', 'interface A { close(): Promise<TransportFailure | undefined>; }'],
    ['a question', 'interface A { readonly join: () => Promise<GivenUp | undefined>; }'],
    ['words of a function', 'function save(): Promise<string | undefined> {}'],
    ['words of a method', 'class A { #registering(): Promise<string | undefined> {} }'],
    ['words of a port', 'interface A { registering(): Promise<string | undefined>; }'],
    ['words of a question', 'interface A { readonly save: () => Promise<string | undefined>; }'],
    ['words of an arrow', 'const save = async (): Promise<string | undefined> => f();'],
    ['steps that go on', 'const a = (await f()) ?? (await g());'],
  ])('%s', async (_, code) => {
    expect(await complaints('src/volume/a.ts', code)).toEqual(refused);
    expect(await complaints('src/cli/a.ts', code)).toEqual(refused);
  });

  it.each([
    ['a result', 'async function f(): Promise<Result<void, PathFault>> {}'],
    ['a lookup', 'async function f(): Promise<VolumeRecord | undefined> {}'],
    ['a text that is read', 'function readName(): Promise<string | undefined> {}'],
    ['a text that is asked for', 'const askName = (): Promise<string | undefined> => f();'],
    ['a check of a value', 'function nameProblem(name: string): string | undefined {}'],
    ['a default', 'const a = (await f()) ?? 0;'],
  ])('but %s passes', async (_, code) => {
    expect(await complaints('src/volume/a.ts', code)).toEqual([]);
  });
});

it('there is no barrel: no file is named index', () => {
  const files = globSync('{src,test}/**/*.{ts,js,mjs}', { cwd: root });
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => /^index\./.test(basename(file)))).toEqual([]);
});
