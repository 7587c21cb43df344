/** A copy of the policy is noticed, by the lint rule as it is configured for the product. */
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { describe, expect, it } from 'vitest';

const root = new URL('../../..', import.meta.url).pathname;
/** The rule needs no types, and a snippet has none. */
const eslint = new ESLint({
  cwd: root,
  overrideConfigFile: `${root}test/tooling/eslint.config.js`,
  overrideConfig: [
    tseslint.configs.disableTypeChecked,
    { languageOptions: { parserOptions: { projectService: false, project: false } } },
  ],
});

async function copies(code: string, file = 'src/volume/io/a.ts'): Promise<(string | undefined)[]> {
  const [result] = await eslint.lintText(code, { filePath: `${root}${file}` });
  return (result?.messages ?? [])
    .filter(({ ruleId, fatal }) => ruleId === 'one-policy/one-policy' || fatal === true)
    .map(({ messageId, message }) => messageId ?? message);
}

describe('a copy is noticed:', () => {
  it.each([
    ['a policy in an interface', 'interface Options { readonly policy: Policy }', 'kept'],
    ['some of it', "interface Options { readonly times: Pick<Policy, 'ioDeadlineMs'> }", 'kept'],
    ['a policy in a type', 'type Options = { readonly policy: Policy | undefined };', 'kept'],
    ['a policy in a field', 'class Watch { #policy: Policy; }', 'kept'],
    [
      'a value in a field',
      'class Watch { constructor(policy) { this.ms = policy().ioMs; } }',
      'kept',
    ],
    ['a value from the start', 'class Watch { ms = this.options.policy().ioMs / 2; }', 'kept'],
    ['a value of a parameter', 'class A { a(policy: Policy) { this.#ms = policy.ioMs; } }', 'kept'],
    [
      'a value by way of a name',
      'class A { a() { const { ms } = policy(); this.#ms = ms; } }',
      'kept',
    ],
    ['a value for a part', 'const watch = new Watch(clock, policy().ioMs);', 'handed'],
    ['values for a part', 'const watch = new Watch({ clock, ms: this.#policy().ioMs });', 'handed'],
    ['getters', 'const times = { get ioMs() { return policy().ioMs; } };', 'getter'],
    [
      'a function with a value',
      'function f() { const { ioMs } = policy(); return () => now() > ioMs; }',
      'closed',
    ],
    [
      'a function with a policy',
      'function f() { const now = this.#options.policy(); clock.after(1, () => g(now.ioMs)); }',
      'closed',
    ],
    ['the policy of the start', 'const ms = options.policy.ioMs;', 'start'],
  ])('%s', async (_, code, how) => {
    expect(await copies(code)).toEqual([how]);
  });

  it('in the controller too', async () => {
    const code = 'interface State { readonly policy: Policy }';
    expect(await copies(code, 'src/paths/a.ts')).toEqual(['kept']);
  });
});

describe('is read when it is needed:', () => {
  it.each([
    ['a question', "interface Options { readonly policy: () => Pick<Policy, 'ioMs'> }"],
    ['an argument', 'function period(path: PathState, policy: Policy) { return 2 * policy.ioMs; }'],
    [
      'what one call is given',
      'interface Terms { readonly policy: Policy; readonly now: Instant }',
    ],
    ['a value for one statement', 'function f() { const { ioMs } = policy(); wait(ioMs); }'],
    [
      'a value for each',
      'function f() { const now = policy(); return all.filter((a) => a > now.ioMs); }',
    ],
    [
      'a function that reads',
      'const part = new Part({ isFloating: () => policy().portals === "x" });',
    ],
    ['a getter of a part', 'class Part { get limit() { return this.#policy().ioMs; } }'],
    ['what is handed on', 'const part = new Part({ clock, policy: this.policy });'],
  ])('%s', async (_, code) => {
    expect(await copies(code)).toEqual([]);
  });

  it('other rooms may have a policy of their own', async () => {
    expect(await copies('interface A { readonly policy: Policy }', 'src/csi/a.ts')).toEqual([]);
  });
});
