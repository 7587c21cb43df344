import { describe, expect, it } from 'vitest';
import type { Cause, PathEffect } from '../../../src/paths/model.ts';
import { Hand, kinds, moves } from './hand.ts';

const latches = (effects: readonly { kind: string }[]): number =>
  effects.filter((effect) => effect.kind === 'latch').length;

describe('all paths down', () => {
  it('holds, once; the first path to answer is used whatever its weight', () => {
    const hand = Hand.running([100, 90, 80]);
    hand.fail('p0');
    hand.fail('p1');
    expect(kinds(hand.fail('p2'))).toContain('hold');
    expect(kinds(hand.live(10_000, []))).not.toContain('hold');
    hand.live(hand.now + 3000, []);
    while (hand.path('p2').probe === undefined) hand.live(hand.now + 100, []);
    expect(moves(hand.good('p2'))).toEqual(['p0→p2 failover connection-reset']);
  });

  it('latches after no-path-timeout, counted from the death of the path in use, once', () => {
    const hand = Hand.running([100, 90]);
    hand.at(1000).fail('p0'); // a failover that never gets done
    hand.at(50_000).fail('p1');
    expect(latches(hand.live(120_999, []))).toBe(0);
    const effects = hand.live(121_000, []);
    expect(effects.find((effect) => effect.kind === 'latch')).toEqual({
      kind: 'latch',
      heldMs: 120_000,
    });
    expect(latches(hand.live(400_000, []))).toBe(0);
  });

  it('latched is for ever: no path that answers is used, not even asked for', () => {
    const hand = Hand.running([100, 90], { 'no-path-timeout': '10s' });
    hand.fail('p0');
    hand.fail('p1');
    hand.live(20_000, []);
    const effects = hand.live(100_000, ['p0', 'p1']);
    expect(moves(effects)).toEqual([]);
    expect(hand.path('p0').liveness).toBe('up');
  });

  it('a failover that hangs counts against the timeout as well', () => {
    const hand = Hand.running([100, 90]);
    hand.at(1000).fail('p0');
    expect(latches(hand.live(120_999, ['p1']))).toBe(0);
    expect(latches(hand.live(121_000, ['p1']))).toBe(1);
  });

  it('is over when the switch is done: the clock starts anew', () => {
    const hand = Hand.running([100, 90]);
    hand.at(1000).fail('p0');
    hand.live(100_000, ['p1']);
    hand.feed({ kind: 'switched', path: 'p1' });
    expect(latches(hand.live(500_000, ['p1']))).toBe(0);
  });

  it('0: fails at once when nothing is left, and lets a failover have its time', () => {
    const hand = Hand.running([100, 90], { 'no-path-timeout': '0', fencing: 'delay=2s' });
    expect(latches(hand.fail('p0'))).toBe(0);
    expect(latches(hand.live(6999, ['p1']))).toBe(0);
    expect(latches(hand.live(7000, ['p1']))).toBe(1);
    const other = Hand.running([100], { 'no-path-timeout': '0' });
    expect(kinds(other.fail('p0'))).toEqual(['sever p0', 'note p0', 'hold', 'latch']);
  });

  it('forever: never', () => {
    const hand = Hand.running([100], { 'no-path-timeout': 'forever' });
    hand.fail('p0');
    expect(latches(hand.live(3_000_000, []))).toBe(0);
  });
});

describe('a logical unit that is gone', () => {
  const absent: Cause = { kind: 'lun-absent', detail: 'by hand' };
  const holds = (effects: readonly PathEffect[]): string[] =>
    effects.flatMap((effect) => (effect.kind === 'hold' ? [effect.cause.kind] : []));
  const gone = (hand: Hand, path: string): readonly PathEffect[] =>
    hand.feed({ kind: 'path-failed', path, cause: absent });

  it('is told from paths that are down: every path that answers says so', () => {
    const hand = Hand.running([100, 90, 80]);
    gone(hand, 'p0');
    gone(hand, 'p2');
    expect(holds(hand.fail('p1'))).toEqual(['lun-absent']); // a reset says nothing
  });

  it('is not said while a path says otherwise, and not of paths that are silent', () => {
    const hand = Hand.running([100, 90]);
    const cause: Cause = { kind: 'login-rejected', detail: 'by hand' };
    hand.feed({ kind: 'path-failed', path: 'p1', cause });
    expect(
      gone(hand, 'p0').flatMap((effect) => (effect.kind === 'hold' ? [effect.cause.detail] : [])),
    ).toEqual(['by hand']);
    const other = Hand.running([100, 90]);
    other.fail('p1');
    expect(holds(other.fail('p0'))).toEqual(['connection-reset']);
  });
});

describe('brown-out', () => {
  const names = ['p0', 'p1', 'p2'];

  it('of the current path costs one halving, and the volume leaves it within 12 s', () => {
    const hand = Hand.running([100, 90, 80]);
    hand.live(15_000, names);
    const effects = hand.live(27_000, names, (path) => (path === 'p0' ? 400_000 : 2000));
    expect(moves(effects)).toEqual(['p0→p1 failback brown-out']);
    expect(hand.path('p0').weight).toBe(50);
    expect(hand.path('p0').liveness).toBe('up');
  });

  it('halves once per episode', () => {
    const hand = Hand.running([100, 90, 80], { 'failback-lead': '60' });
    hand.live(15_000, names);
    hand.live(120_000, names, (path) => (path === 'p0' ? 400_000 : 2000));
    expect(hand.path('p0').weight).toBe(50);
  });

  it('of every path is the backend’s: nothing happens', () => {
    const hand = Hand.running([100, 90, 80]);
    hand.live(15_000, names);
    const effects = hand.live(120_000, names, () => 400_000);
    expect(moves(effects)).toEqual([]);
    expect(hand.path('p0').weight).toBe(100);
  });

  it('four times the others is nothing while below 50 ms', () => {
    const hand = Hand.running([100, 90, 80]);
    hand.live(120_000, names, (path) => (path === 'p0' ? 49_000 : 2000));
    expect(hand.path('p0').weight).toBe(100);
  });

  it('of everything, however much the paths differ, is the backend’s', () => {
    const hand = Hand.running([100, 90, 80]);
    hand.live(15_000, names);
    const slow = (path: string): number => (path === 'p0' ? 900_000 : 60_000);
    expect(moves(hand.live(120_000, names, slow))).toEqual([]);
    expect(hand.path('p0').weight).toBe(100);
  });

  /** p0 slow from 15 s on; whatever carries the I/O is, from the switch on. */
  const carried = (alsoSlow: boolean): { hand: Hand; effects: readonly PathEffect[] } => {
    const hand = Hand.running([100, 90, 80], { 'failback-jitter': '0', 'failback-tokens': '9' });
    hand.live(15_000, names);
    let effects: PathEffect[] = [];
    for (let untilMs = 15_100; untilMs <= 60_000; untilMs += 100) {
      const asked = hand.live(untilMs, names, (path) => {
        const busy = path === 'p0' || (alsoSlow && path === hand.state.current);
        return busy ? 400_000 : 2000;
      });
      effects = effects.concat(asked);
      const move = hand.state.move;
      if (move !== undefined) {
        effects = effects.concat(hand.feed({ kind: 'switched', path: move.to }));
      }
    }
    return { hand, effects };
  };
  const undone = (effects: readonly PathEffect[]): number =>
    effects.filter((effect) => effect.kind === 'note' && effect.note === 'brown-out-undone').length;

  it('that has come along to the next path is undone, and nothing is called one for 10 minutes', () => {
    const { hand, effects } = carried(true);
    expect(moves(effects).filter((move) => move.endsWith('brown-out'))).toHaveLength(1);
    expect(undone(effects)).toBe(1);
    expect(hand.path('p0').weight).toBeGreaterThanOrEqual(90);
    expect(hand.state.brownOut.frozenUntil).toBeGreaterThan(600_000);
    const later = hand.live(600_000, names, (path) =>
      path === hand.state.current ? 400_000 : 2000,
    );
    expect(later.filter((effect) => effect.kind === 'note' && effect.note === 'brown-out')).toEqual(
      [],
    );
  });

  it('that was the path’s own stays: ten seconds on the new one have shown it', () => {
    const { hand, effects } = carried(false);
    expect(undone(effects)).toBe(0);
    expect(hand.path('p0').weight).toBe(50);
    expect(hand.state.brownOut.trial).toBeUndefined();
    expect(hand.state.current).toBe('p1');
  });

  it('a slow probe earns no weight', () => {
    const hand = Hand.running([100, 90, 80]);
    hand.fail('p2');
    const slow = (path: string): number => (path === 'p2' ? 400_000 : 2000);
    hand.live(60_000, names, slow);
    expect(hand.path('p2').liveness).toBe('up');
    expect(hand.path('p2').weight).toBe(40);
  });
});
