/** What follows from the news of a logical unit: both tables, row by row, and what no row may ever do. */
import { describe, expect, it } from 'vitest';
import type { Sense } from '../../../src/ports/session.ts';
import {
  FINDINGS,
  type Inspected,
  NEWS,
  type News,
  newsOf,
  type NewsStanding,
  stepsAfter,
  stepsOf,
} from '../../../src/volume/unit-news.ts';

const FINDING = ['fine', 'lost', 'preempted', 'unknown'] as const;
const KINDS: readonly News[] = ['loss', 'keys-taken', 'nexus-ended', 'changed', 'conflict'];

/** The current path, registered, at rest. */
const HOME: NewsStanding = {
  isCurrent: true,
  isVerified: true,
  isRegistered: true,
  wantsKeys: true,
  asksForClaim: false,
  hasUnfinished: false,
  isLookedInto: false,
};
const STANDBY = { isCurrent: false };
const NO_KEY = { isRegistered: false };
const LOGS_IN = { isVerified: false, isRegistered: false };

/** Every way in which things can stand: what is registered is verified. */
function standings(): NewsStanding[] {
  const keys = Object.keys(HOME) as (keyof NewsStanding)[];
  const all = Array.from({ length: 1 << keys.length }, (_, bits) => {
    const flags = keys.map((key, i) => [key, (bits & (1 << i)) !== 0] as const);
    return Object.fromEntries(flags) as unknown as NewsStanding;
  });
  return all.filter(({ isRegistered, isVerified }) => isVerified || !isRegistered);
}

function inspections(): Inspected[] {
  const flags = [true, false];
  return FINDING.flatMap((finding) =>
    flags.flatMap((wasRefused) =>
      flags.flatMap((isAgain) =>
        flags.map((isCurrent) => ({ finding, wasRefused, isAgain, isCurrent })),
      ),
    ),
  ).filter(({ wasRefused, isAgain }) => wasRefused || !isAgain);
}

describe('what kind of news it is', () => {
  const cases: readonly [string, Partial<Sense>, News | undefined][] = [
    ['a deferred medium error', { key: 3, asc: 0x0c, deferred: true }, 'loss'],
    ['the same, recovered', { key: 1, asc: 0x0c, deferred: true }, undefined],
    ['2A/03', { asc: 0x2a, ascq: 0x03 }, 'keys-taken'],
    ['2A/04', { asc: 0x2a, ascq: 0x04 }, 'keys-taken'],
    ['2A/05', { asc: 0x2a, ascq: 0x05 }, 'keys-taken'],
    ['29/00', { asc: 0x29, ascq: 0x00 }, 'nexus-ended'],
    ['29/07', { asc: 0x29, ascq: 0x07 }, 'nexus-ended'],
    ['2F/00', { asc: 0x2f, ascq: 0x00 }, 'nexus-ended'],
    ['3F/0E', { asc: 0x3f, ascq: 0x0e }, 'changed'],
    ['3F/03', { asc: 0x3f, ascq: 0x03 }, 'changed'],
    ['2A/01', { asc: 0x2a, ascq: 0x01 }, 'changed'],
    ['2A/09', { asc: 0x2a, ascq: 0x09 }, 'changed'],
    ['a microcode that was changed', { asc: 0x3f, ascq: 0x01 }, undefined],
  ];

  it.each(cases)('%s', (_, sense, news) => {
    expect(newsOf({ key: 6, asc: 0, ascq: 0, ...sense })).toBe(news);
  });
});

describe('what follows from news', () => {
  const ALL_AGAIN = ['distrust', 'restart'];
  const KEYS_FIRST = ['freeze', 'inspect-then-recheck'];
  const cases: readonly [News, string, Partial<NewsStanding>, readonly string[]][] = [
    ['loss', 'whatever the path is', LOGS_IN, ['writes-lost']],
    ['keys-taken', 'with a key', {}, ['inspect']],
    ['keys-taken', 'without a key', NO_KEY, ['taken-over']],
    ['keys-taken', 'at a login', LOGS_IN, []],
    [
      'keys-taken',
      'at a login that wants no key',
      { ...LOGS_IN, wantsKeys: false },
      ['taken-over'],
    ],
    ['nexus-ended', 'at rest', {}, ['inspect']],
    ['nexus-ended', 'under load', { hasUnfinished: true }, ['inspect', ...ALL_AGAIN]],
    ['nexus-ended', 'claim asked for', { asksForClaim: true }, KEYS_FIRST],
    [
      'nexus-ended',
      'claim asked for, under load',
      { asksForClaim: true, hasUnfinished: true },
      [...KEYS_FIRST, ...ALL_AGAIN],
    ],
    [
      'nexus-ended',
      'of a standby, under load',
      { ...STANDBY, asksForClaim: true, hasUnfinished: true },
      ['inspect'],
    ],
    ['nexus-ended', 'without a key, under load', { ...NO_KEY, hasUnfinished: true }, ALL_AGAIN],
    ['nexus-ended', 'without a key, at rest', NO_KEY, []],
    ['nexus-ended', 'at a login, under load', { ...LOGS_IN, hasUnfinished: true }, []],
    ['changed', 'on the current path', {}, ['recheck']],
    ['changed', 'on a standby', STANDBY, []],
    ['changed', 'at a login', LOGS_IN, []],
    ['conflict', 'without a key', NO_KEY, ['taken-over']],
    ['conflict', 'without a key, the second', { ...NO_KEY, isLookedInto: true }, ['taken-over']],
    ['conflict', 'on the current path', {}, ['freeze', 'inspect']],
    ['conflict', 'on a standby', STANDBY, ['inspect']],
    ['conflict', 'the second of one session', { isLookedInto: true }, []],
  ];

  it.each(cases)('%s, %s', (news, _, standing, steps) => {
    expect(stepsOf(news, { ...HOME, ...standing })).toEqual(steps);
  });

  it('each row counts somewhere, and the last one of each kind fits always', () => {
    const fits = ({ when }: (typeof NEWS)[number], is: NewsStanding): boolean =>
      Object.entries(when).every(([key, value]) => is[key as keyof NewsStanding] === value);
    const used = KINDS.flatMap((news) => {
      const rows = NEWS.filter((row) => row.news === news);
      return standings().map((standing) => rows.find((row) => fits(row, standing)));
    });
    expect(used).not.toContain(undefined);
    expect(new Set(used)).toEqual(new Set(NEWS));
  });

  it('a standby moves no I/O and holds none', () => {
    const moves = ['freeze', 'distrust', 'restart', 'recheck', 'inspect-then-recheck'];
    for (const news of KINDS) {
      for (const standing of standings().filter(({ isCurrent }) => !isCurrent)) {
        expect(stepsOf(news, standing).filter((step) => moves.includes(step))).toEqual([]);
      }
    }
  });

  it('what holds the I/O for the keys always has them looked at', () => {
    for (const news of KINDS) {
      for (const standing of standings()) {
        const steps = stepsOf(news, standing);
        if (!steps.includes('freeze')) continue;
        expect(steps.slice(1).some((step) => step.startsWith('inspect'))).toBe(true);
      }
    }
  });
});

describe('what follows when the keys were read', () => {
  const AT_HOME: Inspected = {
    finding: 'fine',
    wasRefused: false,
    isAgain: false,
    isCurrent: true,
  };
  const REFUSED = { wasRefused: true };
  const cases: readonly [string, Partial<Inspected>, readonly string[]][] = [
    ['fine, nothing was refused', {}, []],
    ['unknown, nothing was refused', { finding: 'unknown' }, []],
    ['preempted', { finding: 'preempted' }, ['taken-over']],
    ['lost', { finding: 'lost' }, ['restart']],
    ['lost, on a standby', { finding: 'lost', isCurrent: false }, ['sever']],
    ['fine, refused', REFUSED, ['restart']],
    ['fine, refused, on a standby', { ...REFUSED, isCurrent: false }, ['sever']],
    ['fine, refused again', { ...REFUSED, isAgain: true }, ['taken-over']],
    ['unknown, refused again', { ...REFUSED, finding: 'unknown', isAgain: true }, ['restart']],
    ['lost, refused again', { ...REFUSED, finding: 'lost', isAgain: true }, ['restart']],
  ];

  it.each(cases)('%s', (_, inspected, steps) => {
    expect(stepsAfter({ ...AT_HOME, ...inspected })).toEqual(steps);
  });

  it('each row counts somewhere; what was refused is never left as it is', () => {
    const used = inspections().map((inspected) => {
      const steps = stepsAfter(inspected);
      if (inspected.wasRefused) expect(steps).not.toEqual([]);
      return FINDINGS.find((row) => row.steps === steps);
    });
    expect(new Set(used)).toEqual(new Set(FINDINGS));
  });
});
