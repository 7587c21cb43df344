import { describe, expect, it } from 'vitest';
import type { PathEffect, PathOrder } from '../../../src/paths/model.ts';
import { Hand, kinds, moves } from './hand.ts';

const three = (): Hand => {
  const hand = Hand.running([100, 90, 80]);
  hand.live(500, ['p0', 'p1', 'p2']);
  return hand;
};
const pin = (hand: Hand, path: string | undefined): readonly PathEffect[] =>
  hand.feed({ kind: 'pinned', path });
const drain = (hand: Hand, path: string, drained = true): readonly PathEffect[] =>
  hand.feed({ kind: 'drain-set', path, drained });
const arrived = (hand: Hand, path: string): readonly PathEffect[] =>
  hand.feed({ kind: 'switched', path });

describe('pin', () => {
  it('moves at once and holds against any weight', () => {
    const hand = three();
    expect(moves(pin(hand, 'p2'))).toEqual(['p0→p2 planned pinned']);
    arrived(hand, 'p2');
    expect(moves(hand.live(600_000, ['p0', 'p1', 'p2']))).toEqual([]);
  });

  it('removed: the volume goes to the heaviest path at once', () => {
    const hand = three();
    pin(hand, 'p2');
    arrived(hand, 'p2');
    expect(moves(pin(hand, undefined))).toEqual(['p2→p0 planned better-path']);
  });

  it('ends when its path goes down', () => {
    const hand = three();
    pin(hand, 'p2');
    arrived(hand, 'p2');
    expect(moves(hand.fail('p2'))).toEqual(['p2→p0 failover connection-reset']);
    expect(hand.state.pin).toBeUndefined();
  });

  it('on a path that is down is void', () => {
    const hand = three();
    hand.fail('p2');
    pin(hand, 'p2');
    expect(hand.state.pin).toBeUndefined();
  });
});

describe('drain', () => {
  it('of the current path moves at once; the end of it brings the volume back at once', () => {
    const hand = three();
    expect(moves(drain(hand, 'p0'))).toEqual(['p0→p1 planned drained']);
    arrived(hand, 'p1');
    expect(moves(hand.live(200_000, ['p0', 'p1', 'p2']))).toEqual([]);
    expect(moves(drain(hand, 'p0', false))).toEqual(['p1→p0 planned better-path']);
  });

  it('of every path moves nothing', () => {
    const hand = three();
    drain(hand, 'p1');
    drain(hand, 'p2');
    expect(moves(drain(hand, 'p0'))).toEqual([]);
  });

  it('a drained path serves when nothing else is left', () => {
    const hand = three();
    drain(hand, 'p1');
    drain(hand, 'p2');
    expect(moves(hand.fail('p0'))).toEqual(['p0→p1 failover connection-reset']);
  });

  it('a path in hold-down is taken before a drained one', () => {
    const hand = three();
    drain(hand, 'p1');
    hand.fail('p2');
    hand.live(3500, ['p0', 'p1', 'p2']);
    expect(hand.path('p2').holdDownUntil).toBeGreaterThan(hand.now);
    expect(moves(hand.fail('p0'))).toEqual(['p0→p2 failover connection-reset']);
  });
});

describe('max weight by hand', () => {
  const weigh = (hand: Hand, path: string, maxWeight: number): readonly PathEffect[] =>
    hand.feed({ kind: 'max-weight-set', path, maxWeight });

  it('raised above the current path: a planned switch, whatever the lead', () => {
    expect(moves(weigh(three(), 'p1', 101))).toEqual(['p0→p1 planned better-path']);
  });

  it('of the current path lowered below another: a planned switch', () => {
    expect(moves(weigh(three(), 'p0', 89))).toEqual(['p0→p1 planned better-path']);
  });

  it('a tie moves nothing; a path that has lost weight keeps it', () => {
    const hand = three();
    expect(moves(weigh(hand, 'p1', 100))).toEqual([]);
    hand.fail('p2');
    weigh(hand, 'p2', 120);
    expect(hand.path('p2').weight).toBe(40);
  });
});

describe('paths come and go', () => {
  it('a new path is asked at once and used by the rule of failback', () => {
    const hand = Hand.running([90]);
    const config = { name: 'new', maxWeight: 100, drained: false };
    hand.at(1000);
    expect(kinds(hand.feed({ kind: 'path-added', config }))).toContain('probe new');
    hand.verified('new');
    hand.good('new');
    expect(moves(hand.live(60_000, ['p0', 'new']))).toEqual(['p0→new failback better-path']);
  });

  it('the current path, removed, stays until another has taken over', () => {
    const hand = three();
    const effects = hand.feed({ kind: 'path-removed', path: 'p0' });
    expect(moves(effects)).toEqual(['p0→p1 planned removed']);
    expect(hand.state.paths.length).toBe(3);
    arrived(hand, 'p1');
    expect(hand.state.paths.map((path) => path.name)).toEqual(['p1', 'p2']);
  });

  it('a banned current path is left at once; readmitted, it comes home once it answers', () => {
    const hand = three();
    const banned = { kind: 'banned', detail: 'size differs' } as const;
    const effects = hand.feed({ kind: 'identity', path: 'p0', identity: banned });
    expect(moves(effects)).toEqual(['p0→p1 failover lun-absent']);
    arrived(hand, 'p1');
    hand.live(20_000, ['p1', 'p2']);
    expect(kinds(hand.feed({ kind: 'readmitted', path: 'p0' }))).toEqual(['probe p0']);
    hand.verified('p0');
    expect(moves(hand.good('p0'))).toEqual(['p1→p0 planned better-path']);
  });
});

describe('a switch under way', () => {
  it('whose target dies is replaced', () => {
    const hand = three();
    hand.fail('p0');
    expect(moves(hand.fail('p1'))).toEqual(['p0→p2 failover connection-reset']);
    expect(kinds(hand.fail('p2'))).toContain('hold');
  });

  it('planned, whose source dies, becomes a failover', () => {
    const hand = three();
    drain(hand, 'p0');
    expect(moves(hand.fail('p0'))).toEqual(['p0→p1 failover connection-reset']);
  });

  it('planned, whose target dies, goes elsewhere, or stays', () => {
    const hand = three();
    drain(hand, 'p0');
    expect(moves(hand.fail('p1'))).toEqual(['p0→p2 planned drained']);
    expect(moves(hand.fail('p2'))).toEqual(['p0→p0 planned connection-reset']);
  });

  it('given up is tried again later, each time later', () => {
    const hand = three();
    drain(hand, 'p0');
    const gaps: number[] = [];
    for (let i = 0; i < 3; i += 1) {
      hand.feed({ kind: 'switch-abandoned', path: 'p1', reason: 'busy' });
      const since = hand.now;
      while (hand.state.move === undefined) hand.live(hand.now + 100, ['p0', 'p1', 'p2']);
      gaps.push(hand.now - since);
    }
    expect(gaps).toEqual([10_000, 20_000, 40_000]);
  });

  it('a new order does not wait for an earlier attempt', () => {
    const hand = three();
    drain(hand, 'p0');
    hand.feed({ kind: 'switch-abandoned', path: 'p1', reason: 'busy' });
    expect(moves(pin(hand, 'p2'))).toEqual(['p0→p2 planned pinned']);
  });
});

describe('several orders of one change', () => {
  const weigh = (path: string, maxWeight: number): PathOrder => ({
    kind: 'max-weight-set',
    path,
    maxWeight,
  });
  const drained = (path: string, is = true): PathOrder => ({
    kind: 'drain-set',
    path,
    drained: is,
  });
  const removed = (path: string): PathOrder => ({ kind: 'path-removed', path });
  const permuted = <T>(all: readonly T[]): T[][] =>
    all.length < 2
      ? [[...all]]
      : all.flatMap((one) =>
          permuted(all.filter((other) => other !== one)).map((r) => [one, ...r]),
        );

  it.each([
    ['weights that end equal', [weigh('p0', 80), weigh('p1', 80)], []],
    ['weights that swap', [weigh('p0', 90), weigh('p1', 100)], ['p0→p1 planned better-path']],
    ['weights that all rise', [weigh('p0', 120), weigh('p1', 110), weigh('p2', 105)], []],
    ['two drains', [drained('p0'), drained('p1')], ['p0→p2 planned drained']],
    ['three drains', [drained('p0'), drained('p1'), drained('p2')], []],
    ['two removals', [removed('p0'), removed('p1')], ['p0→p2 planned removed']],
    [
      'a pin and a drain',
      [{ kind: 'pinned', path: 'p2' } as const, drained('p0')],
      ['p0→p2 planned pinned'],
    ],
    ['a drain and a weight', [drained('p1'), weigh('p0', 70)], ['p0→p2 planned better-path']],
  ])('%s: decided once, in whatever order they come', (_, orders, expected) => {
    for (const some of permuted<PathOrder>(orders)) {
      const hand = three();
      expect(moves(hand.feed({ kind: 'ordered', orders: some }))).toEqual(expected);
      expect(hand.state.switches).toBe(1);
    }
  });

  it('the current path lowered below a drained one: the best in service takes over', () => {
    const hand = three();
    drain(hand, 'p1');
    const effects = hand.feed({ kind: 'ordered', orders: [weigh('p0', 70)] });
    expect(moves(effects)).toEqual(['p0→p2 planned better-path']);
  });
});
