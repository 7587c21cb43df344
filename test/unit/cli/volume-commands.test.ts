import { expect, test } from 'vitest';
import type { Command } from '../../../src/cli/commands.ts';
import { drainCommand, undrainCommand } from '../../../src/cli/drain.ts';
import * as commands from '../../../src/cli/volume-commands.ts';
import { type PathdApi, PathdError } from '../../../src/pathd/api.ts';
import { fakeIo } from './fake-io.ts';

function pathd(): {
  readonly calls: unknown[][];
  readonly connect: Parameters<typeof commands.pinCommand>[0];
} {
  const calls: unknown[][] = [];
  const api = {
    pin: async (...words: string[]) => {
      calls.push(['pin', ...words]);
      if (words[1] === 'p9') throw new PathdError('NOT_FOUND', 'no such path; there are p0, p1');
    },
    drain: async (...words: unknown[]) => void calls.push(['drain', ...words]),
    close: () => void calls.push(['close']),
  };
  const connect = (endpoint: string): PathdApi & { close(): void } => {
    calls.push([endpoint]);
    return api as unknown as PathdApi & { close(): void };
  };
  return { calls, connect };
}

async function run(
  make: (connect: Parameters<typeof commands.pinCommand>[0]) => Command,
  ...args: string[]
): Promise<{ code: number; calls: unknown[][]; out: string; err: string }> {
  const { calls, connect } = pathd();
  const io = fakeIo({ env: { PATHD_ENDPOINT: 'unix:///p' } });
  const code = await make(connect).run(args, io);
  return { code, calls, out: io.out(), err: io.err() };
}

test.each([
  [commands.pinCommand, ['pv-1', 'p1'], ['pin', 'pv-1', 'p1']],
  [commands.unpinCommand, ['pv-1'], ['pin', 'pv-1', '']],
  [drainCommand, ['pv-1', 'p0'], ['drain', 'pv-1', 'p0', true]],
  [undrainCommand, ['pv-1', 'p0'], ['drain', 'pv-1', 'p0', false]],
] as const)('%o asks pathd for what it says', async (make, args, call) => {
  const { code, calls, err } = await run(make, ...args);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(calls).toEqual([['unix:///p'], [...call], ['close']]);
});

test('a path that does not exist fails with the names of those that do', async () => {
  const { code, err, calls } = await run(commands.pinCommand, 'pv-1', 'p9');
  expect(code).toBe(1);
  expect(err).toBe('priority-path pin: no such path; there are p0, p1\n');
  expect(calls.at(-1)).toEqual(['close']);
});

test('words that are missing are wrong usage and nothing is asked', async () => {
  const { code, err, calls } = await run(drainCommand, 'pv-1');
  expect(code).toBe(2);
  expect(err).toContain('expected: drain VOLUME PATH');
  expect(calls).toEqual([]);
});

const EVERY = [
  commands.pinCommand,
  commands.unpinCommand,
  drainCommand,
  undrainCommand,
  commands.pathsCommand,
  commands.readmitCommand,
  commands.forgetCommand,
];

test.each(EVERY)('%o explains itself, and names its options and exit codes', async (make) => {
  const { code, out, calls } = await run(make, '--help');
  expect({ code, calls }).toEqual({ code: 0, calls: [] });
  expect(out).toMatch(/^Usage: priority-path \w+ /);
  for (const text of ['--endpoint ADDR', '-h, --help', 'Exit codes: 0'])
    expect(out).toContain(text);
});

test.each(EVERY)('%o: an option there is not is wrong usage, in one line', async (make) => {
  const { code, err, calls } = await run(make, '--bogus', 'v');
  expect({ code, calls }).toEqual({ code: 2, calls: [] });
  expect(err).toMatch(/^priority-path \w+: Unknown option '--bogus'; see --help\n$/);
});

test.each([
  [['put', 'v', 'p0=x'], '"put": expected set'],
  [['set', 'v', 'p0'], '"p0": expected NAME=URL'],
  [['set', 'v'], 'expected: paths set VOLUME'],
])('paths %j is wrong usage: pathd is not asked', async (words, text) => {
  const { code, err, calls } = await run(commands.pathsCommand, ...words);
  expect({ code, calls }).toEqual({ code: 2, calls: [] });
  expect(err).toContain(text);
});

test('a pathd that is not reached: where it was sought, and how to name another', async () => {
  const api = {
    pin: () => Promise.reject(new PathdError('UNAVAILABLE', 'pathd does not answer')),
    close: () => undefined,
  };
  const io = fakeIo({ env: { PATHD_ENDPOINT: '' } });
  const connect = (): PathdApi & { close(): void } =>
    api as unknown as PathdApi & { close(): void };
  expect(await commands.pinCommand(connect).run(['v', 'p0'], io)).toBe(1);
  expect(io.err()).toContain('The socket asked was unix:///run/priority-path/pathd.sock');
});
