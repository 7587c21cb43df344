import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StateStore, type StageRecord } from '../../../../src/csi/node/stage-record.ts';

let dir: string;
let store: StateStore;
const file = (): string => join(dir, 'volumes', 'pv-1.json');

const RECORD: StageRecord = {
  version: 1,
  volumeId: 'pv-1',
  phase: 'staged',
  capability: {
    access: { kind: 'mount', fsType: 'xfs', flags: ['noatime'] },
    mode: 'SINGLE_NODE_MULTI_WRITER',
  },
  stagingPath: '/staging',
  device: '/dev/loop3',
  publications: [
    {
      targetPath: '/target',
      readOnly: true,
      capability: { access: { kind: 'block' }, mode: 'MULTI_NODE_MULTI_WRITER' },
    },
  ],
};

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'csi-state-'));
  store = new StateStore(dir);
  await store.open();
});
afterEach(() => rmSync(dir, { recursive: true }));

test('what is written is read back, by another instance too, and only root may read the file', async () => {
  await store.write(RECORD);
  await expect(new StateStore(dir).read('pv-1')).resolves.toEqual(RECORD);
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(dir, 'volumes'))).toEqual(['pv-1.json']);
});

test('no file is no record; removing is idempotent', async () => {
  await expect(store.read('pv-1')).resolves.toBeUndefined();
  await store.remove('pv-1');
  await store.write(RECORD);
  await store.remove('pv-1');
  await store.remove('pv-1');
  await expect(store.read('pv-1')).resolves.toBeUndefined();
});

test('every truncation of a file is an error that names the file and what to do', async () => {
  await store.write(RECORD);
  const text = readFileSync(file(), 'utf8').trimEnd();
  for (let length = 0; length < text.length; length += 7) {
    writeFileSync(file(), text.slice(0, length));
    await expect(store.read('pv-1')).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringMatching(/pv-1\.json is damaged .*delete the file/) as string,
    });
  }
});

test.each([
  ['another volume', { ...RECORD, volumeId: 'pv-2' }],
  ['a newer version', { ...RECORD, version: 2 }],
  ['an unknown phase', { ...RECORD, phase: 'x' }],
  ['no capability', { ...RECORD, capability: undefined }],
  [
    'an unknown filesystem',
    {
      ...RECORD,
      capability: { ...RECORD.capability, access: { kind: 'mount', fsType: 'btrfs', flags: [] } },
    },
  ],
  ['a relative path', { ...RECORD, stagingPath: 'x' }],
  ['a publication without path', { ...RECORD, publications: [{}] }],
  ['null', null],
  ['an array', []],
])('%s is damage', async (_, value) => {
  writeFileSync(file(), JSON.stringify(value));
  await expect(store.read('pv-1')).rejects.toMatchObject({ code: 'INTERNAL' });
});

test('a left-over temporary file of a crash changes nothing', async () => {
  await store.write(RECORD);
  writeFileSync(`${file()}.tmp`, '{"half');
  await expect(store.read('pv-1')).resolves.toEqual(RECORD);
  await store.write({ ...RECORD, phase: 'staging', device: null });
  expect(readdirSync(join(dir, 'volumes'))).toEqual(['pv-1.json']);
});

test('the formatting record lives beside the volume record and outlives it', async () => {
  const formatting = { version: 1, volumeId: 'pv-1', fsType: 'ext4', startedAt: 'x' } as const;
  await store.writeFormatting(formatting);
  await store.write(RECORD);
  await store.remove('pv-1');
  await expect(store.readFormatting('pv-1')).resolves.toEqual(formatting);
  await store.removeFormatting('pv-1');
  await expect(store.readFormatting('pv-1')).resolves.toBeUndefined();
});
