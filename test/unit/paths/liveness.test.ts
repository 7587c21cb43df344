import { describe, expect, it } from 'vitest';
import { Hand, kinds, moves } from './hand.ts';

const stalled = (isSilent: boolean) =>
  ({ kind: 'io-stalled', path: 'p0', silentMs: isSilent ? 1000 : 0 }) as const;

describe('suspicion', () => {
  it('a suspect current path has every standby and itself asked at once', () => {
    const hand = Hand.running([100, 90, 80]);
    hand.at(500).live(500, ['p0', 'p1', 'p2']);
    hand.at(hand.path('p0').nextProbeAt).tick();
    hand.at(hand.now + 1000);
    const effects = kinds(hand.bad('p0'));
    expect(effects).toContain('note p0');
    expect(effects).toEqual(expect.arrayContaining(['probe p0', 'probe p1', 'probe p2']));
    expect(hand.path('p0').weight).toBe(100);
  });

  it('a suspect standby is asked again alone', () => {
    const hand = Hand.running([100, 90, 80]);
    hand.live(1500, ['p0', 'p1', 'p2']);
    hand.at(hand.path('p1').nextProbeAt).tick();
    hand.at(hand.now + 1000);
    expect(kinds(hand.bad('p1'))).not.toContain('probe p2');
    expect(hand.path('p1').probe).toBeDefined();
  });
});

describe('I/O that does not move', () => {
  it('is held against the path when overdue and a standby has answered since the suspicion', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    expect(kinds(hand.feed(stalled(false)))).toEqual(['note p0', 'probe p0', 'probe p1']);
    expect(moves(hand.good('p1'))).toEqual([]);
    expect(moves(hand.at(1000).feed(stalled(true)))).toEqual(['p0→p1 failover io-stalled']);
  });

  it('proves nothing while no standby answers', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    hand.feed(stalled(false));
    expect(moves(hand.at(1000).feed(stalled(true)))).toEqual([]);
    expect(moves(hand.good('p1'))).toEqual(['p0→p1 failover io-stalled']);
  });

  it('an answer to a probe sent before the suspicion is no evidence', () => {
    const hand = Hand.running([100, 90]);
    hand.live(1500, ['p0', 'p1']);
    hand.at(hand.path('p1').nextProbeAt).tick();
    hand.at(hand.now + 5).feed(stalled(false));
    expect(moves(hand.feed(stalled(true)))).toEqual([]);
    expect(moves(hand.good('p1'))).toEqual([]);
    hand.at(hand.now + 100).tick();
    expect(moves(hand.good('p1'))).toEqual(['p0→p1 failover io-stalled']);
  });

  it('never takes down a path that has no other beside it', () => {
    const hand = Hand.running([100]);
    hand.live(500, ['p0']);
    hand.feed(stalled(false));
    expect(kinds(hand.at(1000).feed(stalled(true)))).not.toContain('sever p0');
    expect(hand.path('p0').liveness).toBe('up');
  });

  it('progress clears the suspicion, and so does an answer to a probe sent since: it is slow', () => {
    const hand = Hand.running([100, 90]);
    hand.live(1500, ['p0', 'p1']);
    hand.at(hand.path('p0').nextProbeAt).tick();
    hand.at(hand.now + 5).feed(stalled(false));
    hand.good('p0'); // asked before
    expect(hand.path('p0').suspectSince).toBeDefined();
    hand.feed({ kind: 'io-progressed', path: 'p0' });
    expect(hand.path('p0')).toMatchObject({ suspectSince: undefined, stall: 'none' });
    hand.live(3000, ['p0', 'p1']);
    hand.feed(stalled(false));
    hand.good('p0');
    expect(hand.path('p0')).toMatchObject({ suspectSince: undefined, stall: 'slow' });
  });

  it('slow as it is, nothing is switched, however long, and nobody is asked out of turn', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    const seen = [...hand.feed(stalled(false)), ...hand.good('p0'), ...hand.good('p1')];
    for (let now = 1000; now < 600_000; now += 100) {
      seen.push(...hand.live(now, ['p0', 'p1']), ...hand.feed(stalled(false)));
    }
    expect(moves(seen)).toEqual([]);
    expect(kinds(seen).filter((kind) => kind === 'note p0')).toHaveLength(1);
    expect(seen.filter(({ kind }) => kind === 'probe').length).toBeLessThan(1000);
    expect(hand.path('p0').weight).toBe(100);
  });

  it('a slow path that falls silent is left all the same', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    hand.feed(stalled(false));
    hand.good('p0');
    hand.live(5000, ['p0', 'p1']);
    hand.at(5100).feed(stalled(true));
    hand.at(5200).tick();
    expect(moves(hand.good('p1'))).toEqual(['p0→p1 failover io-stalled']);
  });

  it('READs that hang behind it while a standby answers them: its back end hangs', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    hand.feed(stalled(false));
    hand.good('p1');
    expect(moves(hand.at(990).feed(stalled(false)))).toEqual([]);
    expect(moves(hand.at(1000).feed(stalled(false)))).toEqual(['p0→p1 failover probe-timeout']);
  });

  it('READs that hang on the standby as well prove nothing', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    const seen = [...hand.feed(stalled(false))];
    for (let now = 1500; now < 60_000; now += 1000) {
      seen.push(...hand.at(now).feed(stalled(false)), ...hand.late('p0'), ...hand.late('p1'));
    }
    expect(moves(seen)).toEqual([]);
    expect(kinds(seen)).not.toContain('hold');
  });

  it('nor do READs that are answered by the standby hardly faster', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    hand.feed(stalled(false));
    hand.at(900);
    expect(moves([...hand.good('p1', 400_000), ...hand.at(1200).feed(stalled(false))])).toEqual([]);
    expect(moves(hand.at(2200).feed(stalled(false)))).toEqual(['p0→p1 failover probe-timeout']);
  });
});

describe('completed I/O', () => {
  it('excuses a probe that timed out meanwhile', () => {
    const hand = Hand.running([100, 90]);
    for (let i = 0; i < 5; i += 1) {
      hand.at(hand.path('p0').nextProbeAt).tick();
      hand.at(hand.now + 1000).feed({ kind: 'io-progressed', path: 'p0' });
      hand.bad('p0');
      expect(hand.path('p0').failures).toBe(0);
    }
  });

  it('does not raise the weight', () => {
    const hand = Hand.running([100, 90]);
    hand.fail('p0');
    hand.feed({ kind: 'switched', path: 'p1' });
    hand.live(20_000, ['p0', 'p1']);
    const { weight } = hand.path('p0');
    for (let i = 0; i < 20; i += 1) hand.feed({ kind: 'io-progressed', path: 'p0' });
    expect(hand.path('p0').weight).toBe(weight);
  });
});

describe('a stall of our own', () => {
  const timeouts = (count: number, stallMs: number): Hand => {
    const hand = Hand.running([100, 90]);
    hand.live(800, ['p0', 'p1']);
    for (let i = 0; i < count; i += 1) {
      hand.at(Math.max(hand.now, hand.path('p0').nextProbeAt)).tick();
      hand.at(hand.now + 1500).feed({ kind: 'own-stall', durationMs: stallMs });
      hand.bad('p0');
    }
    return hand;
  };

  it('excuses timeouts, three times in a row and no more', () => {
    expect(timeouts(3, 1500).path('p0').failures).toBe(0);
    expect(timeouts(4, 1500).path('p0').failures).toBe(1);
    expect(timeouts(5, 1500).path('p0').liveness).toBe('down');
  });

  it('of less than half the deadline excuses nothing', () => {
    expect(timeouts(2, 500).path('p0').liveness).toBe('down');
  });

  it('excuses no reset', () => {
    const hand = Hand.running([100, 90]);
    hand.live(800, ['p0', 'p1']);
    hand.at(hand.path('p0').nextProbeAt).tick();
    hand.feed({ kind: 'own-stall', durationMs: 3000 });
    hand.bad('p0', true);
    expect(hand.path('p0').liveness).toBe('down');
  });

  it('extends the deadline of I/O by its length', () => {
    const hand = Hand.running([100, 90]);
    hand.live(500, ['p0', 'p1']);
    hand.feed(stalled(false));
    hand.good('p1');
    hand.at(2000).feed({ kind: 'own-stall', durationMs: 1500 });
    expect(moves(hand.feed(stalled(true)))).toEqual([]);
    expect(moves(hand.at(3500).feed(stalled(true)))).toEqual(['p0→p1 failover io-stalled']);
  });
});

describe('coming up again', () => {
  it('takes two good probes, and one when nothing else is up', () => {
    const hand = Hand.running([100, 90]);
    hand.fail('p0');
    hand.feed({ kind: 'switched', path: 'p1' });
    hand.at(1200).tick();
    hand.good('p0');
    expect(hand.path('p0').liveness).toBe('down');
    const effects = hand.fail('p1'); // p0 has one good probe: enough now
    expect(moves(effects)).toEqual(['p1→p0 failover connection-reset']);
  });

  it('waits 10 s, then twice as long each time, before it may be preferred', () => {
    const hand = Hand.running([100, 90]);
    const waits: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      hand.fail('p0');
      if (hand.state.move !== undefined) hand.feed({ kind: 'switched', path: 'p1' });
      for (let t = 0; hand.path('p0').liveness === 'down' && t < 100; t += 1) {
        hand.live(hand.now + 100, ['p0', 'p1']);
      }
      waits.push(Math.round((hand.path('p0').holdDownUntil! - hand.now) / 1000));
    }
    expect(waits).toEqual([10, 20, 40, 80, 160, 320, 600, 600]);
  });

  it('nobody answers a probe: it counts as failed after login and probe limits', () => {
    const hand = Hand.running([100, 90]);
    hand.live(60_000, ['p1']);
    expect(hand.path('p0').liveness).toBe('down');
  });
});

it('time that goes back is a programmer’s error', () => {
  const hand = new Hand([100]).at(10);
  hand.tick();
  expect(() => hand.at(9).tick()).toThrow('time never goes back');
});
