/** Queue attributes are asked for by children, of which some do not come back. */
import { beforeEach, expect, it, vi } from 'vitest';
import { BlockSizes, setQueueAttribute } from '../../../../src/host/block/queue-attributes.ts';
import { exec } from '../../../../src/host/exec.ts';

vi.mock('../../../../src/host/exec.ts', () => ({ exec: vi.fn() }));

/** Devices whose queue is frozen: a child that asks for one of them hangs. */
let frozen: string[];
let sizes: Record<string, number>;
/** Children that hang, by what they ask for. */
let stuck: { names: string[]; end: () => void }[];
let children: string[][];

beforeEach(() => {
  [frozen, sizes, stuck, children] = [[], { loop1: 512, loop2: 4096 }, [], []];
  vi.mocked(exec).mockImplementation((_program, args, { onGone = () => undefined } = {}) => {
    const names = args.flatMap((arg) => /block\/(\w+)/.exec(arg)?.[1] ?? []);
    children.push(names);
    if (names.some((name) => frozen.includes(name))) {
      stuck.push({ names, end: onGone });
      return Promise.resolve({ code: -1, stdout: '', stderr: '', failure: 'killed' });
    }
    onGone();
    const told = names.filter((name) => sizes[name] !== undefined);
    const lines = told.map(
      (name) => `==> /sys/block/${name}/queue/logical_block_size <==\n${String(sizes[name])}\n`,
    );
    return Promise.resolve({ code: 0, stdout: lines.join('\n'), stderr: '', failure: undefined });
  });
});

const ask = (all: BlockSizes, ...names: string[]): Promise<(number | undefined)[]> =>
  Promise.all(names.map((name) => all.ask(name)));

it('one child answers for all devices that are looked at together', async () => {
  expect(await ask(new BlockSizes(), 'loop1', 'loop2', 'loop1', 'loop3')).toEqual([
    512,
    4096,
    512,
    undefined,
  ]);
  expect(children).toEqual([['loop1', 'loop2', 'loop3']]);
});

it('a device that hangs hides no other one, and is not asked for while its child hangs', async () => {
  const all = new BlockSizes();
  frozen = ['loop1'];
  expect(await ask(all, 'loop1', 'loop2')).toEqual([undefined, 4096]);
  children = [];
  expect(await ask(all, 'loop1', 'loop2')).toEqual([undefined, 4096]);
  expect(children).toEqual([['loop2']]);
  frozen = [];
  for (const { end } of stuck) end();
  expect(await ask(all, 'loop1', 'loop2')).toEqual([512, 4096]);
});

it('an attribute is written by a child as well', async () => {
  expect(await setQueueAttribute('loop1', 'scheduler', 'none')).toBe(true);
  expect(vi.mocked(exec)).toHaveBeenLastCalledWith(
    'tee',
    ['/sys/block/loop1/queue/scheduler'],
    expect.objectContaining({ input: 'none' }),
  );
});
