/**
 * Every decoder and whole sessions against mutated bytes: a short run of what `npm run fuzz` does for as
 * long as one likes, and everything that it has ever found.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inputOf, shrink } from '../fuzz/mutate.ts';
import { findings, FUZZ_TARGETS, judge } from '../fuzz/table.ts';

const RUNS = 300;

describe('mutated bytes do no harm', () => {
  it.each(FUZZ_TARGETS.map((target) => [target.name, target] as const))('%s', (name, target) => {
    // Samples are valid by themselves, or nothing behind the first check would be reached.
    for (const sample of target.corpus) expect(judge(target, sample)).toBeUndefined();
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const what = judge(target, inputOf(target.corpus, seed));
        const replay = `npm run fuzz -- --only ${name} --seed ${seed} --runs 1`;
        if (what !== undefined) throw new Error(`${what}\n${replay}`);
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });
});

it('what was found once is not found again', () => {
  for (const { target, input, what } of findings()) {
    const found = FUZZ_TARGETS.find(({ name }) => name === target);
    expect(found, target).toBeDefined();
    expect(judge(found!, Buffer.from(input, 'hex')), what).toBeUndefined();
  }
});

describe('the fuzzer itself', () => {
  const corpus = [Buffer.from('a valid sample')];

  it('finds a mistake that one byte away from a sample makes', () => {
    const target = {
      name: 'planted',
      corpus,
      run: (input: Buffer) => {
        if (input.length === 14 && input[3] === 0xff) throw new RangeError('planted');
      },
    };
    const seeds = Array.from({ length: 20_000 }, (_, seed) => seed);
    const seed = seeds.find((one) => judge(target, inputOf(corpus, one)) !== undefined);
    expect(seed).toBeDefined();
    // By its seed it is found again.
    expect(judge(target, inputOf(corpus, seed!))).toBe('RangeError: planted');
  });

  it('shrinks what it found to what matters', () => {
    const input = Buffer.from('some noise, then X, then more noise');
    const small = shrink(input, (candidate) => candidate.includes('X'));
    expect(small.toString()).toBe('X');
  });
});
