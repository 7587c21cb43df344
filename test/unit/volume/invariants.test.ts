/** Broken invariants of a volume are noticed where they break: programmer errors crash. */
import { describe, expect, it } from 'vitest';
import { Ledger } from '../../../src/volume/io/ledger.ts';
import { WriteLog } from '../../../src/volume/io/write-log.ts';
import { DispatchBench, LateSession } from '../../support/model/late-session.ts';

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

describe('the dispatcher', () => {
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
