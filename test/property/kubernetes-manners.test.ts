/** Bounds on what this driver does to an API server, for any history. */
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import {
  BACKOFF_MAX_MS,
  BACKOFF_MIN_MS,
  backoffMs,
  SharedBackoff,
} from '../../src/kubernetes/backoff.ts';
import { TransportError } from '../../src/kubernetes/connection.ts';
import { cleaned } from '../../src/kubernetes/contract.ts';
import { EventCorrelator } from '../../src/kubernetes/event-correlator.ts';
import { isDriverKey, mergeKeys, statusKey } from '../../src/kubernetes/keys.ts';
import { StatusPace } from '../../src/kubernetes/status-pace.ts';
import { clean, renderStatusTable } from '../../src/kubernetes/status-table.ts';
import type { ApiResponse, Transport } from '../../src/kubernetes/transport.ts';
import { followObject, pause } from '../../src/kubernetes/watch.ts';
import type { PathStatus, VolumeStatus } from '../../src/pathd/api.ts';
import { path, volume } from '../unit/cli/status-samples.ts';

const anyPath: fc.Arbitrary<PathStatus> = fc
  .record({
    weight: fc.integer({ min: 1, max: 100 }),
    state: fc.constantFrom(
      ...['current', 'standby', 'down', 'banned', 'unverified', 'write-protected', 'connecting'],
    ),
    drained: fc.boolean(),
    holdDown: fc.boolean(),
    portal: fc.constantFrom('10.0.0.1:3260', '[2001:db8:1234:5678:9abc:def0:1234:5678]:65535'),
    lastError: fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.constant('iqn.2026-01.io.example:secret-place refused'),
    ),
    lastErrorUnixMs: fc.integer({ min: 0, max: 4e12 }),
  })
  .map((fields) => path('p0', fields));

const anyVolume: fc.Arbitrary<VolumeStatus> = fc
  .record({
    paths: fc
      .array(anyPath, { minLength: 1, maxLength: 16 })
      .map((paths) => paths.map((one, n) => ({ ...one, name: `p${String(n)}` }))),
    reason: fc.string({ unit: 'grapheme', maxLength: 300 }),
    currentPath: fc.constantFrom('', 'p0', 'p1'),
  })
  .map((fields) => volume(fields));

describe('the status annotation', () => {
  test('is small lines without target names or control characters, whatever the volume', () => {
    fc.assert(
      fc.property(anyVolume, (one) => {
        const text = renderStatusTable(one);
        for (const line of text.split('\n')) {
          expect(Buffer.byteLength(line)).toBeLessThanOrEqual(120);
          expect(line).not.toMatch(/\p{Cc}/u);
        }
        expect(text).not.toContain('iqn.2026');
        // 16 paths: far below the 256 KiB of all annotations of an object.
        expect(Buffer.byteLength(text)).toBeLessThan(3_000);
      }),
      { numRuns: 100 },
    );
  });

  test('cleaning twice is cleaning once', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(clean(clean(text))).toBe(clean(text));
      }),
    );
  });

  test('any history of an hour is written at most 10 + 360 + 120 times, a constant one once', () => {
    fc.assert(
      fc.property(fc.array(anyVolume, { minLength: 1, maxLength: 4 }), (states) => {
        const pace = new StatusPace();
        let writes = 0;
        for (let second = 0; second < 3_600; second += 1) {
          const state = states[second % states.length];
          if (state === undefined || !pace.isDue(state, second * 1_000)) continue;
          pace.written(state, second * 1_000);
          writes += 1;
        }
        expect(writes).toBeLessThanOrEqual(states.length === 1 ? 1 : 10 + 360 + 120);
      }),
      { numRuns: 20 },
    );
  });
});

test('events of one object: at most 25 and one in 300 s reach the server, for any history', () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 60_000 }),
    reason: fc.constantFrom('PathDown', 'PathUp', 'FailedOver'),
    message: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const correlator = new EventCorrelator();
      let nowMs = 0;
      let passed = 0;
      for (const { afterMs, reason, message } of steps) {
        nowMs += afterMs;
        const event = { object: 'pv', reason, warning: true, message };
        if (correlator.observe(event, nowMs).kind !== 'drop') passed += 1;
      }
      expect(passed).toBeLessThanOrEqual(25 + Math.floor(nowMs / 300_000) + 1);
    }),
  );
});

describe('waiting times', () => {
  test('grow to their ceiling and never leave it', () => {
    fc.assert(
      fc.property(
        fc.nat(10_000),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (failures, chance) => {
          const waitMs = backoffMs(failures + 1, chance);
          expect(waitMs).toBeGreaterThanOrEqual(BACKOFF_MIN_MS / 2);
          expect(waitMs).toBeLessThanOrEqual(BACKOFF_MAX_MS);
        },
      ),
    );
  });
});

/** All nodes of a cluster and one API server, in virtual time; connections as transport.ts makes them. */
class Herd {
  isUp = true;
  /** By second. */
  readonly connects = new Map<number, number>();
  readonly watches = new Map<number, number>();
  #cut = new AbortController();

  stop(): void {
    this.isUp = false;
    this.#cut.abort();
    this.#cut = new AbortController();
  }

  /** One node's transport: its watches share a connection, and the making of one. */
  node(): Pick<Transport, 'lines'> {
    let opening: Promise<boolean> | undefined;
    let isOpen = false;
    const connect = async (): Promise<boolean> => {
      count(this.connects);
      await new Promise((resolve) => setTimeout(resolve, 5));
      opening = undefined;
      return this.isUp;
    };
    const lines = async function* (this: Herd, signal: AbortSignal): AsyncIterable<ApiResponse> {
      if (!isOpen) isOpen = await (opening ??= connect());
      if (!isOpen) throw new TransportError('connection refused');
      count(this.watches);
      const cut = this.#cut.signal;
      const metadata = { name: 'x', uid: 'u', resourceVersion: '1' };
      yield { status: 200, body: { type: 'ADDED', object: { metadata } } };
      await pause(3_600_000, AbortSignal.any([signal, cut]));
      isOpen = false;
      throw new TransportError('the connection ended');
    };
    return { lines: (_path, _idleMs, signal) => lines.call(this, signal) };
  }
}

function count(bySecond: Map<number, number>): void {
  const second = Math.floor(performance.now() / 1_000);
  bySecond.set(second, (bySecond.get(second) ?? 0) + 1);
}

function total(bySecond: Map<number, number>): number {
  return [...bySecond.values()].reduce((sum, one) => sum + one, 0);
}

/** A linear congruential generator: the same cluster each time. */
function chances(): () => number {
  let seed = 1;
  return () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
}

/**
 * What may reach the API servers of 5,000 nodes with 20 volumes each in one second: connections, and
 * watches begun (from the watch cache; all at once would be 105,000).
 */
const BUDGET = { connections: 250, watches: 5_000 };

test('ten minutes without an API server: a node makes few attempts, all its watches together one', async () => {
  const [nodes, volumes, random] = [50, 20, chances()];
  vi.useFakeTimers();
  const herd = new Herd();
  const stop = new AbortController();
  const followed: Promise<void>[] = [];
  try {
    for (let node = 0; node < nodes; node += 1) {
      const [transport, outage] = [herd.node(), new SharedBackoff()];
      for (let watch = 0; watch <= volumes; watch += 1) {
        const ignore = (): void => undefined;
        const names = { collection: '/api/v1/persistentvolumes', name: 'x' };
        const options = { ...names, transport, outage, random, signal: stop.signal };
        followed.push(followObject({ ...options, onObject: ignore, onFailure: ignore }));
      }
    }
    await vi.advanceTimersByTimeAsync(10_000);
    expect(total(herd.watches)).toBe(nodes * (volumes + 1));
    for (const counts of [herd.connects, herd.watches]) counts.clear();
    herd.stop();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(total(herd.watches)).toBe(0);
    // 0.8 s doubled to 60 s, the upper half of each: 6 in the first minute, then one in 30 to 60 s.
    expect(total(herd.connects) / nodes).toBeLessThan(26);
    expect(total(herd.connects) / nodes).toBeGreaterThan(14);
    herd.connects.clear();
    herd.isUp = true;
    await vi.advanceTimersByTimeAsync(90_000);
    expect(total(herd.watches)).toBe(nodes * (volumes + 1));
    expect(total(herd.connects)).toBe(nodes);
  } finally {
    stop.abort();
    await vi.advanceTimersByTimeAsync(1_000);
    await Promise.all(followed);
    vi.useRealTimers();
  }
});

test('5,000 nodes come back spread out: the busiest second is within the budget', () => {
  const random = chances();
  const perSecond = new Map<number, number>();
  for (let node = 0; node < 5_000; node += 1) {
    const outage = new SharedBackoff();
    let nowMs = 0;
    while (nowMs < 600_000) nowMs += outage.failed(nowMs, random());
    const second = Math.floor(nowMs / 1_000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
  }
  const busiest = Math.max(...perSecond.values());
  expect(busiest).toBeLessThanOrEqual(BUDGET.connections);
  expect(busiest * 21).toBeLessThanOrEqual(BUDGET.watches);
});

describe('keys', () => {
  const nodeName = fc
    .array(fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?$/), {
      minLength: 1,
      maxLength: 6,
    })
    .map((labels) => labels.join('.').slice(0, 253))
    .filter((name) => /^[a-z0-9].*[a-z0-9]$|^[a-z0-9]$/.test(name));

  test('every node name has a valid status key, which is nobody’s configuration', () => {
    fc.assert(
      fc.property(nodeName, (name) => {
        const [, part = ''] = statusKey(name).split('/');
        expect(part).toMatch(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/);
        expect(isDriverKey(statusKey(name))).toBe(true);
      }),
    );
  });

  test('merging knows only our keys, and the last that has one wins', () => {
    const key = fc.constantFrom('rack.prioritypath.io/a', 'prioritypath.io/pin', 'x.io/a', 'a');
    const map = fc.dictionary(key, fc.string());
    fc.assert(
      fc.property(map, map, map, (attributes, labels, annotations) => {
        const merged = mergeKeys({ attributes, labels, annotations });
        const all: Record<string, string> = { ...attributes, ...labels, ...annotations };
        for (const name of Object.keys(all)) {
          const value = cleaned(all)[name];
          expect(merged[name]).toBe(name.includes('prioritypath.io/') ? value : undefined);
        }
      }),
    );
  });
});
