/** READs that are late behind a front end that answers pings: slow, or hung? */
import { describe, expect, it } from 'vitest';
import { Hand, kinds, moves } from './hand.ts';

/** The next probe of the path is sent; then it is late for so many seconds, the others answer. */
function lateFor(hand: Hand, path: string, seconds: number, alive: readonly string[]) {
  hand.at(Math.max(hand.now, hand.path(path).nextProbeAt)).tick();
  const seen = [];
  for (let n = 0; n < seconds; n++) {
    seen.push(...hand.live(hand.now + 1000, alive));
    if (hand.path(path).probe !== undefined) seen.push(...hand.late(path));
    seen.push(...hand.live(hand.now + 5, alive));
  }
  return seen;
}

describe('READs that are late', () => {
  it('are held against the path after two deadlines, if another path answers them', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    expect(moves(lateFor(hand, 'p0', 1, ['p1']))).toEqual([]);
    expect(hand.path('p0').suspectSince).toBeDefined();
    expect(moves(lateFor(hand, 'p0', 1, ['p1']))).toEqual(['p0→p1 failover probe-timeout']);
  });

  it('are not where no other path answers: nothing is down, nothing is held, ever', () => {
    const hand = Hand.running([100, 90], { 'no-path-timeout': 'forever' });
    hand.live(500, ['p0', 'p1']);
    const seen = [];
    hand.at(2500).tick();
    for (let now = 3500; now < 1_000_000; now += 1000) {
      hand.at(now);
      seen.push(...hand.late('p0'), ...hand.late('p1'));
    }
    expect(kinds(seen).filter((kind) => /switch|hold|latch|sever/.test(kind))).toEqual([]);
  });

  it('and nothing at all is answered for no-path-timeout: that is its end', () => {
    const hand = Hand.running([100, 90], { 'no-path-timeout': '60s' });
    hand.live(500, ['p0', 'p1']);
    hand.at(2500).tick();
    const seen = [];
    for (let now = 3500; now < 61_000; now += 1000) {
      hand.at(now);
      seen.push(...hand.late('p0'), ...hand.late('p1'));
    }
    expect(kinds(seen)).not.toContain('latch');
    expect(kinds(hand.at(62_500).tick())).toContain('latch');
  });

  it('answered after all, they tell how long READs take here', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    hand.at(hand.path('p0').nextProbeAt).tick();
    hand.at(hand.now + 1000);
    hand.late('p0');
    hand.at(hand.now + 900);
    hand.good('p0', 1_900_000);
    // Twice that time is needed now, where two seconds were.
    expect(moves(lateFor(hand, 'p0', 3, ['p1']))).toEqual([]);
    expect(moves(lateFor(hand, 'p0', 1, ['p1']))).toEqual(['p0→p1 failover probe-timeout']);
  });

  it('earn no weight', () => {
    const hand = Hand.running([100, 90]);
    hand.fail('p1');
    hand.live(20_000, ['p0', 'p1']);
    const { weight } = hand.path('p1');
    hand.at(hand.path('p1').nextProbeAt).tick();
    hand.at(hand.now + 1000).feed({ kind: 'probe-late', path: 'p1', probe: 0 }); // another one's
    hand.late('p1');
    hand.good('p1', 1_100_000);
    expect(hand.path('p1').weight).toBe(weight);
  });

  it('of a path that is down: a new session next time, while another path serves', () => {
    const hand = Hand.running([100, 90]);
    hand.fail('p0');
    hand.feed({ kind: 'switched', path: 'p1' });
    const seen = lateFor(hand, 'p0', 2, ['p1']);
    expect(kinds(seen)).toContain('sever p0');
  });
});

describe('verdicts', () => {
  const silent = (path: string, silentMs: number) =>
    ({ kind: 'io-stalled', path, silentMs }) as const;

  /** The current path falls silent and the other one answers; whether that is enough. */
  function leaves(hand: Hand, from: string, to: string, silentMs: number): boolean {
    hand.at(hand.now + 200).feed(silent(from, 350));
    hand.at(hand.now + 300).tick();
    if (hand.path(to).probe !== undefined) hand.good(to);
    const isLeft = moves(hand.feed(silent(from, silentMs))).length > 0;
    if (isLeft) hand.feed({ kind: 'switched', path: to });
    return isLeft;
  }

  it('that follow each other need more and more evidence: nothing goes round for ever', () => {
    const hand = Hand.running([100, 90]);
    const alive = ['p0', 'p1'];
    hand.live(500, alive);
    expect(leaves(hand, 'p0', 'p1', 1000)).toBe(true);
    hand.live(hand.now + 2500, alive);
    expect(leaves(hand, 'p1', 'p0', 1000)).toBe(true);
    hand.live(hand.now + 2500, alive);
    expect(leaves(hand, 'p0', 'p1', 1000)).toBe(false);
    expect(leaves(hand, 'p0', 'p1', 8000)).toBe(true);
  });

  it('after ten quiet seconds are as quick as the first', () => {
    const hand = Hand.running([100, 90]);
    const alive = ['p0', 'p1'];
    hand.live(500, alive);
    for (const [from, to] of [
      ['p0', 'p1'],
      ['p1', 'p0'],
      ['p0', 'p1'],
      ['p1', 'p0'],
    ] as const) {
      expect(leaves(hand, from, to, 1000)).toBe(true);
      hand.live(hand.now + 12_000, alive);
    }
  });
});

describe('no-path-timeout', () => {
  it('is not begun anew by a switch to a path that answers nothing', () => {
    const hand = Hand.running([100, 90], { 'no-path-timeout': '30s' });
    hand.live(500, ['p0', 'p1']);
    hand.fail('p0');
    hand.at(20_000).feed({ kind: 'switched', path: 'p1' });
    hand.fail('p1');
    expect(kinds(hand.at(30_400).tick())).not.toContain('latch');
    expect(kinds(hand.at(30_500).tick())).toContain('latch');
  });

  it('is begun anew by an answer', () => {
    const hand = Hand.running([100, 90], { 'no-path-timeout': '30s' });
    hand.live(500, ['p0', 'p1']);
    hand.fail('p0');
    hand.at(20_000).feed({ kind: 'switched', path: 'p1' });
    hand.feed({ kind: 'io-progressed', path: 'p1' });
    hand.fail('p1');
    expect(kinds(hand.at(49_900).tick())).not.toContain('latch');
    expect(kinds(hand.at(50_000).tick())).toContain('latch');
  });
});
