import { describe, expect, test } from 'vitest';
import { StatusPace } from '../../../src/kubernetes/status-pace.ts';
import { renderStatusTable } from '../../../src/kubernetes/status-table.ts';
import { NOW, lastSwitch, path, volume } from '../cli/status-samples.ts';

const bytes = (line: string): number => Buffer.byteLength(line);

describe('the table', () => {
  test('a healthy volume', () => {
    expect(`\n${renderStatusTable(volume())}\n`).toBe(`
serving; /dev/loop3; fencing reset, gone; failovers 0, failbacks 0, I/O errors 0
  PATH  WEIGHT   STATE    PORTAL          LAST ERROR
* p0    100/100  current  10.0.0.10:3260  -
  p1    90/90    standby  10.1.0.10:3260  -
  p2    80/80    standby  10.2.0.10:3260  -
last switch: none
`);
  });

  test('after a failover, with a drained and a down path, pinned', () => {
    const failed = volume({
      currentPath: 'p1',
      failovers: 1,
      pinnedPath: 'p1',
      paths: [
        path('p0', {
          ...{ state: 'down', weight: 25, holdDown: true, lastErrorUnixMs: NOW },
          lastError: 'login to iqn.2026-01.io.example:vol refused',
        }),
        path('p1', { state: 'current', weight: 90, maxWeight: 90 }),
        path('p2', { drained: true, weight: 80, maxWeight: 80, portal: '[2001:db8::2]:3260' }),
      ],
      lastSwitch: lastSwitch(),
    });
    expect(`\n${renderStatusTable(failed)}\n`).toBe(`
serving; /dev/loop3; fencing reset, gone; failovers 1, failbacks 0, I/O errors 0; pinned to p1
  PATH  WEIGHT  STATE             PORTAL              LAST ERROR
  p0    25/100  down, hold-down   10.0.0.10:3260      2026-11-22T14:00:00Z login to <target> refused
* p1    90/90   current           10.1.0.10:3260      -
  p2    80/80   standby, drained  [2001:db8::2]:3260  -
last switch: 2026-11-22T13:59:48Z p0 -> p1, failover; gap 187 ms, fence reset, 3 replayed
  cause: connection-reset
`);
  });

  test('no line is longer than 120 bytes, whatever errors say, and none has half a character', () => {
    const long = volume({
      state: 'holding',
      reason: `no fence: ${'é'.repeat(200)}`,
      paths: [path('p0', { lastError: 'ü'.repeat(300), lastErrorUnixMs: NOW })],
      lastSwitch: lastSwitch({ cause: `a\nb\t${'x'.repeat(300)}` }),
    });
    const lines = renderStatusTable(long).split('\n');
    expect(lines).toHaveLength(6);
    for (const line of lines) expect(bytes(line)).toBeLessThanOrEqual(120);
    expect(lines.filter((line) => line.endsWith('...'))).toHaveLength(3);
    expect(lines.join('')).not.toContain('\uFFFD');
  });
});

describe('when it is written', () => {
  const up = volume();
  const down = volume({ paths: [path('p0', { state: 'down', weight: 50 })] });

  function pace(): StatusPace {
    const made = new StatusPace();
    made.written(up, 0);
    return made;
  }

  test('first at once, then not while nothing happens', () => {
    expect(new StatusPace().isDue(up, 0)).toBe(true);
    const busy = { ...up, outstanding: 99, queued: 7 };
    for (const at of [1_000, 60_000, 3_600_000]) expect(pace().isDue(busy, at)).toBe(false);
  });

  test('a path that stays down writes nothing with every failed probe', () => {
    const made = pace();
    made.written(down, 1_000);
    const [first] = down.paths;
    const again = { ...down, paths: [{ ...first!, lastError: 'refused', lastErrorUnixMs: NOW }] };
    expect(made.isDue(again, 3_600_000)).toBe(false);
  });

  test('a transition at once', () => {
    expect(pace().isDue(down, 1)).toBe(true);
    expect(pace().isDue({ ...up, currentPath: 'p1' }, 1)).toBe(true);
    expect(pace().isDue({ ...up, lastSwitch: lastSwitch() }, 1)).toBe(true);
  });

  test('a weight that grows at most once in 30 s', () => {
    const grown = volume({ paths: up.paths.map((one) => ({ ...one, weight: one.weight - 2 })) });
    expect(pace().isDue(grown, 29_999)).toBe(false);
    expect(pace().isDue(grown, 30_000)).toBe(true);
  });

  test('a path that flaps every second writes ten times at once, then once in 10 s', () => {
    const made = pace();
    let writes = 0;
    for (let second = 1; second <= 120; second += 1) {
      const now = second % 2 === 0 ? up : down;
      if (!made.isDue(now, second * 1_000)) continue;
      made.written(now, second * 1_000);
      writes += 1;
    }
    expect(writes).toBeGreaterThanOrEqual(10);
    expect(writes).toBeLessThanOrEqual(10 + 12 + 1);
  });
});
