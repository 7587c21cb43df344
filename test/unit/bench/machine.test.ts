/** Was the machine idle beside a bench: what /proc says, and the verdict. */
import { describe, expect, it } from 'vitest';
import {
  foreignPart,
  type Load,
  loadBetween,
  type Look,
  parseProcess,
  parseStat,
  type ProcessTicks,
  ticksOfOthers,
  treeOf,
  verdict,
} from '../../bench/machine.ts';

const QUIET: Load = { busy: 0, others: 0, stolen: 0 };

describe('/proc/stat', () => {
  it('has ticks of all processors; waiting for a disk is idle, guests are in user already', () => {
    const text = 'cpu  100 10 50 800 30 1 4 5 70 70\ncpu0 1 1 1 1 1 1 1 1 0 0\n';
    expect(parseStat(text)).toEqual({ all: 1000, idle: 830, stolen: 5 });
  });

  it('that is something else is an error', () => {
    expect(() => parseStat('intr 1 2 3')).toThrow('intr 1 2 3');
    expect(() => parseStat('cpu  1 2 3')).toThrow('cpu');
  });
});

describe('/proc/PID/stat', () => {
  const stat = (pid: number, name: string, parent: number, flags: number): string =>
    `${String(pid)} (${name}) S ${String(parent)} 7 7 0 -1 ${String(flags)} 1 2 3 4 30 20 5 2 20 0 1 0 99`;

  it('is read behind a name with brackets and spaces', () => {
    expect(parseProcess(stat(42, 'a) R 1 (b', 7, 0x400040))).toEqual({
      ...{ pid: 42, parent: 7, isKernel: false, ticks: 57 },
    });
  });

  it('tells a thread of the kernel', () => {
    expect(parseProcess(stat(9, 'kworker/0:1', 2, 0x4208060)).isKernel).toBe(true);
  });

  it('that is cut off is an error', () => {
    expect(() => parseProcess('42 (a) S 1')).toThrow('42 (a) S 1');
  });
});

/** pid, parent, ticks; kernel threads are children of 2. */
function processes(...list: readonly (readonly [number, number, number])[]): ProcessTicks[] {
  return list.map(([pid, parent, ticks]) => ({ pid, parent, ticks, isKernel: parent === 2 }));
}

it('a tree has children of children, in whatever order they are listed', () => {
  expect(treeOf(10, processes([12, 11, 0], [11, 10, 0], [20, 1, 0]))).toEqual(
    new Set([10, 11, 12]),
  );
});

it('others are what neither the bench has started nor the kernel is', () => {
  const list = processes([1, 0, 3], [3, 2, 500], [10, 1, 100], [11, 10, 100], [20, 1, 40]);
  expect(ticksOfOthers(10, list)).toBe(43);
});

describe('the load between two looks', () => {
  const look = (all: number, idle: number, stolen: number, others: number): Look => ({
    ...{ machine: { all, idle, stolen }, others },
  });

  it('is parts of all processors together', () => {
    const load = loadBetween(look(1000, 500, 0, 70), look(1200, 550, 4, 90));
    expect(load).toEqual({ busy: 0.75, others: 0.1, stolen: 0.02 });
  });

  it('is none where a process that ended took its ticks along, or no tick has passed', () => {
    expect(loadBetween(look(0, 0, 0, 90), look(200, 200, 0, 70)).others).toBe(0);
    expect(loadBetween(look(7, 7, 0, 1), look(7, 7, 0, 1)).others).toBe(0);
  });
});

describe('the verdict', () => {
  it('takes the worst of what was before a cell and in its runs', () => {
    expect(foreignPart({ ...QUIET, busy: 0.04 }, [QUIET])).toBe(0.04);
    const runs = [QUIET, { busy: 1, others: 0.1, stolen: 0.05 }];
    expect(foreignPart(QUIET, runs)).toBeCloseTo(0.15);
  });

  it('is idle while no cell had more than a twentieth of the machine beside it', () => {
    expect(verdict([0.05, 0])).toMatchObject({ isIdle: true });
    const busy = verdict([0.06, 0.01, 0]);
    expect(busy.isIdle).toBe(false);
    expect(busy.text).toContain('BUSY in 1 of 3 cells');
    expect(busy.text).toContain('6.0 % at most');
  });
});
