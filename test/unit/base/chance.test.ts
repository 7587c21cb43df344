import { describe, expect, it } from 'vitest';
import { hash32 } from '../../../src/base/hash.ts';
import { Prng } from '../../../src/base/prng.ts';

describe('hash32', () => {
  it('tells parts apart and is the same everywhere', () => {
    expect(hash32('a', 'b')).not.toBe(hash32('ab'));
    expect(hash32('volume', 'p0')).toBe(hash32('volume', 'p0'));
    expect(hash32('volume', 1)).toBe(hash32('volume', '1'));
    expect(hash32('volume', 'p0')).toBe(2447928107);
  });

  it('spreads volumes evenly over equal paths', () => {
    const wins = [0, 0, 0];
    for (let volume = 0; volume < 9000; volume += 1) {
      const scores = [0, 1, 2].map((path) => hash32(`pvc-${volume}`, `p${path}`));
      wins[scores.indexOf(Math.max(...scores))]! += 1;
    }
    for (const count of wins) expect(Math.abs(count - 3000)).toBeLessThan(200);
  });
});

describe('Prng', () => {
  it('repeats from its seed and keeps its range', () => {
    const draw = (seed: number): number[] => {
      const prng = new Prng(seed);
      return Array.from({ length: 2000 }, () => prng.below(7));
    };
    expect(draw(5)).toEqual(draw(5));
    expect(draw(5)).not.toEqual(draw(6));
    expect([...new Set(draw(5))].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('refuses an empty range', () => {
    expect(() => new Prng(1).below(0)).toThrow('limit of Prng.below');
  });
});
