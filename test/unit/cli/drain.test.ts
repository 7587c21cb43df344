import { describe, expect, test } from 'vitest';
import { drainCommand, undrainCommand } from '../../../src/cli/drain.ts';
import { type PathdApi, PathdError, type VolumeStatus } from '../../../src/pathd/api.ts';
import { fakeIo } from './fake-io.ts';

interface Path {
  readonly portal: string;
  readonly rack?: string;
  readonly state?: string;
  drained?: boolean;
}

/** Volumes that move off a drained current path to the first standby that is not drained. */
class FakePathd {
  readonly calls: string[] = [];
  readonly volumes: Record<string, { current: string; paths: Record<string, Path> }>;
  stuck = false;
  refusal: PathdError | undefined;

  constructor(volumes: FakePathd['volumes']) {
    this.volumes = volumes;
  }

  async drain(volumeId: string, path: string, drained: boolean): Promise<void> {
    this.calls.push(`${drained ? 'drain' : 'undrain'} ${volumeId} ${path}`);
    if (this.refusal !== undefined) throw this.refusal;
    const volume = this.volumes[volumeId]!;
    volume.paths[path]!.drained = drained;
    const free = Object.entries(volume.paths).find(
      ([, { state, drained: is }]) => is !== true && state !== 'down',
    );
    if (volume.paths[volume.current]?.drained === true && free !== undefined && !this.stuck) {
      volume.current = free[0];
    }
  }

  async status(): Promise<readonly VolumeStatus[]> {
    return Object.entries(this.volumes).map(([volumeId, { current, paths }]) => ({
      volumeId,
      currentPath: current,
      paths: Object.entries(paths).map(([name, path]) => ({
        ...{ name, drained: false, ...path },
        state: name === current ? 'current' : (path.state ?? 'standby'),
      })),
    })) as unknown as VolumeStatus[];
  }

  close(): void {
    this.calls.push('close');
  }
}

async function run(
  make: typeof drainCommand,
  pathd: FakePathd,
  ...args: string[]
): Promise<{ code: number; out: string[]; err: string }> {
  const io = fakeIo({ env: {} });
  const connect = (): PathdApi & { close(): void } =>
    pathd as unknown as PathdApi & { close(): void };
  const code = await make(connect, 200).run(args, io);
  return { code, out: io.out().split('\n').slice(0, -1), err: io.err() };
}

const two = (): FakePathd =>
  new FakePathd({
    'pv-1': {
      current: 'p0',
      paths: {
        p0: { portal: '10.0.0.1:3260', rack: 'r1' },
        p1: { portal: '10.0.0.2:3260', rack: 'r2' },
      },
    },
    'pv-2': {
      current: 'p1',
      paths: {
        p0: { portal: '10.0.0.1:3260', rack: 'r1' },
        p1: { portal: '10.0.0.2:3260', rack: 'r2' },
      },
    },
    'pv-3': { current: 'p0', paths: { p0: { portal: '10.0.0.9:3260', rack: 'r9' } } },
  });

describe('drain of a portal or a rack', () => {
  test.each([
    ['--portal', '10.0.0.1'],
    ['--portal', '10.0.0.1:3260'],
    ['--rack', 'r1'],
  ])('%s %s: the paths of every volume, and where the I/O runs now', async (...args) => {
    const pathd = two();
    const { code, out, err } = await run(drainCommand, pathd, ...args);
    expect(pathd.calls).toEqual(['drain pv-1 p0', 'drain pv-2 p0', 'close']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.slice(0, 2)).toEqual([
      'pv-1: p0 drained, I/O moved p0 -> p1',
      'pv-2: p0 drained, I/O is on p1',
    ]);
    expect(out[2]).toMatch(/^2 volumes, paths .* drained$/);
  });

  test('again: nothing moves, nothing is wrong', async () => {
    const pathd = two();
    await run(drainCommand, pathd, '--rack', 'r1');
    const { code, out } = await run(drainCommand, pathd, '--rack', 'r1');
    expect(code).toBe(0);
    expect(out[0]).toBe('pv-1: p0 drained, I/O is on p1');
  });

  test('the last usable path stays in use: it is said, and the exit code is 1', async () => {
    const { code, out } = await run(drainCommand, two(), '--portal', '10.0.0.9');
    expect(code).toBe(1);
    expect(out).toEqual([
      'pv-3: p0 drained, I/O STAYS on p0: no other path is usable',
      '1 volume, paths at 10.0.0.9 drained; 1 volume not as asked',
    ]);
  });

  test('a volume that has not moved in time is named', async () => {
    const pathd = two();
    pathd.stuck = true;
    const { code, out } = await run(drainCommand, pathd, '--rack', 'r1');
    expect(code).toBe(1);
    expect(out[0]).toBe('pv-1: p0 drained, I/O STAYS on p0: has not moved yet');
  });

  test('undrain puts them back', async () => {
    const pathd = two();
    await run(drainCommand, pathd, '--rack', 'r1');
    const { code, out } = await run(undrainCommand, pathd, '--rack', 'r1');
    expect(code).toBe(0);
    expect(out[0]).toContain('pv-1: p0 in use again');
    expect(pathd.volumes['pv-1']?.paths['p0']?.drained).toBe(false);
  });

  test('a volume that refuses is named and the others are drained', async () => {
    const pathd = two();
    pathd.refusal = new PathdError('ABORTED', 'another call is running');
    const { code, out } = await run(drainCommand, pathd, '--rack', 'r1');
    expect(code).toBe(1);
    expect(out[0]).toBe('pv-1: refused: p0: another call is running');
    expect(pathd.calls).toContain('drain pv-2 p0');
  });

  test('nothing there: said, and no error', async () => {
    const { code, err } = await run(drainCommand, two(), '--rack', 'r7');
    expect({ code, err }).toEqual({
      code: 0,
      err: 'no volume on this node has a path in rack r7\n',
    });
  });
});

test.each([
  [[]],
  [['--rack', 'r1', '--portal', '10.0.0.1']],
  [['pv-1', 'p0', '--rack', 'r1']],
  [['pv-1', 'p0', 'p1']],
  [['--portal', '2001:db8::1']],
  [['--rack', 'a/b/c']],
  [['--rock', 'r1']],
])('%j is wrong usage, and nothing is asked', async (args) => {
  const pathd = two();
  const { code, err } = await run(drainCommand, pathd, ...args);
  expect(code).toBe(2);
  expect(err).toMatch(/see --help\n$/);
  expect(pathd.calls).toEqual([]);
});
