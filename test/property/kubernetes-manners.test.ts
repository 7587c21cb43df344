/** Bounds on what this driver does to an API server, for any history. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BACKOFF_MAX_MS, BACKOFF_MIN_MS, backoffMs } from '../../src/kubernetes/backoff.ts';
import { EventCorrelator } from '../../src/kubernetes/event-correlator.ts';
import { isDriverKey, mergeKeys, statusKey } from '../../src/kubernetes/keys.ts';
import { StatusPace } from '../../src/kubernetes/status-pace.ts';
import { clean, renderStatusTable } from '../../src/kubernetes/status-table.ts';
import type { PathStatus, VolumeStatus } from '../../src/pathd/api.ts';
import { path, volume } from '../unit/cli/status-samples.ts';

const anyPath: fc.Arbitrary<PathStatus> = fc
  .record({
    weight: fc.integer({ min: 1, max: 100 }),
    state: fc.constantFrom('current', 'standby', 'down', 'banned', 'unverified', 'connecting'),
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

  test('ten minutes without an API server: few attempts; 5,000 nodes return spread out', () => {
    // A linear congruential generator: the same nodes each time.
    let seed = 1;
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    const perSecond = new Map<number, number>();
    for (let node = 0; node < 5_000; node += 1) {
      let nowMs = 0;
      let attempts = 0;
      while (nowMs < 600_000) {
        attempts += 1;
        nowMs += backoffMs(attempts, random());
      }
      expect(attempts).toBeLessThan(30);
      const second = Math.floor(nowMs / 1_000);
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    }
    // All at once would be 5,000; evenly over the longest wait 83.
    expect(Math.max(...perSecond.values())).toBeLessThan(300);
  });
});

/**
 * What a cluster of 5,000 nodes with 20 volumes each asks of its API servers. Per node as counted
 * by test/kernel/csi-kubernetes.test.ts and csi-api-client.test.ts.
 */
test('5,000 nodes with 20 volumes each stay within the budget', () => {
  const nodes = 5_000;
  const volumes = 20;
  const watchPeriodS = 2_700;
  const table = {
    connections: nodes * 1,
    watches: nodes * (volumes + 1),
    readsPerSecond: (nodes * (volumes + 1)) / watchPeriodS,
    writesPerSecond: 0,
    // One target of every volume's paths dies: a status and four events (two objects) each, told
    // within the minute that probes and queues take.
    stormWritesPerVolume: 1 + 4,
  };
  expect(table.connections).toBeLessThanOrEqual(5_000);
  expect(table.watches).toBeLessThanOrEqual(105_000);
  expect(table.readsPerSecond).toBeLessThanOrEqual(40);
  expect(table.writesPerSecond).toBe(0);
  expect(table.stormWritesPerVolume).toBeLessThanOrEqual(5);
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
          expect(merged[name]).toBe(name.includes('prioritypath.io/') ? all[name] : undefined);
        }
      }),
    );
  });
});
