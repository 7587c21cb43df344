/** CHAP secrets of attached volumes: where they are kept, and that they are kept nowhere else. */
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { LogFields } from '../../../src/base/log.ts';
import { ChapBook } from '../../../src/pathd/chap-book.ts';

const ONE_WAY = {
  initiatorName: 'alice',
  initiatorSecret: 'correct horse',
  targetName: '',
  targetSecret: '',
};
const MUTUAL = { ...ONE_WAY, targetName: 'disk', targetSecret: 'battery staple' };
const CREDENTIALS = {
  initiator: { name: 'alice', secret: 'correct horse' },
  target: { name: 'disk', secret: 'battery staple' },
};

let parent: string;
let dir: string;
let logged: string[];
const say = (fields: LogFields, message: string): void =>
  void logged.push(`${message} ${JSON.stringify(fields)}`);
const log = { debug: say, info: say, warn: say, error: say };

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'chap-'));
  dir = join(parent, 'secrets');
  logged = [];
});
afterEach(async () => {
  expect(logged.join()).not.toMatch(/horse|staple/);
  await rm(parent, { recursive: true });
});

const open = (inMemory = true): Promise<ChapBook> => ChapBook.open(dir, log, async () => inMemory);

it('what was kept is what the next process logs in with', async () => {
  const book = await open();
  await book.use('v', MUTUAL);
  await book.keep('v');
  const next = await open();
  expect(next.credentials('v')).toBeUndefined();
  await next.use('v', undefined);
  expect(next.credentials('v')).toEqual(CREDENTIALS);
});

it('only the owner may read it, also where the directory was there before', async () => {
  await mkdir(dir);
  await chmod(dir, 0o755);
  const book = await open();
  await book.use('v', ONE_WAY);
  await book.keep('v');
  expect((await stat(dir)).mode & 0o777).toBe(0o700);
  expect((await stat(join(dir, 'v.json'))).mode & 0o777).toBe(0o600);
});

it('nothing is written where that would be a disk, and that is told', async () => {
  const book = await open(false);
  await book.use('v', ONE_WAY);
  await book.keep('v');
  expect(book.credentials('v')).toEqual({ initiator: CREDENTIALS.initiator });
  expect(await readdir(dir)).toEqual([]);
  expect(logged.join()).toContain('not on tmpfs');
});

it('only tmpfs and ramfs count as memory, as the system names them', async () => {
  const repository = fileURLToPath(new URL('../../../', import.meta.url));
  const types: string[] = [];
  for (const base of ['/dev/shm', tmpdir(), repository]) {
    const place = await mkdtemp(join(base, '.chap-'));
    const type = execFileSync('stat', ['-f', '-c', '%T', place], { encoding: 'utf8' }).trim();
    const book = await ChapBook.open(place, log);
    await book.use('v', ONE_WAY);
    await book.keep('v');
    const files = await readdir(place);
    await rm(place, { recursive: true });
    const isMemory = type === 'tmpfs' || type === 'ramfs';
    expect({ base, type, files }).toEqual({ base, type, files: isMemory ? ['v.json'] : [] });
    types.push(type);
  }
  expect(types[0]).toBe('tmpfs');
});

it('a detached volume leaves nothing, one without CHAP neither', async () => {
  const book = await open();
  await book.use('v', ONE_WAY);
  await book.keep('v');
  await book.forget('v');
  expect([book.credentials('v'), await readdir(dir)]).toEqual([undefined, []]);
  await book.forget('v');
  await book.use('v', ONE_WAY);
  await book.keep('v');
  await book.use('v', { ...ONE_WAY, initiatorName: '' });
  await book.keep('v');
  expect([book.credentials('v'), await readdir(dir)]).toEqual([undefined, []]);
});

it.each([
  ['is cut', (text: string) => text.slice(0, 40)],
  ['is of another volume', (text: string) => text.replace('"v"', '"w"')],
  ['has half a pair', (text: string) => text.replace('"name":"disk",', '')],
])('a file that %s is not used, and nothing of it is logged', async (_what, damage) => {
  const book = await open();
  await book.use('v', MUTUAL);
  await book.keep('v');
  const file = join(dir, 'v.json');
  await writeFile(file, damage(await readFile(file, 'utf8')));
  const next = await open();
  await next.use('v', null);
  expect(next.credentials('v')).toBeUndefined();
  expect(logged.join()).toContain(file);
});

it('a place that cannot be made fails nothing', async () => {
  await writeFile(dir, '');
  const book = await open();
  await book.use('v', ONE_WAY);
  await book.keep('v');
  expect(book.credentials('v')).toBeDefined();
});
