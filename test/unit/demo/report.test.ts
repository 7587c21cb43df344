import { describe, expect, it } from 'vitest';
import { type DemoOutcome, missed, ms, summary, type SwitchRecord } from '../../demo/report.ts';
import { toJson, worstGapMs } from '../../demo/report.ts';
import type { Verification } from '../../support/load/stamps.ts';

const clean: Verification = {
  verified: 4096,
  lost: 0,
  stale: 0,
  torn: 0,
  misplaced: 0,
  errors: 0,
  unwritten: 0,
  details: [],
};
const failover = (gapMs: number, from: string, to: string): SwitchRecord => {
  const cause = 'connection-reset';
  return {
    kind: 'failover',
    from,
    to,
    gapMs,
    pathdGapMs: gapMs,
    writerLateMs: 3,
    cause,
    fence: 'gone',
    replayed: 32,
  };
};
const home: SwitchRecord = {
  ...{
    kind: 'failback',
    from: 'p2',
    to: 'p0',
    gapMs: 8.4,
    pathdGapMs: 8,
    writerLateMs: 0,
    cause: 'better-path',
  },
  ...{ fence: 'not-needed', replayed: 0 },
};
const good: DemoOutcome = {
  policy: 'fast',
  durationMs: 64_200,
  switches: [failover(41, 'p0', 'p1'), failover(120.4, 'p1', 'p2'), home],
  ioErrors: 0,
  otherGapMs: 12,
  machine: { cpus: 2, load: 0.4 },
  writes: 1_234_567,
  rewritesPerBlock: 301.4,
  checkedUnderLoad: 9000,
  badUnderLoad: 0,
  throughMount: clean,
  backingFile: clean,
  fsckClean: true,
  leftBehind: [],
  failure: undefined,
  details: [],
};

describe('the verdict', () => {
  it('passes when nothing was lost and every bound was kept', () => {
    expect(missed(good)).toEqual([]);
    expect(summary(good).at(-1)).toContain('PASSED');
  });

  type Case = readonly [string, Partial<DemoOutcome>, RegExp];
  const late: readonly Case[] = [
    [
      'a failover at its bound',
      { switches: [failover(300, 'p0', 'p1'), failover(1, 'p1', 'p2'), home] },
      /^failover p0 to p1: I\/O gap 300 ms, the bound is 300 ms\n +\(pathd saw 300 ms; the writer stood still for 3.0 ms\)$/,
    ],
    [
      'a gap nobody measured',
      { switches: [failover(NaN, 'p0', 'p1'), ...good.switches] },
      /gap NaN/,
    ],
    [
      'a slow failback',
      { switches: [...good.switches, { ...home, gapMs: 51 }] },
      /^failback p2 to p0: I\/O gap 51 ms/,
    ],
  ];
  it.each(late)('is missed for %s, and that nothing was lost is said', (_, change, line) => {
    const outcome = { ...good, ...change };
    expect(missed(outcome)).toEqual([expect.stringMatching(line)]);
    expect(summary(outcome).join('\n')).toContain('TOO SLOW, but nothing lost');
    expect(JSON.parse(toJson(outcome))).toMatchObject({ passed: false });
  });

  it('fails for a bad block and a slow failback together', () => {
    const outcome = {
      ...good,
      switches: [...good.switches, { ...home, gapMs: 51 }],
      badUnderLoad: 1,
    };
    expect(missed(outcome)).toHaveLength(2);
    expect(summary(outcome).join('\n')).toContain('FAILED');
  });

  const bad: readonly Case[] = [
    [
      'a failback that replayed',
      { switches: [...good.switches, { ...home, replayed: 1 }] },
      /drain first/,
    ],
    [
      'a failover that did not happen',
      { switches: [failover(1, 'p0', 'p1'), home] },
      /^1 failovers/,
    ],
    ['no failback', { switches: good.switches.slice(0, 2) }, /^0 failbacks/],
    ['an I/O error', { ioErrors: 1 }, /^1 I\/O errors/],
    ['a bad block under load', { badUnderLoad: 1 }, /^1 bad blocks/],
    ['a lost block', { throughMount: { ...clean, lost: 2 } }, /^2 lost blocks through the mount$/],
    ['a stale block', { backingFile: { ...clean, stale: 1 } }, /^1 stale blocks in the backing/],
    ['a torn block', { throughMount: { ...clean, torn: 1 } }, /^1 torn blocks/],
    ['a misplaced block', { throughMount: { ...clean, misplaced: 1 } }, /^1 misplaced blocks/],
    ['an unreadable block', { throughMount: { ...clean, errors: 1 } }, /cannot be read/],
    ['nothing verified', { backingFile: undefined }, /^blocks were not verified in the backing/],
    ['an empty verification', { backingFile: { ...clean, verified: 0 } }, /^no block was verified/],
    ['an unclean file system', { fsckClean: false }, /file system/],
    [
      'something left behind',
      { leftBehind: ['left behind: loop device /dev/loop3'] },
      /^left behind: loop/,
    ],
    ['an early end', { failure: 'p1 did not take over' }, /^the story ended early: p1 did not/],
  ];
  it.each(bad)('fails for %s, and says so', (_, change, line) => {
    const outcome = { ...good, ...change };
    expect(missed(outcome)).toEqual([expect.stringMatching(line)]);
    expect(summary(outcome).join('\n')).toContain('FAILED');
    expect(JSON.parse(toJson(outcome))).toMatchObject({ passed: false });
  });
});

describe('a busy machine', () => {
  const slow = { switches: [...good.switches, { ...home, gapMs: 51 }] };
  it('is named beside a missed bound, which stays missed', () => {
    const busy = { ...good, ...slow, otherGapMs: 118, machine: { cpus: 2, load: 24.64 } };
    expect(summary(busy).join('\n')).toContain('118 ms occurred away from any switch');
    expect(summary(busy).join('\n')).toContain('(load 24.6 on 2 CPUs)');
    expect(missed(busy)).toHaveLength(1);
  });

  it('is no excuse where there was no such gap', () => {
    expect(summary({ ...good, ...slow }).join('\n')).not.toContain('away from any switch');
  });
});

describe('the report', () => {
  it('has the worst gap of each kind, and the counts, under their documented names', () => {
    const report = JSON.parse(
      toJson({ ...good, backingFile: { ...clean, stale: 3, torn: 1 } }),
    ) as object;
    expect(report).toMatchObject({
      failover: { gapMs: 120.4 },
      failback: { gapMs: 8.4 },
      ioErrors: 0,
      lostBlocks: 1,
      staleBlocks: 3,
      verifiedBlocks: 4096,
    });
    expect(worstGapMs({ ...good, switches: [] }, 'failover')).toBeUndefined();
  });

  it('fits 80 columns and shows every switch with gap, bound and fence', () => {
    const lines = summary(good);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.find((line) => line.includes('p1 > p2'))).toMatch(
      /failover p1 > p2\s+120 ms\s+< 300 ms\s+32\s+gone\s+connection-reset/,
    );
  });

  it('writes times as people read them', () => {
    expect([0, 0.84, 8.44, 41.2, 1240].map(ms)).toEqual([
      '0 ms',
      '0.8 ms',
      '8.4 ms',
      '41 ms',
      '1.24 s',
    ]);
  });
});
