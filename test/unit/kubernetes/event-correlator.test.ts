import { describe, expect, test } from 'vitest';
import { EventCorrelator, type EventRecord } from '../../../src/kubernetes/event-correlator.ts';

const event = (more: Partial<EventRecord> = {}): EventRecord => ({
  ...{ object: 'pv a', reason: 'PathDown', warning: true, message: 'p0 is down' },
  ...more,
});

describe('deduplication', () => {
  test('the same event again is counted up', () => {
    const correlator = new EventCorrelator();
    expect(correlator.observe(event(), 0)).toMatchObject({ kind: 'create' });
    expect(correlator.observe(event(), 1_000)).toMatchObject({ kind: 'count', count: 2 });
    expect(correlator.observe(event(), 2_000)).toMatchObject({ kind: 'count', count: 3 });
  });

  test('another object, reason, type or message is another event', () => {
    const correlator = new EventCorrelator();
    correlator.observe(event(), 0);
    for (const more of [
      { object: 'pv b' },
      { reason: 'x' },
      { warning: false },
      { message: 'x' },
    ]) {
      expect(correlator.observe(event(more), 0)).toMatchObject({ kind: 'create' });
    }
  });

  test('an event that is gone is created again', () => {
    const correlator = new EventCorrelator();
    const first = correlator.observe(event(), 0);
    if (first.kind === 'create') correlator.forget(first.key);
    expect(correlator.observe(event(), 1)).toMatchObject({ kind: 'create' });
  });
});

describe('aggregation', () => {
  const numbered = (n: number): EventRecord => event({ message: `message ${String(n)}` });

  test('from the tenth different message within ten minutes on they become one', () => {
    const correlator = new EventCorrelator();
    for (let n = 1; n <= 9; n += 1) {
      expect(correlator.observe(numbered(n), n)).toMatchObject({
        kind: 'create',
        message: `message ${String(n)}`,
      });
    }
    expect(correlator.observe(numbered(10), 10)).toMatchObject({
      kind: 'create',
      message: '(combined from similar events): message 10',
    });
    expect(correlator.observe(numbered(11), 11)).toMatchObject({
      kind: 'count',
      count: 2,
      message: '(combined from similar events): message 11',
    });
  });

  test('ten minutes of silence begin anew', () => {
    const correlator = new EventCorrelator();
    for (let n = 1; n <= 11; n += 1) correlator.observe(numbered(n), n);
    expect(correlator.observe(numbered(12), 600_012)).toMatchObject({
      kind: 'create',
      message: 'message 12',
    });
  });
});

describe('spam filter', () => {
  test('25 at once, then one per 300 s, each object for itself', () => {
    const correlator = new EventCorrelator();
    const passed = (object: string, nowMs: number): boolean =>
      correlator.observe(event({ object }), nowMs).kind !== 'drop';
    for (let n = 0; n < 25; n += 1) expect(passed('pv a', 0)).toBe(true);
    expect(passed('pv a', 0)).toBe(false);
    expect(passed('pv b', 0)).toBe(true);
    expect(passed('pv a', 299_000)).toBe(false);
    expect(passed('pv a', 300_001)).toBe(true);
    expect(passed('pv a', 300_002)).toBe(false);
  });
});

describe('a path that flaps, and what comes of it', () => {
  test('a minute of flapping silences neither a failover, nor the loss of all paths, nor the failure', () => {
    const correlator = new EventCorrelator();
    const flapped = Array.from({ length: 120 }, (_, n) => {
      const reason = n % 2 === 0 ? 'PathDown' : 'PathUp';
      const message = `p0 (weight ${String(n)})`;
      return correlator.observe(event({ reason, message }), n * 500).kind !== 'drop';
    });
    expect(flapped.filter(Boolean)).toHaveLength(25);
    for (const reason of ['FailedOver', 'AllPathsDown', 'FenceFailed', 'VolumeFailed']) {
      const severe = event({ reason, message: 'x', isSevere: true });
      expect(correlator.observe(severe, 60_000)).toMatchObject({ kind: 'create', message: 'x' });
    }
    expect(correlator.observe(event(), 60_000).kind).toBe('drop');
  });

  test('severe reasons do not use up each other’s room; each fills again by one a minute', () => {
    const correlator = new EventCorrelator();
    const passed = (reason: string, nowMs: number): boolean =>
      correlator.observe(event({ reason, isSevere: true }), nowMs).kind !== 'drop';
    for (let n = 0; n < 25; n += 1) expect(passed('FailedOver', 0)).toBe(true);
    expect(passed('FailedOver', 0)).toBe(false);
    expect(passed('VolumeFailed', 0)).toBe(true);
    expect(passed('FailedOver', 59_000)).toBe(false);
    expect(passed('FailedOver', 60_001)).toBe(true);
    expect(passed('FailedOver', 60_002)).toBe(false);
  });
});
