/** What is made of what sysfs shows of a loop device: at its attach, and at each look afterwards. */
import type * as fsPromises from 'node:fs/promises';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { LoopGuard } from '../../../../src/host/block/loop-guard.ts';
import { attachLoop, isLoopGone } from '../../../../src/host/block/loop.ts';
import { exec } from '../../../../src/host/exec.ts';

const FILE = '/run/pv/fuse/disk';
/** /sys/block/loop7, by the last two parts of the path. */
let sysfs: Record<string, string>;
/** What each read of it ends with. */
let sysfsError: string | undefined;
/** What losetup changes there; a call that it has no entry for does nothing. */
let losetup: Record<string, Record<string, string>>;

vi.mock('../../../../src/host/exec.ts', () => ({ exec: vi.fn() }));
vi.mock('node:fs/promises', async (original) => ({
  ...(await original<typeof fsPromises>()),
  readFile: async (path: string) => {
    const text = sysfs[path.split('/').slice(-2).join('/')];
    if (sysfsError !== undefined) throw Object.assign(new Error(sysfsError), { code: sysfsError });
    if (!path.startsWith('/sys/block/loop7/') || text === undefined)
      throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' });
    return `${text}\n`;
  },
}));

const calls = (): string[] => vi.mocked(exec).mock.calls.map(([, args]) => args.join(' '));

beforeEach(() => {
  sysfsError = undefined;
  sysfs = {
    'loop/backing_file': FILE,
    'loop/dio': '1',
    'loop/autoclear': '0',
    'loop/partscan': '0',
    'loop/offset': '0',
    'loop/sizelimit': '0',
    'queue/logical_block_size': '512',
  };
  losetup = {
    '--direct-io=on /dev/loop7': { 'loop/dio': '1' },
    '--sector-size=512 /dev/loop7': { 'queue/logical_block_size': '512' },
  };
  vi.mocked(exec).mockReset();
  vi.mocked(exec).mockImplementation(async (_program, args) => {
    Object.assign(sysfs, losetup[args.join(' ')]);
    const stdout = args.includes('--find') ? '/dev/loop7\n' : '';
    return { code: 0, stdout, stderr: '', failure: undefined };
  });
});

describe('attachLoop', () => {
  const attach = (): ReturnType<typeof attachLoop> =>
    attachLoop({ file: FILE, sectorBytes: 512, readOnly: false });

  it('takes a device with direct I/O', async () => {
    expect(await attach()).toMatchObject({ ok: true, value: { path: '/dev/loop7' } });
  });

  it('refuses one that has fallen back to buffered I/O without a word, and gives it back', async () => {
    sysfs['loop/dio'] = '0';
    const refused = { ok: false, error: { kind: 'unsupported' } };
    expect(await attach()).toMatchObject(refused);
    expect(calls().at(-1)).toBe('--detach /dev/loop7');
  });

  it('refuses one that shows another file, and does not touch it', async () => {
    sysfs['loop/backing_file'] = '/else';
    expect(await attach()).toMatchObject({ ok: false, error: { kind: 'no-device' } });
    expect(calls()).toHaveLength(1);
  });
});

describe('LoopGuard', () => {
  const blockSize = (): Promise<number | undefined> => {
    const text = sysfs['queue/logical_block_size'];
    return Promise.resolve(text === undefined ? undefined : Number(text));
  };
  let openFiles: number;
  let guard: LoopGuard;
  beforeEach(() => {
    openFiles = 1;
    const loop = { path: '/dev/loop7', name: 'loop7', backingFile: FILE };
    guard = new LoopGuard({ ...loop, directIo: true, autoclear: false }, 512, {
      openFiles: () => openFiles,
      blockSize,
    });
  });

  it('finds nothing where nothing was changed, and runs no program for it', async () => {
    expect(await guard.inspect()).toEqual({ kind: 'fine' });
    expect(calls()).toEqual([]);
  });

  it.each(['EMFILE', 'ENFILE', 'ENOMEM'])('takes %s for no sign of anything', async (code) => {
    sysfsError = code;
    expect(await guard.inspect()).toEqual({ kind: 'fine' });
    const loop = { path: '/dev/loop7', name: 'loop7', backingFile: FILE };
    expect(await isLoopGone({ ...loop, directIo: true, autoclear: false })).toBe(false);
    sysfsError = 'ENODEV';
    expect(await guard.inspect()).toMatchObject({ kind: 'lost' });
  });

  it.each([
    ['loop/dio', '0', 'direct I/O of /dev/loop7 was switched off'],
    ['queue/logical_block_size', '4096', '/dev/loop7 was given blocks of 4096 bytes'],
  ])('puts %s back three times, then gives up', async (attribute, value, what) => {
    for (let round = 1; round <= 3; round++) {
      sysfs[attribute] = value;
      const found = await guard.inspect();
      expect(found).toMatchObject({ kind: 'restored' });
      expect(JSON.stringify(found)).toContain(what);
      expect(await guard.inspect()).toEqual({ kind: 'fine' });
    }
    sysfs[attribute] = value;
    expect(await guard.inspect()).toMatchObject({ kind: 'lost' });
    expect(calls()).toHaveLength(3);
  });

  it('a block size that the kernel does not tell is no sign of anything, and no proof', async () => {
    delete sysfs['queue/logical_block_size'];
    expect(await guard.inspect()).toEqual({ kind: 'fine' });
    sysfs['queue/logical_block_size'] = '4096';
    losetup['--sector-size=512 /dev/loop7'] = {};
    vi.mocked(exec).mockImplementation(() => {
      delete sysfs['queue/logical_block_size'];
      return Promise.resolve({ code: -1, stdout: '', stderr: '', failure: 'losetup hangs' });
    });
    const found = await guard.inspect();
    expect(JSON.stringify(found)).toMatch(/restored.*failed \(losetup hangs\): tried again/);
  });

  it('tries again what could not be put back, no more often than that', async () => {
    losetup = {};
    sysfs['loop/dio'] = '0';
    const seen = [];
    for (let round = 1; round <= 4; round++) seen.push((await guard.inspect()).kind);
    expect(seen).toEqual(['restored', 'restored', 'restored', 'lost']);
  });

  it.each([
    ['loop/offset', '4096'],
    ['loop/sizelimit', '4096'],
    ['loop/partscan', '1'],
    ['loop/backing_file', '/else'],
  ])('%s cannot be put back: lost', async (attribute, value) => {
    sysfs[attribute] = value;
    expect(await guard.inspect()).toMatchObject({ kind: 'lost' });
    expect(calls()).toEqual([]);
  });

  it('a device that is detached is lost', async () => {
    delete sysfs['loop/backing_file'];
    expect(await guard.inspect()).toMatchObject({ kind: 'lost' });
  });

  it('another file behind a path that reads the same is lost', async () => {
    openFiles = 0;
    expect(await guard.inspect()).toMatchObject({ kind: 'lost' });
  });

  it('a detach that was asked for is told once, and our own is not', async () => {
    sysfs['loop/autoclear'] = '1';
    expect(await guard.inspect()).toMatchObject({ kind: 'restored' });
    expect(await guard.inspect()).toEqual({ kind: 'fine' });
    const loop = { path: '/dev/loop7', name: 'loop7', backingFile: FILE };
    const other = new LoopGuard({ ...loop, directIo: true, autoclear: false }, 512, {
      openFiles: () => 1,
      blockSize,
    });
    other.expectDetach();
    expect(await other.inspect()).toEqual({ kind: 'fine' });
  });
});
