/** A pathd that is started in another state directory than the one before it. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RecordsMark } from '../../../src/pathd/records-mark.ts';
import { fileVolumeStore } from '../../../src/pathd/volume-store.ts';
import { emptyRecord } from '../../../src/volume/record/record.ts';

const log = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };

let dir: string;
const at = (name: string): string => join(dir, name);
const mark = (name: string): RecordsMark => new RecordsMark(at('run'), at(name), log);
const file = (): string => at('run.state-dir');
const refusalOf = async (name: string): Promise<string | undefined> => {
  const opened = await mark(name).open();
  return opened.ok ? undefined : opened.error;
};

/** Records of a pathd that has run there. */
async function ran(name: string, mayHoldWrites: readonly string[] = []): Promise<void> {
  mkdirSync(at(name), { recursive: true });
  writeFileSync(join(at(name), 'node.json'), '{}');
  await fileVolumeStore(at(name), 'v').save({ ...emptyRecord('v'), mayHoldWrites });
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'records-mark-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

test('the same directory, or one after a clean end, is good', async () => {
  await ran('a');
  expect(await refusalOf('a')).toBeUndefined();
  expect(await refusalOf('a')).toBeUndefined();
  await mark('a').close();
  expect(existsSync(file())).toBe(false);
  expect(await refusalOf('b')).toBeUndefined();
});

test('another one is refused while targets may have something, with both places and the way out', async () => {
  await ran('a', ['p0']);
  await mark('a').open();
  await mark('a').close();
  const refusal = await refusalOf('b');
  expect(refusal).toContain(
    `are in ${at('a')}, and this pathd was started with --state-dir=${at('b')}`,
  );
  expect(refusal).toMatch(
    /Go back to the former setting.*drain the node first.*remove .*run\.state-dir/,
  );
  expect(existsSync(at('b'))).toBe(false);
  expect(await refusalOf('a')).toBeUndefined();
});

test('one that was killed with nothing attached stands in the way of nobody who can see it', async () => {
  await ran('a');
  await mark('a').open();
  expect(await refusalOf('b')).toBeUndefined();
});

test('in a pod the former directory is not to be seen: nobody can say, so it is refused', async () => {
  await mark('a').open();
  expect(await refusalOf('b')).toContain(`are in ${at('a')}`);
});
