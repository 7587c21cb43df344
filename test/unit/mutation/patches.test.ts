/** Source patches change exactly what they name, or nothing runs. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  PATCHES,
  type Patch,
  patchedFiles,
  patchedSource,
  patchesNamed,
} from '../../mutation/patches.ts';

const root = new URL('../../../', import.meta.url);
const run = promisify(execFile);

function patch(was: string, file = 'a.ts'): Patch {
  return { name: 'x', what: '', edits: [{ file, was, is: 'NEW' }] };
}

describe('source patches', () => {
  it('replace the one place they name, in their file only', () => {
    expect(patchedSource('a.ts', 'one two three', [patch('two')])).toBe('one NEW three');
    expect(patchedSource('b.ts', 'one two three', [patch('two')])).toBe('one two three');
  });

  it('keep what looks like a replacement pattern as it is', () => {
    const edits = [{ file: 'a.ts', was: 'two', is: '$& $1' }];
    expect(patchedSource('a.ts', 'one two', [{ name: 'x', what: '', edits }])).toBe('one $& $1');
  });

  it('are an error when their text is gone or stands there twice', () => {
    expect(() => patchedSource('a.ts', 'one', [patch('two')])).toThrow(/drifted.* 0 times/);
    expect(() => patchedSource('a.ts', 'two two', [patch('two')])).toThrow(/drifted.* 2 times/);
  });

  it('are an error by a name that there is not, which says those there are', () => {
    expect(() => patchesNamed(['fence', 'fense'])).toThrow(/"fense".*fence, order/);
  });

  it.each(PATCHES.map(({ name }) => name))('%s fits the product code of today', (name) => {
    const patches = patchesNamed([name]);
    for (const file of patchedFiles(patches)) {
      const source = readFileSync(new URL(file, root), 'utf8');
      expect(patchedSource(file, source, patches)).not.toBe(source);
    }
  });
});

describe('the module hook', () => {
  const node = (patches: string, code: string): Promise<{ stdout: string }> => {
    const args = ['--import', './test/mutation/register.ts', '--input-type=module', '-e', code];
    const env = { ...process.env, SOURCE_PATCHES: patches, NODE_OPTIONS: '' };
    return run(process.execPath, args, { cwd: root, env });
  };
  /** What a failed volume answers a request. */
  const code = `
    const { Dispatcher } = await import('./src/volume/io/dispatch.ts');
    const clock = { now: () => 0, after: (_, run) => run() };
    const dispatcher = new Dispatcher(clock, () => undefined, () => undefined);
    dispatcher.fail();
    dispatcher.submit({ kind: 'flush', offset: 0, length: 0, done: (e) => console.log(String(e)) });`;

  it('runs the patched code in the process that asks for it, and only there', async () => {
    expect((await node('latch', code)).stdout).toBe('undefined\n');
    expect((await node('', code)).stdout).toBe('EIO\n');
  });

  it('ends the process for a name that there is not', async () => {
    await expect(node('latches', code)).rejects.toThrow(/no patch is called "latches"/);
  });
});
