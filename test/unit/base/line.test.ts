import { describe, expect, it } from 'vitest';
import { Line, type LinePlace } from '../../../src/base/line.ts';
import { Prng } from '../../../src/base/prng.ts';

function alongPlaces(line: Line<number>): number[] {
  const items: number[] = [];
  for (let place = line.first; place !== undefined; place = place.next) items.push(place.item);
  return items;
}

describe('Line', () => {
  it('is in the order of a Set, whatever joins and leaves', () => {
    const prng = new Prng(7);
    const line = new Line<number>();
    const set = new Set<number>();
    const places: LinePlace<number>[] = [];
    for (let step = 0; step < 20_000; step++) {
      // Grows and shrinks by turns, and is empty now and then.
      if (prng.below(100) < (step % 400 < 200 ? 60 : 40)) {
        places.push(line.join(step));
        set.add(step);
      } else if (places.length > 0) {
        const place = places.splice(prng.below(places.length), 1)[0]!;
        expect(line.leave(place)).toBe(set.delete(place.item));
      }
      if (step % 16 !== 0) continue;
      expect([...line]).toEqual([...set]);
      expect(alongPlaces(line)).toEqual([...set]);
      expect(line.length).toBe(set.size);
    }
  });

  it('a place is left once, cleared or not', () => {
    const line = new Line<string>();
    const [a, b, c] = ['a', 'b', 'c'].map((item) => line.join(item)) as [
      LinePlace<string>,
      LinePlace<string>,
      LinePlace<string>,
    ];
    expect(line.has(b)).toBe(true);
    expect([line.leave(b), line.leave(b), line.has(b)]).toEqual([true, false, false]);
    expect([...line]).toEqual(['a', 'c']);
    line.clear();
    line.join('d');
    expect([line.leave(a), line.leave(c)]).toEqual([false, false]);
    expect([[...line], line.length]).toEqual([['d'], 1]);
  });

  it('a place of another line is none of this', () => {
    const [line, other] = [new Line<string>(), new Line<string>()];
    line.join('a');
    const place = other.join('a');
    expect([line.has(place), line.leave(place), line.has(undefined)]).toEqual([
      false,
      false,
      false,
    ]);
    expect([line.length, other.length]).toEqual([1, 1]);
  });

  // What was left long ago would keep alive what came after it.
  it('a place that was left refers to no other one', () => {
    const line = new Line<string>();
    const places = ['a', 'b', 'c', 'd'].map((item) => line.join(item));
    line.leave(places[1]!);
    line.clear();
    const references = places.flatMap(({ previous, next, line: own }) => [previous, next, own]);
    expect(references).toEqual(new Array(12).fill(undefined));
  });

  it('on the way along it others may join and leave, the one that was reached may not', () => {
    const line = new Line<number>();
    const places = [1, 2, 3].map((item) => line.join(item));
    const seen: number[] = [];
    for (const item of line) {
      seen.push(item);
      if (item === 1) line.leave(places[1]!);
      if (item === 3) line.join(4);
    }
    expect(seen).toEqual([1, 3, 4]);
    const walk = (): void => {
      for (const item of line) if (item === 3) line.leave(places[2]!);
    };
    expect(walk).toThrow('goes over the place that was reached');
  });
});
