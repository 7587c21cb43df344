import { describe, expect, test } from 'vitest';
import { explain, explainCommand } from '../../../src/cli/explain.ts';
import { PathdError, type VolumeStatus } from '../../../src/pathd/api.ts';
import { fakeIo } from './fake-io.ts';
import { NOW, lastSwitch, path, volume } from './status-samples.ts';

const p0 = (fields: object): ReturnType<typeof path> => path('p0', fields);
const p1 = (fields: object = {}): ReturnType<typeof path> =>
  path('p1', { weight: 90, maxWeight: 90, ...fields });
const of = (fields: Partial<VolumeStatus>): string => explain(volume(fields), NOW);

test('the keys as a table, best path first, and a word on each', () => {
  const down = p0({ state: 'down', weight: 50, lastError: 'connection refused' });
  const paths = [down, p1({ state: 'current' }), path('p2', { weight: 80, maxWeight: 80 })];
  expect(of({ paths, currentPath: 'p1', lastSwitch: lastSwitch() })).toBe(`\
pv-data-0: I/O is on p1 (serving)
  last switch: failover p0 -> p1 12 s ago: connection-reset

   PATH  UP   VERIFIED  DRAINED  HOLD-DOWN  WEIGHT  MAX
>  p1    yes  yes       no       no         90      90
   p2    yes  yes       no       no         80      80
   p0    no   yes       no       no         50      100

p1: current, because it is the best
p2: in reserve: its weight must overtake 90, above its own max weight, or p1 go down
p0: down (connection refused): once it answers, its weight grows with every good probe from 50 to 100
`);
});

describe('what would have to happen', () => {
  test.each([
    [
      'a better one waits for its failback',
      { state: 'standby' },
      /p0: preferred \(it leads by 10\)/,
    ],
    ['equal weights', { weight: 90 }, /p0: as good as the current path/],
    ['drained', { drained: true }, /p0: drained: used only if nothing else/],
    ['hold-down', { holdDown: true }, /p0: in hold-down/],
    ['banned', { state: 'banned' }, /p0: banned: .* readmit/],
    ['unverified', { state: 'unverified' }, /p0: not proved .* expected-serial/],
    ['write-protected', { state: 'write-protected' }, /p0: its unit refuses writes.* allow them/],
    ['connecting', { state: 'connecting' }, /p0: has not answered yet/],
  ])('%s', (_, fields, text) => {
    expect(of({ paths: [p0(fields), p1({ state: 'current' })], currentPath: 'p1' })).toMatch(text);
  });

  test('pinned: named on both sides', () => {
    const paths = [p0({}), p1({ state: 'current' })];
    const text = of({ paths, currentPath: 'p1', pinnedPath: 'p1' });
    expect(text).toMatch(/p1: current, because it is pinned/);
    expect(text).toMatch(/p0: in reserve, the volume is pinned to p1/);
  });

  test('no path at all: the reason stands at the top', () => {
    const text = of({ paths: [p0({ state: 'down' })], currentPath: '', reason: 'no usable path' });
    expect(text).toContain('I/O is on no path (serving)\n  no usable path\n');
  });
});

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = fakeIo();
  const status = (id?: string): Promise<readonly VolumeStatus[]> => {
    if (id === 'away') return Promise.reject(new PathdError('UNAVAILABLE', 'nobody there'));
    return Promise.resolve(id === 'pv-data-0' ? [volume()] : []);
  };
  const code = await explainCommand(() => ({ status, close: () => undefined })).run(args, io);
  return { code, out: io.out(), err: io.err() };
}

test.each([
  [['pv-data-0'], 0, /I\/O is on p0/, /^$/],
  [['--help'], 0, /^Usage: priority-path explain/, /^$/],
  [['nope'], 1, /^$/, /"nope" is not attached on this node/],
  [['away'], 1, /^$/, /nobody there\nThe socket asked was/],
  [[], 2, /^$/, /expected: explain VOLUME/],
  [['a', 'b'], 2, /^$/, /expected: explain VOLUME/],
  [['--bogus'], 2, /^$/, /Unknown option '--bogus'; see --help/],
])('%j: exit code %i', async (args, code, out, err) => {
  const result = await run(...args);
  expect(result.code).toBe(code);
  expect(result.out).toMatch(out);
  expect(result.err).toMatch(err);
});
