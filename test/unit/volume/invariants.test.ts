/** Broken invariants of a volume are noticed where they break: programmer errors crash. */
import { describe, expect, it } from 'vitest';
import { Ledger } from '../../../src/volume/io/ledger.ts';
import { SyncGroup } from '../../../src/volume/io/sync-group.ts';
import { WriteLog } from '../../../src/volume/io/write-log.ts';
import { PathLogin } from '../../../src/volume/link/path-login.ts';
import { RecordKeeper } from '../../../src/volume/record/record-keeper.ts';
import { emptyRecord } from '../../../src/volume/record/record.ts';
import type { Verdict } from '../../../src/volume/unit/outcome.ts';
import { DispatchBench, LateSession } from '../../support/model/late-session.ts';
import { policyOf } from '../../support/model/model-world.ts';
import { VirtualClock } from '../../support/model/virtual-clock.ts';
import { MemoryStore } from '../../support/model/volume-world.ts';

function write(offset = 0) {
  const data = Buffer.alloc(512);
  return { kind: 'write', offset, length: 512, data, fua: false, done: () => undefined } as const;
}

describe('the ledger', () => {
  it('settles a request once', () => {
    const ledger = new Ledger();
    ledger.admit(write());
    const entry = ledger.next();
    if (entry === undefined) throw new Error('nothing to issue');
    ledger.settle(entry);
    expect(() => ledger.settle(entry)).toThrow('assertion failed: only an issued entry');
  });

  it('settles no request that it does not have', () => {
    const [ledger, other] = [new Ledger(), new Ledger()];
    for (const one of [ledger, other]) one.admit(write());
    const entry = other.next();
    if (entry === undefined) throw new Error('nothing to issue');
    expect(() => ledger.settle(entry)).toThrow('a request is in the ledger once');
  });

  it('issues no request that waits for another', () => {
    const ledger = new Ledger();
    ledger.admit(write()).blockers = 1;
    expect(() => ledger.next()).toThrow('when it waits for no other');
  });
});

it('the write log believes no flush that claims more than was acknowledged', () => {
  const log = new WriteLog();
  log.append(write());
  expect(() => log.flushed(log.mark + 1)).toThrow('assertion failed: a flush covers nothing');
});

it('the write log keeps no write without its payload', () => {
  const half = { ...write(), data: Buffer.alloc(256) };
  expect(() => new WriteLog().append(half)).toThrow('assertion failed: a write is kept with all');
});

it('a flush of the cache is answered once', () => {
  const flushes: ((verdict: Verdict) => void)[] = [];
  const group = new SyncGroup<string>(
    (done) => flushes.push(done),
    () => undefined,
  );
  group.join('a');
  flushes[0]?.({ kind: 'good' });
  expect(() => flushes[0]?.({ kind: 'good' })).toThrow(
    'assertion failed: a flush is answered once',
  );
});

it('a record stays that of its volume', async () => {
  const keeper = new RecordKeeper(new MemoryStore(new VirtualClock()), emptyRecord('v'));
  const update = keeper.update(() => ({ volumeId: 'w' }));
  await expect(update).rejects.toThrow('assertion failed: a record stays');
});

it('a path has one login under way', async () => {
  const login = new PathLogin({
    target: { host: 'h', port: 3260, targetName: 'iqn.t', lun: 1 },
    ...{ isid: '800000000001', initiatorName: 'iqn.i', clock: new VirtualClock() },
    ...{ credentials: () => undefined, policy: () => policyOf() },
    initiator: { connect: () => new Promise(() => undefined) },
  } as unknown as ConstructorParameters<typeof PathLogin>[0]);
  void login.connect(1_000);
  await expect(login.connect(1_000)).rejects.toThrow('assertion failed: one login of a path');
});

describe('the dispatcher', () => {
  it('takes one answer to a command', () => {
    const bench = new DispatchBench();
    bench.release();
    bench.submit('write');
    bench.session.answer(0);
    expect(() => bench.session.answer(0)).toThrow('assertion failed: a command is answered once');
    expect(bench.answers).toHaveLength(1);
  });

  it('has one current path; the next one gets nothing before the last was abandoned', () => {
    const bench = new DispatchBench();
    bench.release();
    const next = new LateSession(bench.clock);
    expect(() => bench.release(next)).toThrow('assertion failed: never two current paths');
    bench.submit('write');
    expect([bench.session.sent.length, next.sent.length]).toEqual([1, 0]);
    bench.dispatcher.abandon();
    bench.release(next);
    expect(next.sent).toHaveLength(1);
  });
});
