/** What is synchronized, and in which order, before a file that must survive a crash counts as written. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { writeWhole } from '../../../src/host/durable-file.ts';

const { steps } = vi.hoisted(() => ({ steps: [] as string[] }));

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>();
  return {
    ...real,
    rename: async (from: string, to: string) => {
      steps.push(`rename ${to}`);
      await real.rename(from, to);
    },
    open: async (...args: Parameters<typeof real.open>) => {
      const handle = await real.open(...args);
      const sync = handle.sync.bind(handle);
      handle.sync = async () => {
        steps.push(`sync ${String(args[0])}`);
        await sync();
      };
      return handle;
    },
  };
});

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'durable-'));
  steps.length = 0;
});
afterEach(() => rm(dir, { recursive: true }));

it('the text before the name, then the directory of the name', async () => {
  const path = join(dir, 'a.json');
  expect(await writeWhole(path, 'text')).toMatchObject({ ok: true });
  expect(steps).toEqual([`sync ${path}.tmp`, `rename ${path}`, `sync ${dir}`]);
  expect(await readFile(path, 'utf8')).toBe('text');
});

it('directories that had to be made, up to the one that was there', async () => {
  const path = join(dir, 'one', 'two', 'a.json');
  expect(await writeWhole(path, 'text')).toMatchObject({ ok: true });
  expect(steps.slice(2)).toEqual([
    `sync ${join(dir, 'one', 'two')}`,
    `sync ${join(dir, 'one')}`,
    `sync ${dir}`,
  ]);
});
