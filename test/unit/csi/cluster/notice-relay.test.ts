import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KnownStore } from '../../../../src/csi/cluster/known.ts';
import { relayNotices } from '../../../../src/csi/cluster/notice-relay.ts';
import type { VolumeNotice } from '../../../../src/pathd/api.ts';

const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };

let dir: string;
let store: KnownStore;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'relay-'));
  store = new KnownStore(dir, LOG);
  await store.open();
  const more = { attributes: {}, pv: null, isOwner: false, isReleased: false, applied: '' };
  await store.set({ version: 1, volumeId: 'v', ...more });
});

afterEach(() => {
  rmSync(dir, { recursive: true });
});

function notice(
  instance: string,
  sequence: number,
  more: Partial<VolumeNotice> = {},
): VolumeNotice {
  return {
    ...{ instance, sequence, volumeId: 'v', reason: 'PathDown', warning: true },
    ...{ message: `${instance}${String(sequence)}`, atUnixMs: Date.now() },
    ...more,
  };
}

/** Everything the source has is told, then the stream stays open. */
async function relay(kept: readonly VolumeNotice[]): Promise<{ told: string[]; asked: number[] }> {
  const told: string[] = [];
  const asked: number[] = [];
  const stop = new AbortController();
  let quiet = 0;
  const source = {
    events: async function* (after: number, signal: AbortSignal): AsyncIterable<VolumeNotice> {
      asked.push(after);
      // As pathd does it: a number from before its start means from the beginning.
      const from = after > kept.length ? 0 : after;
      yield* kept.slice(from);
      quiet += 1;
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    },
  };
  const tell = (_: unknown, { message }: VolumeNotice): void => void told.push(message);
  const running = relayNotices({ source, store, log: LOG, signal: stop.signal, tell });
  await expect.poll(() => quiet, { timeout: 5_000 }).toBeGreaterThan(0);
  stop.abort();
  await running;
  return { told, asked };
}

test('a csi that was away hears what it missed, and nothing twice', async () => {
  const all = [1, 2, 3, 4].map((n) => notice('a', n));
  expect(await relay(all.slice(0, 2))).toEqual({ told: ['a1', 'a2'], asked: [0] });
  expect(await relay(all)).toEqual({ told: ['a3', 'a4'], asked: [2] });
});

test('a pathd that was restarted is heard from its first event on', async () => {
  await relay([1, 2, 3].map((n) => notice('a', n)));
  const fewer = [1, 2].map((n) => notice('b', n));
  expect((await relay(fewer)).told).toEqual(['b1', 'b2']);
  const more = [1, 2, 3, 4].map((n) => notice('c', n));
  expect((await relay(more)).told).toEqual(['c1', 'c2', 'c3', 'c4']);
});

test('old events and those of volumes that are not staged are passed over', async () => {
  const old = notice('a', 1, { atUnixMs: Date.now() - 3_600_000 });
  const other = notice('a', 2, { volumeId: 'w' });
  expect((await relay([old, other, notice('a', 3)])).told).toEqual(['a3']);
});
