/** The small pure parts: outcome table, translation, sync groups, identity, samples, records. */
import { describe, expect, it } from 'vitest';
import type { Instant } from '../../../src/base/brand.ts';
import { err, ok } from '../../../src/base/result.ts';
import { canFound, compareIdentity, type LuIdentity } from '../../../src/volume/identity.ts';
import { IdentityBook } from '../../../src/volume/identity-book.ts';
import type { LuFacts } from '../../../src/volume/lu.ts';
import {
  asksForIdentity,
  endsOutstanding,
  judge,
  tellsOfLoss,
  tellsWeAreFenced,
  type Verdict,
} from '../../../src/volume/outcome.ts';
import type { IoRequest } from '../../../src/volume/ports.ts';
import { RecentWrites } from '../../../src/volume/recent-writes.ts';
import { emptyRecord, parseRecord, type VolumeRecord } from '../../../src/volume/record.ts';
import { RecordKeeper } from '../../../src/volume/record-keeper.ts';
import { SyncGroup } from '../../../src/volume/sync-group.ts';
import { needsFlush, translate } from '../../../src/volume/translate.ts';
import { asked } from '../../support/fake-lu.ts';
import { MemoryStore } from '../../support/volume-world.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const sense = (key: number, asc: number, ascq: number): Verdict =>
  judge({ kind: 'status', status: 2, sense: { key, asc, ascq }, received: 0, residual: 0 });
const statusOf = (status: number): Verdict =>
  judge({ kind: 'status', status, sense: undefined, received: 0, residual: 0 });

describe('outcomes', () => {
  it.each([
    [0x00, 'good'],
    [0x04, 'good'],
    [0x08, 'busy'],
    [0x28, 'busy'],
    [0x30, 'busy'],
    [0x40, 'retry'],
    [0x18, 'fenced'],
    [0x02, 'error'],
    [0x77, 'error'],
  ])('status %i is %s', (status, kind) => {
    expect(statusOf(status).kind).toBe(kind);
  });

  it.each([
    ['no sense', [0, 0, 0], 'good'],
    ['recovered', [1, 0x17, 1], 'good'],
    ['becoming ready', [2, 4, 1], 'busy'],
    ['ALUA transition', [2, 4, 0x0a], 'busy'],
    ['ALUA standby', [2, 4, 0x0b], 'path'],
    ['medium not present', [2, 0x3a, 0], 'path'],
    ['medium error', [3, 0x11, 0], 'error'],
    ['hardware error', [4, 0x44, 0], 'error'],
    ['no such LUN', [5, 0x25, 0], 'path'],
    ['LBA out of range', [5, 0x21, 0], 'path'],
    ['invalid opcode', [5, 0x20, 0], 'error'],
    ['invalid field', [5, 0x24, 0], 'error'],
    ['unit attention', [6, 0x29, 0], 'retry'],
    ['write protected', [7, 0x27, 0], 'path'],
    ['thin pool full', [7, 0x27, 7], 'error'],
    ['aborted command', [0x0b, 0x47, 3], 'retry'],
    ['protection error', [0x0b, 0x10, 1], 'error'],
    ['miscompare', [0x0e, 0x1d, 0], 'error'],
  ] as const)('%s: %j is %s', (_what, [key, asc, ascq], kind) => {
    expect(sense(key, asc, ascq).kind).toBe(kind);
  });

  it.each([0, 1, 3, 4, 7, 0xb])('a deferred error of key %i is not the command’s', (key) => {
    const attention = { key, asc: 0x0c, ascq: 2, deferred: true } as const;
    const outcome = { kind: 'status', status: 2, received: 0, residual: 0 } as const;
    expect(judge({ ...outcome, sense: attention })).toEqual({ kind: 'retry', attention });
    expect(tellsOfLoss(attention)).toBe(key > 1);
    expect(tellsOfLoss({ key, asc: 0x0c, ascq: 2 })).toBe(false);
  });

  it('a deferred unit attention is news and no loss', () => {
    expect(tellsOfLoss({ key: 6, asc: 0x29, ascq: 0, deferred: true })).toBe(false);
  });

  it('names the errors that callers tell apart', () => {
    expect(sense(7, 0x27, 7)).toMatchObject({ error: 'ENOSPC' });
    expect(sense(7, 0x27, 0)).toMatchObject({ kind: 'path', cause: 'write-protected' });
    expect(sense(7, 0x20, 2)).toMatchObject({ error: 'EROFS' });
    expect(sense(5, 0x20, 0)).toMatchObject({ error: 'EOPNOTSUPP' });
    expect(sense(5, 0x25, 0)).toMatchObject({ cause: 'lun-absent' });
    expect(judge({ kind: 'lost' }).kind).toBe('unknown');
  });

  it('sorts unit attentions', () => {
    const ua = (asc: number, ascq: number) => ({ key: 6, asc, ascq });
    for (const ascq of [0, 1, 2, 3, 4, 7]) expect(endsOutstanding(ua(0x29, ascq))).toBe(true);
    expect(endsOutstanding(ua(0x2f, 0))).toBe(true);
    expect(endsOutstanding(ua(0x2f, 1))).toBe(false);
    expect(endsOutstanding(ua(0x2a, 1))).toBe(false);
    for (const [asc, ascq] of [
      [0x3f, 0x0e],
      [0x3f, 0x03],
      [0x2a, 0x09],
      [0x2a, 0x00],
      [0x2a, 0x01],
    ] as const)
      expect(asksForIdentity(ua(asc, ascq))).toBe(true);
    expect(asksForIdentity(ua(0x3f, 0))).toBe(false);
    expect(asksForIdentity(ua(0x2a, 2))).toBe(false);
    for (const ascq of [3, 4, 5]) expect(tellsWeAreFenced(ua(0x2a, ascq))).toBe(true);
    expect(tellsWeAreFenced(ua(0x2a, 9))).toBe(false);
  });
});

const FACTS: LuFacts = {
  blockSize: 512,
  writeCache: 'none',
  fua: true,
  writeProtected: false,
  maxTransferBlocks: 4,
  maxWriteSameBlocks: 3,
  unmapsToZeros: false,
};
const io = (kind: IoRequest['kind'], offset: number, length: number): IoRequest => ({
  kind,
  offset,
  length,
  data: kind === 'read' || kind === 'write' ? Buffer.alloc(length, 7) : undefined,
  fua: false,
  done: () => undefined,
});
const shapes = (request: IoRequest, facts: Partial<LuFacts> = {}) =>
  [...translate(request, { ...FACTS, ...facts })].map(({ cdb }) => asked(cdb));

describe('translation', () => {
  it('splits at the transfer limit, and the pieces cover the request exactly', () => {
    expect(shapes(io('write', 512, 9 * 512)).map(({ lba, blocks }) => [lba, blocks])).toEqual([
      [1, 4],
      [5, 4],
      [9, 1],
    ]);
    expect(shapes(io('read', 0, 4 * 512))).toHaveLength(1);
    const request = io('write', 0, 6 * 512);
    const pieces = [...translate(request, FACTS)];
    const joined = Buffer.concat(pieces.map(({ dataOut }) => dataOut ?? Buffer.alloc(0)));
    expect(joined.equals(request.data as Buffer)).toBe(true);
  });

  it('gives the room behind the data to the piece at its end alone: behind others lies data', () => {
    const request = { ...io('read', 0, 9 * 512), tailroom: 64 };
    const rooms = [...translate(request, FACTS)].map(({ tailroom }) => tailroom);
    expect(rooms).toEqual([undefined, undefined, 64]);
    expect([...translate({ ...request, ...io('read', 0, 512) }, FACTS)][0]?.tailroom).toBe(64);
    expect([...translate(io('read', 0, 512), FACTS)][0]?.tailroom).toBe(undefined);
  });

  it('does not take the memory of a read that can wait for it, and its pieces cover all of it', () => {
    const memory = Buffer.alloc(9 * 512);
    let asked = 0;
    const buffer = (): Buffer => {
      asked++;
      return memory;
    };
    const late = { length: memory.length, buffer };
    const request = {
      ...({
        kind: 'read',
        offset: 0,
        length: memory.length,
        fua: false,
        late,
        tailroom: 64,
      } as const),
      ...{ done: () => undefined, data: undefined },
    };
    const pieces = [...translate(request, FACTS)].map(({ dataIn }) => dataIn!);
    expect(pieces.map(({ length }) => length)).toEqual([4 * 512, 4 * 512, 512]);
    expect([...translate(request, { ...FACTS, maxTransferBlocks: 9 })][0]?.dataIn).toBe(late);
    expect(asked).toBe(0);
    for (const [index, piece] of pieces.entries()) {
      (piece instanceof Uint8Array ? piece : piece.buffer()).fill(index + 1);
    }
    const [a, b, c] = [Buffer.alloc(2048, 1), Buffer.alloc(2048, 2), Buffer.alloc(512, 3)];
    expect(memory).toEqual(Buffer.concat([a, b, c]));
  });

  it.each([
    ['none', true, false, false],
    ['none', false, false, false],
    ['volatile', true, true, false],
    ['volatile', false, false, true],
    ['unknown', true, true, false],
    ['unknown', false, false, true],
  ] as const)(
    'write with cache %s, FUA %s: FUA bit %s, flush %s',
    (writeCache, fua, bit, flush) => {
      const facts = { ...FACTS, writeCache, fua };
      expect(shapes(io('write', 0, 512), facts)[0]?.fua).toBe(bit);
      expect(needsFlush(io('write', 0, 512), facts)).toBe(flush);
      expect(needsFlush(io('read', 0, 512), facts)).toBe(false);
      expect(needsFlush(io('flush', 0, 0), facts)).toBe(true);
      // WRITE SAME has no FUA bit.
      expect(needsFlush(io('discard', 0, 512), facts)).toBe(writeCache !== 'none');
      expect(needsFlush(io('write-zeroes', 0, 512), facts)).toBe(writeCache !== 'none');
    },
  );

  it('a discard unmaps only where unmapped blocks read as zeros, zeroes never do', () => {
    const unmap = (kind: 'discard' | 'write-zeroes', unmapsToZeros: boolean) =>
      shapes(io(kind, 0, 512), { unmapsToZeros })[0]?.unmap;
    expect(unmap('discard', true)).toBe(true);
    expect(unmap('discard', false)).toBe(false);
    expect(unmap('write-zeroes', true)).toBe(false);
  });

  it('WRITE SAME is split at its own limit and carries one block of zeros', () => {
    const pieces = [...translate(io('write-zeroes', 512, 7 * 512), FACTS)];
    expect(pieces.map(({ cdb }) => [asked(cdb).lba, asked(cdb).blocks])).toEqual([
      [1, 3],
      [4, 3],
      [7, 1],
    ]);
    for (const { dataOut } of pieces) expect(dataOut?.equals(Buffer.alloc(512))).toBe(true);
  });
});

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

const LU: LuIdentity = {
  deviceType: 0,
  strong: ['naa.6a'],
  weak: ['t10.x'],
  serial: 'S',
  blockSize: 512,
  blocks: 100,
};
const WEAK: LuIdentity = { ...LU, strong: [] };

describe('identity', () => {
  const compare = (seen: LuIdentity, record = LU, path = 'p1', serial?: string) =>
    compareIdentity({ identity: record, founder: 'p0' }, seen, path, serial).kind;

  it.each([
    ['the same strong name', {}, 'verified'],
    ['one strong name in common', { strong: ['eui.b', 'naa.6a'] }, 'verified'],
    ['another strong name', { strong: ['naa.6b'] }, 'banned'],
    ['no strong name', { strong: [] }, 'banned'],
    ['another serial with the same strong name', { serial: 'T' }, 'verified'],
    ['larger', { blocks: 101 }, 'verified'],
    ['smaller', { blocks: 99 }, 'banned'],
    ['another block size', { blockSize: 4096 }, 'banned'],
    ['a tape', { deviceType: 1 }, 'banned'],
  ])('%s: %j is %s', (_what, change, verdict) => {
    expect(compare({ ...LU, ...change })).toBe(verdict);
  });

  it('weak identity: only the founder, or with the expected serial', () => {
    expect(compare(WEAK, WEAK, 'p0')).toBe('verified');
    expect(compare(WEAK, WEAK, 'p1')).toBe('unverified');
    expect(compare(WEAK, WEAK, 'p1', 'S')).toBe('verified');
    expect(compare(WEAK, WEAK, 'p1', 'T')).toBe('banned');
    expect(compare({ ...WEAK, serial: 'T' }, WEAK, 'p0')).toBe('banned');
    expect(compare({ ...WEAK, weak: [] }, WEAK, 'p0')).toBe('banned');
    expect(compare(LU, WEAK, 'p0')).toBe('banned');
  });

  it('the expected serial makes up for other weak names, not for another serial than the recorded one', () => {
    expect(compare({ ...WEAK, weak: ['t10.other'] }, WEAK, 'p1', 'S')).toBe('verified');
    expect(compare({ ...WEAK, serial: 'T' }, WEAK, 'p0', 'T')).toBe('banned');
    expect(compare({ ...WEAK, serial: 'T' }, WEAK, 'p1', 'T')).toBe('banned');
  });

  it('the expected serial does not make up for another strong name', () => {
    expect(compare({ ...LU, strong: ['naa.6b'] }, LU, 'p1', 'S')).toBe('banned');
  });

  it('who may found a record', () => {
    expect(canFound(LU, 'p1', 'p0', undefined).kind).toBe('verified');
    expect(canFound(WEAK, 'p0', 'p0', undefined).kind).toBe('verified');
    expect(canFound(WEAK, 'p1', 'p0', undefined).kind).toBe('unverified');
    expect(canFound(WEAK, 'p1', 'p0', 'S').kind).toBe('verified');
    expect(canFound(WEAK, 'p0', 'p0', 'T').kind).toBe('banned');
    expect(canFound({ ...LU, blockSize: 520 }, 'p0', 'p0', undefined).kind).toBe('banned');
    expect(canFound({ ...LU, deviceType: 5 }, 'p0', 'p0', undefined).kind).toBe('banned');
  });

  const book = (record?: LuIdentity, expectedSerial?: string) =>
    new IdentityBook({
      firstPath: 'p0',
      expectedSerial,
      record: record && { identity: record, founder: 'p0' },
      banned: {},
    });

  it('a disagreement before the first use is a dispute, afterwards a ban that sticks', () => {
    const fresh = book();
    fresh.judge('p0', LU);
    expect(fresh.judge('p1', { ...LU, strong: ['naa.6b'] }).kind).toBe('banned');
    expect(fresh.dispute).toContain('p1');
    const used = book(LU);
    expect(used.judge('p1', { ...LU, strong: ['naa.6b'] }).kind).toBe('banned');
    expect(used.dispute).toBeUndefined();
    expect(used.judge('p1', LU).kind).toBe('banned');
    used.readmit('p1');
    expect(used.judge('p1', LU).kind).toBe('verified');
  });

  it('the expected serial settles who is right, whoever is read first', () => {
    for (const order of [
      ['p0', 'p1'],
      ['p1', 'p0'],
    ] as const) {
      const fresh = book(undefined, 'S');
      for (const path of order) fresh.judge(path, path === 'p0' ? LU : { ...LU, serial: 'T' });
      expect(fresh.dispute).toBeUndefined();
      expect(fresh.record?.founder).toBe('p0');
    }
  });
});

describe('recent writes', () => {
  const at = (ms: number): Instant => ms as Instant;

  it('a block that may have changed since never accuses anybody', () => {
    for (const kind of ['write', 'discard', 'write-zeroes'] as const) {
      const recent = new RecentWrites(512);
      recent.note(io('write', 1024, 1024), at(0), false);
      const [sample] = recent.newest(1);
      if (sample === undefined) throw new Error('no sample');
      expect(recent.agrees(sample, Buffer.alloc(512, 7))).toBe(true);
      expect(recent.agrees(sample, Buffer.alloc(512, 8))).toBe(false);
      recent.forget(io(kind, 512, 512)); // before it
      expect(recent.agrees(sample, Buffer.alloc(512, 8))).toBe(false);
      recent.forget(io(kind, 512, 1024)); // over its first block
      expect(recent.agrees(sample, Buffer.alloc(512, 8))).toBeUndefined();
      expect(recent.pick()).toBeUndefined();
    }
  });

  it('takes no sample where another write is on its way, nor more than one in 20 ms', () => {
    const recent = new RecentWrites(512);
    recent.note(io('write', 0, 512), at(0), true);
    expect(recent.newest(9)).toHaveLength(0);
    recent.note(io('write', 0, 512), at(0), false);
    recent.note(io('write', 512, 512), at(19), false);
    expect(recent.newest(9)).toHaveLength(1);
    recent.note(io('write', 512, 512), at(20), false);
    expect(recent.newest(9)).toHaveLength(2);
  });
});

const FULL: VolumeRecord = {
  ...emptyRecord('v'),
  lu: { identity: LU, founder: 'p0' },
  mayHoldWrites: ['p0'],
  banned: { 'p1 iscsi://h:1/t/0': 'other' },
};

describe('record', () => {
  const text = JSON.stringify(FULL, undefined, 2);

  it('comes back as it was saved', () => {
    expect(parseRecord(text)).toEqual(ok(FULL));
    expect(parseRecord(JSON.stringify(emptyRecord('v')))).toEqual(ok(emptyRecord('v')));
  });

  it('cut anywhere it is an error, never an empty record', () => {
    for (let length = 0; length < text.length; length++) {
      expect(parseRecord(text.slice(0, length)).ok).toBe(false);
    }
  });

  const paths = [
    ['version'],
    ['volumeId'],
    ['mayHoldWrites'],
    ['format'],
    ['banned'],
    ['lu', 'founder'],
    ['lu', 'identity'],
    ...Object.keys(LU).map((key) => ['lu', 'identity', key]),
  ];
  const wrong = [undefined, null, -1, 1.5, 'x y', {}, [1], true];

  it.each(paths)('refuses a missing or wrong %s %s %s', (...keys) => {
    const path = keys.filter((key): key is string => typeof key === 'string');
    for (const value of wrong) {
      const copy = JSON.parse(text) as Record<string, unknown>;
      const parent = path.slice(0, -1).reduce((at, key) => at[key] as typeof copy, copy);
      const last = path.at(-1) ?? '';
      if (typeof value === typeof parent[last] && typeof value === 'string') continue;
      if (last === 'banned' && JSON.stringify(value) === '{}') continue;
      parent[last] = value;
      expect(
        parseRecord(JSON.stringify(copy)).ok,
        `${path.join('.')}=${value === undefined ? 'missing' : JSON.stringify(value)}`,
      ).toBe(false);
    }
  });
});

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
