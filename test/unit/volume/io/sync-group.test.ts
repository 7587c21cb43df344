/** One flush for all who wait for one. */
import { describe, expect, it } from 'vitest';
import { SyncGroup } from '../../../../src/volume/io/sync-group.ts';
import type { Verdict } from '../../../../src/volume/unit/outcome.ts';

describe('sync groups', () => {
  function group() {
    const flushes: ((verdict: Verdict) => void)[] = [];
    const finished: string[] = [];
    const sync = new SyncGroup<string>(
      (done) => flushes.push(done),
      (member, { kind }) => finished.push(`${member} ${kind}`),
    );
    return { flushes, finished, sync };
  }

  it('who joins while a flush is out is covered by the next one', () => {
    const { flushes, finished, sync } = group();
    sync.join('a');
    sync.join('b');
    sync.join('c');
    expect(flushes).toHaveLength(1);
    flushes[0]?.({ kind: 'good' });
    expect(finished).toEqual(['a good']);
    expect(flushes).toHaveLength(2);
    flushes[1]?.({ kind: 'good' });
    expect(finished).toEqual(['a good', 'b good', 'c good']);
  });

  it('a failed flush fails those whom it covered, and no others', () => {
    const { flushes, finished, sync } = group();
    sync.join('a');
    sync.join('b');
    flushes[0]?.({ kind: 'error', error: 'EIO', detail: '' });
    flushes[1]?.({ kind: 'good' });
    expect(finished).toEqual(['a error', 'b good']);
  });

  it('a late answer after a reset finishes nobody', () => {
    const { flushes, finished, sync } = group();
    sync.join('a');
    sync.reset();
    sync.join('b');
    flushes[0]?.({ kind: 'good' });
    expect(finished).toEqual([]);
    flushes[1]?.({ kind: 'good' });
    expect(finished).toEqual(['b good']);
  });
});
