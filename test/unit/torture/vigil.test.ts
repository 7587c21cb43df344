/** What torture judges while faults run: a request for which some path was well, a volume that blames them. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Health } from '../../torture/health.ts';
import { Vigil } from '../../torture/vigil.ts';

let found: string[] = [];
let oldest: { op: string; start: number } | undefined;
let serves: number | undefined;
let health: Health;
let vigil: Vigil;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  [found, oldest, serves] = [[], undefined, 0];
  health = new Health(['p0', 'p1'], Date.now);
  vigil = new Vigil({
    health,
    now: Date.now,
    oldest: () => oldest,
    servesSince: () => serves,
    noPathTimeoutMs: 4_000,
    find: (rule, what) => found.push(`${rule}: ${what}`),
  });
});

afterEach(() => {
  vigil.close();
  vi.useRealTimers();
});

describe('a request that waits', () => {
  beforeEach(() => {
    oldest = { op: 'write', start: 0 };
  });

  it('is stuck when a path has been well all the while', () => {
    health.begin('p0');
    vi.advanceTimersByTime(19_000);
    expect(found).toEqual([]);
    vi.advanceTimersByTime(1_500);
    expect(found[0]).toMatch(/^stuck: a write has waited for 20.\d s, and p1 could have/);
  });

  it('is not while no path was well for so long, one after the other', () => {
    for (let turn = 0; turn < 10; turn++) {
      const bad = turn % 2 === 0 ? 'p0' : 'p1';
      const good = bad === 'p0' ? 'p1' : 'p0';
      health.begin(bad);
      vi.advanceTimersByTime(15_000);
      health.begin(good);
      health.end(bad);
      health.end(good);
    }
    expect(found).toEqual([]);
  });

  it('is not while a path is out of use by order, or no worker serves, or the storage is slow', () => {
    health.begin('p0');
    health.begin('p1');
    health.begin('p1');
    health.end('p1');
    vi.advanceTimersByTime(30_000);
    health.end('p1');
    serves = undefined;
    vi.advanceTimersByTime(30_000);
    serves = Date.now();
    vigil.slowBegins();
    vi.advanceTimersByTime(30_000);
    vigil.slowEnds();
    vi.advanceTimersByTime(14_000);
    expect(found).toEqual([]);
  });
});

describe('slow storage', () => {
  it('is no reason to go from path to path', () => {
    vigil.slowBegins();
    vigil.failover('p0', 'p1');
    vigil.failover('p1', 'p0');
    expect(found).toEqual([]);
    vigil.failover('p0', 'p1');
    expect(found[0]).toMatch(/^blame: p0 -> p1 is failover 3 while every path is well/);
  });

  it('excuses nothing that comes after it, and counts nothing then', () => {
    for (let turn = 0; turn < 3; turn++) {
      vigil.slowBegins();
      vigil.failover('p0', 'p1');
      vigil.slowEnds();
      for (let more = 0; more < 5; more++) vigil.failover('p1', 'p0');
    }
    expect(found).toEqual([]);
  });
});

describe('a volume that gives up', () => {
  it('does so for nothing when all paths have been well for longer than it waits', () => {
    vi.advanceTimersByTime(6_000);
    vigil.gaveUp('held');
    expect(found[0]).toMatch(/^failed: with every path well for 6000 ms: held/);
  });

  it('may when one of them was not, until a moment ago', () => {
    health.begin('p1');
    vi.advanceTimersByTime(10_000);
    vigil.gaveUp('held');
    health.end('p1');
    vi.advanceTimersByTime(5_000);
    vigil.gaveUp('held');
    expect(found).toEqual([]);
  });
});
