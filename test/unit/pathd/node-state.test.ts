/** InitiatorName and ISIDs: unique, stable, on disk before use, never guessed from a damaged file. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeState, readInitiatorName } from '../../../src/pathd/node-state.ts';

let dir: string;
/** No volume stands against another name; one does. */
const yes = async (): Promise<readonly string[]> => [];
const no = async (): Promise<readonly string[]> => ['vol-7'];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'node-state-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

/** At the very first start nothing stands against a new name. */
async function open(wanted?: string, ask?: typeof no): Promise<NodeState> {
  const mayChange = ask ?? (existsSync(join(dir, 'node.json')) ? no : yes);
  const state = await NodeState.open(dir, wanted, mayChange);
  if (!state.ok) throw new Error(state.error);
  return state.value;
}

async function isids(state: NodeState, volume: string, ...paths: string[]): Promise<string[]> {
  const result = await state.isids(volume, paths);
  if (!result.ok) throw new Error(result.error);
  return paths.map((path) => result.value.get(path) ?? '');
}

const onDisk = (): Promise<string> => readFile(join(dir, 'node.json'), 'utf8');

describe('ISIDs', () => {
  it('are all different, of type 10b, stable over restarts and never given out twice', async () => {
    const state = await open();
    const many = await Promise.all([
      isids(state, 'a', 'p0', 'p1'),
      isids(state, 'b', 'p0', 'p1'),
      isids(state, 'a', 'p2'),
    ]);
    const all = many.flat();
    expect(new Set(all).size).toBe(5);
    for (const isid of all) expect(isid).toMatch(/^80[0-9a-f]{6}0000$/);
    const again = await open();
    expect(await isids(again, 'a', 'p0', 'p1')).toEqual(many[0]);
    const [fresh] = await isids(again, 'c', 'p0');
    expect(all).not.toContain(fresh);
  });

  it('are on disk when they are handed out', async () => {
    const [isid] = await isids(await open(), 'a', 'p0');
    expect(await onDisk()).toContain(isid);
  });

  it('are not handed out when they cannot be saved', async () => {
    const state = await open();
    await rm(dir, { recursive: true });
    await writeFile(dir, 'a file where the directory was');
    expect((await state.isids('a', ['p0'])).ok).toBe(false);
  });
});

describe('the initiator name', () => {
  it('is made once and kept', async () => {
    const { initiatorName } = await open();
    expect((await open()).initiatorName).toBe(initiatorName);
  });

  it('is changed only when nothing of the old name is left', async () => {
    await open('iqn.2026-01.a:one');
    const refused = await NodeState.open(dir, 'iqn.2026-01.a:two', no);
    expect(refused.ok ? '' : refused.error).toContain('iqn.2026-01.a:one');
    expect((await open(undefined)).initiatorName).toBe('iqn.2026-01.a:one');
    expect((await open('iqn.2026-01.a:two', yes)).initiatorName).toBe('iqn.2026-01.a:two');
  });

  it('that the Node asks for beats the flag, is kept, and gives way to it again', async () => {
    const state = await open('iqn.2026-01.a:flag');
    expect(await state.rename('iqn.2026-01.a:asked', yes)).toEqual({ ok: true });
    expect(state.initiatorName).toBe('iqn.2026-01.a:asked');
    const [isid] = await isids(state, 'a', 'p0');
    const again = await open('iqn.2026-01.a:flag');
    expect(again.initiatorName).toBe('iqn.2026-01.a:asked');
    // What a pathd from before this goes on with, or refuses where its flag says something else.
    const record = JSON.parse(await onDisk()) as { initiatorName: string };
    expect(record.initiatorName).toBe('iqn.2026-01.a:asked');
    // The flag may change meanwhile: it is not what is used.
    expect((await open('iqn.2026-01.a:other')).initiatorName).toBe('iqn.2026-01.a:asked');
    expect(await readInitiatorName(dir)).toBe('iqn.2026-01.a:asked');
    const last = await open('iqn.2026-01.a:flag');
    await last.rename(undefined, yes);
    expect(last.initiatorName).toBe('iqn.2026-01.a:flag');
    expect(await isids(last, 'a', 'p0')).toEqual([isid]);
  });

  it('made by itself comes back when the Node asks for nothing any more', async () => {
    const { initiatorName } = await open();
    await (await open()).rename('iqn.2026-01.a:asked', yes);
    const last = await open();
    expect(last.initiatorName).toBe('iqn.2026-01.a:asked');
    await last.rename('iqn.2026-01.a:again', yes);
    await last.rename(undefined, yes);
    expect([last.initiatorName, (await open()).initiatorName]).toEqual([
      initiatorName,
      initiatorName,
    ]);
  });

  it('is not changed by the Node while something of the old name is left', async () => {
    const state = await open('iqn.2026-01.a:one');
    const refused = await state.rename('iqn.2026-01.a:two', no);
    expect(refused.ok ? '' : refused.error).toMatch(
      /name is iqn.2026-01.a:one, .*: vol-7 .*priority-path forget/,
    );
    expect([state.initiatorName, (await open()).initiatorName]).toEqual([
      'iqn.2026-01.a:one',
      'iqn.2026-01.a:one',
    ]);
    // The name that it has is no change.
    expect((await state.rename('iqn.2026-01.a:one', no)).ok).toBe(true);
  });

  it('that cannot be saved is not used, and nothing is attached before the old one is on disk', async () => {
    const state = await open('iqn.2026-01.a:one');
    await isids(state, 'a', 'p0');
    const before = await onDisk();
    await rm(dir, { recursive: true });
    await writeFile(dir, 'a file where the directory was');
    expect((await state.rename('iqn.2026-01.a:two', yes)).ok).toBe(false);
    expect(state.initiatorName).toBe('iqn.2026-01.a:one');
    expect((await state.isids('a', ['p0'])).ok).toBe(false);
    await rm(dir);
    await mkdir(dir);
    await writeFile(join(dir, 'node.json'), before.replace('a:one', 'a:two')); // it was renamed after all
    await isids(state, 'a', 'p0');
    expect((await open()).initiatorName).toBe('iqn.2026-01.a:one');
  });

  it.each(['node1', 'iqn.2026-01.a:x y', `iqn.2026-01.a:${'x'.repeat(230)}`])(
    'refuses %s',
    async (name) => {
      expect((await NodeState.open(dir, name, yes)).ok).toBe(false);
    },
  );
});

describe('a missing file', () => {
  it.each([undefined, 'iqn.2026-01.a:flag'])(
    'beside records of which targets may have something is refused, whatever the flag says (%s)',
    async (name) => {
      const result = await NodeState.open(dir, name, no);
      expect(result.ok ? '' : result.error).toMatch(/node\.json is missing: .* vol-7 .*Restore it/);
      expect(existsSync(join(dir, 'node.json'))).toBe(false);
      expect((await NodeState.open(dir, name, yes)).ok).toBe(true);
    },
  );

  it('that was restored from before a path was there knows no ISID of it', async () => {
    await isids(await open(), 'v', 'p0');
    const before = await onDisk();
    await isids(await open(), 'v', 'p1');
    await writeFile(join(dir, 'node.json'), before);
    expect((await open()).strangers('v', ['p0', 'p1'])).toEqual(['p1']);
  });
});

describe('a damaged file', () => {
  it('cut anywhere is an error that names it', async () => {
    await isids(await open(), 'a', 'p0');
    const whole = (await onDisk()).trimEnd();
    for (let length = 0; length < whole.length; length += 3) {
      await writeFile(join(dir, 'node.json'), whole.slice(0, length));
      const result = await NodeState.open(dir, undefined, yes);
      expect(result.ok ? '' : result.error).toContain('node.json cannot be used');
    }
  });

  const good = {
    version: 1,
    initiatorName: 'iqn.2026-01.a:n',
    lastIsid: 2,
    isids: { 'v/p0': '800000010000', 'v/p1': '800000020000' },
  };
  it.each([
    ['isids missing', { isids: undefined }],
    ['isids null', { isids: null }],
    ['an ISID that is none', { isids: { 'v/p0': 7 } }],
    ['two paths with one ISID', { isids: { 'v/p0': '800000010000', 'v/p1': '800000010000' } }],
    ['a counter behind what was given out', { lastIsid: 1 }],
    ['a counter that is none', { lastIsid: 1.5 }],
    ['another version', { version: 2 }],
    ['no name', { initiatorName: undefined }],
    ['an own name that is none', { own: 7 }],
  ])('%s', async (_what, change) => {
    await writeFile(join(dir, 'node.json'), JSON.stringify({ ...good, ...change }));
    const result = await NodeState.open(dir, undefined, yes);
    expect(result.ok ? '' : result.error).toContain('node.json cannot be used');
  });
});
