/** One order of changes, and nothing in memory that is ahead of the disk. */
import { describe, expect, it } from 'vitest';
import { err } from '../../../../src/base/result.ts';
import { RecordKeeper } from '../../../../src/volume/record/record-keeper.ts';
import { emptyRecord } from '../../../../src/volume/record/record.ts';
import { VirtualClock } from '../../../support/model/virtual-clock.ts';
import { MemoryStore } from '../../../support/model/volume-world.ts';

describe('record keeper', () => {
  it('saves in order, skips what changes nothing, and does not run ahead of a failure', async () => {
    const store = new MemoryStore(new VirtualClock());
    const keeper = new RecordKeeper(store, emptyRecord('v'));
    const changes = ['p0', 'p0', 'p1'].map((p) => keeper.update(() => ({ mayHoldWrites: [p] })));
    await Promise.all(changes);
    expect(store.history.map(({ mayHoldWrites }) => mayHoldWrites)).toEqual([['p0'], ['p1']]);
    store.failure = { kind: 'no-space', detail: 'full' };
    expect(await keeper.update(() => ({ mayHoldWrites: ['p2'] }))).toEqual(err(store.failure));
    expect(keeper.record.mayHoldWrites).toEqual(['p1']);
  });

  it('after a failed save nothing is taken for saved', async () => {
    const store = new MemoryStore(new VirtualClock());
    const keeper = new RecordKeeper(store, { ...emptyRecord('v'), mayHoldWrites: ['p0'] });
    store.failure = { kind: 'io', detail: 'fsync' };
    store.failsAfterWriting = true;
    await keeper.update(() => ({ mayHoldWrites: ['p1'] }));
    expect(store.disk?.mayHoldWrites).toEqual(['p1']);
    store.failure = undefined;
    await keeper.update(() => ({ mayHoldWrites: ['p0'] }));
    expect(store.disk?.mayHoldWrites).toEqual(['p0']);
  });
});
