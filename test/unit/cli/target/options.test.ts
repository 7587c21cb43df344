/** Words, CHAP files and names of the commands that ask targets. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { probeCommand } from '../../../../src/cli/target/probe.ts';
import { discoverCommand } from '../../../../src/cli/target/discover.ts';
import { inquiryCommand } from '../../../../src/cli/target/inquiry-command.ts';
import { helpOf, readOptions, type TargetOptions } from '../../../../src/cli/target/options.ts';
import { randomIsid } from '../../../../src/cli/target/ask-target.ts';
import { fakeIo } from '../fake-io.ts';

const WORDS = { name: 'probe', subject: 'URL', help: 'Help.', switches: { luns: 'list them' } };
const LINES = [
  '# who',
  '',
  'node.session.auth.username = alice',
  'node.session.auth.password=a = b ',
];

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'options-'));
  file = join(dir, 'chap');
  await writeFile(file, LINES.join('\n'), { mode: 0o600 });
});
afterEach(() => rm(dir, { recursive: true }));

async function read(args: string[], env: Record<string, string> = {}): Promise<TargetOptions> {
  const words = ['subject', '--state-dir', dir, ...args];
  const options = await readOptions(WORDS, words, fakeIo({ env }));
  if (!options.ok || options.value === 'help') throw new Error(JSON.stringify(options));
  return options.value;
}

async function problem(args: string[], env: Record<string, string> = {}): Promise<string> {
  const options = await readOptions(WORDS, args, fakeIo({ env }));
  if (options.ok) throw new Error('it was accepted');
  return options.error;
}

describe('CHAP', () => {
  it('comes from a file with the keys of a Secret', async () => {
    const { credentials } = await read(['--chap-file', file]);
    expect(credentials).toEqual({ initiator: { name: 'alice', secret: 'a = b' } });
  });

  it('comes from the environment where there is no file', async () => {
    const env = {
      PRIORITY_PATH_CHAP_USERNAME: 'alice',
      PRIORITY_PATH_CHAP_PASSWORD: 'one',
      PRIORITY_PATH_CHAP_USERNAME_IN: 'disk',
      PRIORITY_PATH_CHAP_PASSWORD_IN: 'two',
    };
    expect((await read([], env)).credentials).toEqual({
      initiator: { name: 'alice', secret: 'one' },
      target: { name: 'disk', secret: 'two' },
    });
    expect((await read(['--chap-file', file], env)).credentials?.target).toBeUndefined();
    expect((await read([])).credentials).toBeUndefined();
    expect(await problem(['x'], { PRIORITY_PATH_CHAP_USERNAME: 'alice' })).toContain('password');
  });

  it.each([0o640, 0o604, 0o644])('a file of mode %o is refused', async (mode) => {
    await chmod(file, mode);
    expect(await problem(['x', '--chap-file', file])).toMatch(/mode 06.*chmod 0600/);
  });

  it.each([
    ['is not there', ['--chap-file', '/nonexistent'], 'ENOENT'],
    ['has no pair', [], 'no node.session.auth.username'],
  ])('a file that %s is refused', async (_what, args, text) => {
    await writeFile(file, '# nothing\n');
    expect(await problem(['x', '--chap-file', file, ...args])).toContain(text);
  });

  it('a line that is none is named by its number, not repeated', async () => {
    await writeFile(file, 'node.session.auth.username = alice\nhunter2\n');
    expect(await problem(['x', '--chap-file', file])).toMatch(/line 2: expected key = value$/);
  });

  it.each([
    ['--chap-password', 'hunter2'],
    ['--chap-password=hunter2'],
    ['--password', 'hunter2'],
    ['--chap-secret=hunter2'],
    ['--chap-password-in=hunter2'],
  ])('%s on the command line is refused with the reason, never repeated', async (...words) => {
    const text = await problem(['x', ...words]);
    expect(text).toContain('every user of this machine can read a command line');
    expect(text).toContain('--chap-file');
    expect(text).not.toContain('hunter2');
  });
});

describe('who asks', () => {
  it('is the node of the pathd here, unless said otherwise, else a name of no node', async () => {
    const anybody = 'iqn.2026-01.io.prioritypath:cli';
    expect((await read([])).initiatorName).toBe(anybody);
    await mkdir(dir, { recursive: true });
    const node = { version: 1, initiatorName: 'iqn.2026-01.x:n', lastIsid: 0, isids: {} };
    await writeFile(join(dir, 'node.json'), JSON.stringify(node));
    expect((await read([])).initiatorName).toBe('iqn.2026-01.x:n');
    expect((await read([], { INITIATOR_NAME: 'iqn.2026-01.x:e' })).initiatorName).toMatch(/:e$/);
    const said = ['--initiator-name', 'iqn.2026-01.x:s'];
    expect((await read(said)).initiatorName).toBe('iqn.2026-01.x:s');
    expect(await problem(['x', '--initiator-name', 'me'])).toContain('expected iqn.');
  });

  it('never has an ISID of pathd: random, and the qualifier is not 0', () => {
    const isids = Array.from({ length: 200 }, randomIsid);
    for (const isid of isids) {
      expect(isid).toMatch(/^80[0-9a-f]{10}$/);
      expect(isid.slice(8)).not.toBe('0000');
    }
    expect(new Set(isids).size).toBe(isids.length);
  });
});

describe('words', () => {
  it('have defaults, and switches are sets', async () => {
    expect(await read([])).toMatchObject({ subject: 'subject', timeoutMs: 5000, json: false });
    const given = await read(['--timeout', '0.5', '-o', 'json', '--luns']);
    expect(given).toMatchObject({ timeoutMs: 500, json: true });
    expect([...given.switches]).toEqual(['luns']);
  });

  it.each([
    [[], 'expected: probe URL'],
    [['a', 'b'], 'expected: probe URL'],
    [['a', '--timeout', '0'], '--timeout'],
    [['a', '--timeout', 'x'], '--timeout'],
    [['a', '-o', 'yaml'], 'expected text or json'],
    [['a', '--nonsense'], '--nonsense'],
  ])('%j is wrong usage', async (args, text) => {
    expect(await problem(args)).toContain(text);
  });

  it.each([
    [probeCommand(), ['iscsi://alice:hunter2@10.0.0.1/iqn.2026-01.x:y/1'], 'without credentials'],
    [probeCommand(), ['10.0.0.1'], 'expected iscsi://'],
    [inquiryCommand(), ['iscsi://10.0.0.1/nonsense/1'], 'target name'],
    [discoverCommand(), ['10.0.0.1:99999'], 'port'],
    [discoverCommand(), ['2001:db8::1'], 'in brackets'],
  ])('a subject that is none exits with 2: %#', async (command, args, text) => {
    const io = fakeIo();
    expect(await command.run(args, io)).toBe(2);
    expect(io.err()).toContain(text);
    expect(io.err()).not.toContain('hunter2');
  });

  it.each([discoverCommand(), probeCommand(), inquiryCommand()])(
    '--help says options, CHAP and exit codes: $name',
    async (command) => {
      const io = fakeIo();
      expect(await command.run(['--help'], io)).toBe(0);
      for (const word of ['Usage', '--chap-file', 'PRIORITY_PATH_CHAP_PASSWORD', 'Exit codes']) {
        expect(io.out()).toContain(word);
      }
      expect(
        io
          .out()
          .split('\n')
          .filter((line) => line.length > 100),
      ).toEqual([]);
    },
  );

  it('help is made of the words', () => {
    expect(helpOf(WORDS)).toContain('--luns                list them');
  });
});
