import { describe, expect, it } from 'vitest';
import { Hand, kinds, moves } from './hand.ts';

describe('at the start', () => {
  it('asks every path at once and punishes none', () => {
    const hand = new Hand([100, 90, 80]);
    expect(kinds(hand.tick())).toEqual(['probe p0', 'probe p1', 'probe p2']);
    expect(hand.state.paths.map((path) => path.weight)).toEqual([100, 90, 80]);
  });

  it('chooses when every path has answered, well or badly', () => {
    const hand = new Hand([100, 90]);
    hand.tick();
    hand.verified('p1');
    expect(moves(hand.good('p1'))).toEqual([]);
    expect(moves(hand.bad('p0', true))).toEqual(['none→p1 failover first-path']);
  });

  it('waits for the heaviest no longer than start-grace after the first usable path', () => {
    const hand = new Hand([100, 90]);
    hand.tick();
    hand.at(50).verified('p1');
    expect(moves(hand.good('p1'))).toEqual([]);
    expect(hand.wakeAt).toBe(350);
    expect(moves(hand.at(349).tick())).toEqual([]);
    expect(moves(hand.at(350).tick())).toEqual(['none→p1 failover first-path']);
  });

  it('does not wait for a path that is banned, and never uses it', () => {
    const hand = new Hand([100, 90]);
    hand.tick();
    hand.verified('p1');
    hand.good('p1');
    const banned = { kind: 'banned', detail: 'other serial' } as const;
    const effects = hand.feed({ kind: 'identity', path: 'p0', identity: banned });
    expect(moves(effects)).toEqual(['none→p1 failover first-path']);
    expect(kinds(hand.live(60_000, ['p1']))).not.toContain('probe p0');
  });

  it('a path whose ban is taken back is asked again, and not within probe-gap of the question before', () => {
    const hand = Hand.running([100, 90], { 'probe-gap': '100ms' });
    while (hand.path('p1').probe === undefined) {
      hand.at(hand.wakeAt!).tick();
      if (hand.path('p0').probe !== undefined) hand.good('p0');
    }
    const lastProbeAt = hand.now;
    hand.at(lastProbeAt + 1);
    const banned = { kind: 'banned', detail: 'other serial' } as const;
    hand.feed({ kind: 'identity', path: 'p1', identity: banned });
    hand.at(lastProbeAt + 2);
    expect(kinds(hand.verified('p1'))).not.toContain('probe p1');
    expect(kinds(hand.at(lastProbeAt + 100).tick())).toContain('probe p1');
  });

  it('holds when every path has failed, never latches, and uses the first to answer', () => {
    const hand = new Hand([100, 90], { 'no-path-timeout': '10s' });
    hand.tick();
    hand.bad('p0', true);
    expect(kinds(hand.bad('p1', true))).toContain('hold');
    expect(kinds(hand.live(60_000, []))).not.toContain('latch');
    hand.verified('p1');
    expect(moves(hand.good('p1'))).toEqual(['none→p1 failover first-path']);
  });

  it('a path that answers and is not verified carries nothing', () => {
    const hand = new Hand([100]);
    hand.tick();
    expect(kinds(hand.good('p0'))).toEqual(['hold']);
    expect(moves(hand.verified('p0'))).toEqual(['none→p0 failover first-path']);
  });
});
