import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { err, ok } from '../../../../src/base/result.ts';
import type { KnownVolume } from '../../../../src/csi/cluster/known.ts';
import { StatusWriter } from '../../../../src/csi/cluster/status-writer.ts';
import type {
  ApiErrorKind,
  ApiResult,
  KubernetesApi,
  PersistentVolume,
} from '../../../../src/kubernetes/client.ts';
import { volume } from '../../cli/status-samples.ts';

const VOLUME: KnownVolume = {
  ...{ version: 1, volumeId: 'v', attributes: {}, isOwner: false, isReleased: false, applied: '' },
  pv: { name: 'pv-1', uid: 'u-1', annotations: {}, labels: {}, claimRef: null },
};

let calls: string[];
let logged: string[];
/** What the API server has. */
let uid: string | undefined;
/** Beats what it has. */
let trouble: ApiErrorKind | undefined;
/** Empty: pathd does not have the volume. */
let pathdState: string;
let lost: string[];
let shown: string;
let writer: StatusWriter;

beforeEach(() => {
  vi.useFakeTimers();
  [calls, logged, uid, trouble, pathdState] = [[], [], 'u-1', undefined, 'serving'];
  [lost, shown] = [[], ''];
  const fail = (kind: ApiErrorKind): ApiResult<never> => err({ kind, detail: kind });
  const api = {
    applyStatus: (pv: { uid: string }, _: string, text: string): Promise<ApiResult<void>> => {
      shown = text;
      calls.push('PATCH');
      if (trouble !== undefined) return Promise.resolve(fail(trouble));
      // As kube-apiserver answers a server-side apply with a uid, for deleted and for replaced.
      return Promise.resolve(pv.uid === uid ? ok(undefined) : fail('conflict'));
    },
    getPv: (): Promise<ApiResult<PersistentVolume>> => {
      calls.push('GET');
      return Promise.resolve(
        uid === undefined ? fail('not-found') : ok({ uid } as PersistentVolume),
      );
    },
  } as unknown as KubernetesApi;
  const say = (_: object, text: string): void => void logged.push(text);
  writer = new StatusWriter({
    ...{ api, node: 'node-1', log: { debug: () => 0, info: say, warn: say, error: say } },
    pathd: {
      status: () =>
        Promise.resolve(pathdState === '' ? [] : [volume({ volumeId: 'v', state: pathdState })]),
    },
    known: () => VOLUME,
    onLost: (volumeId: string) => lost.push(volumeId),
  });
});

afterEach(() => {
  writer.stop();
  vi.useRealTimers();
});

test('a status is written once, and again when something happens', async () => {
  writer.add('v');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls).toEqual(['PATCH']);
  pathdState = 'holding';
  await vi.advanceTimersByTimeAsync(2_000);
  expect(calls).toEqual(['PATCH', 'PATCH']);
});

test('a staged volume that pathd has no more is told and shown as lost, once', async () => {
  writer.add('v');
  await vi.advanceTimersByTimeAsync(5_000);
  pathdState = '';
  await vi.advanceTimersByTimeAsync(1_000);
  expect(lost).toEqual([]);
  await vi.advanceTimersByTimeAsync(600_000);
  expect(lost).toEqual(['v']);
  expect(calls).toEqual(['PATCH', 'PATCH']);
  expect(shown).toMatch(/^lost; no device;[^]*\n {2}pathd was restarted[^]*Delete the pods/);
  // Staged again.
  pathdState = 'serving';
  writer.add('v');
  await vi.advanceTimersByTimeAsync(2_000);
  expect(shown).toMatch(/^serving;/);
});

test.each([
  ['deleted', undefined],
  ['replaced by one of the same name', 'u-2'],
])('a PV that was %s: one try, one line, and silence for an hour', async (_, now) => {
  uid = now;
  writer.add('v');
  await vi.advanceTimersByTimeAsync(3_600_000);
  pathdState = 'holding';
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(calls).toEqual(['PATCH', 'GET']);
  expect(logged).toEqual(['no status is written: the PV is gone']);
});

test('what the watch says of the PV is enough: not even one try', async () => {
  writer.add('v');
  await vi.advanceTimersByTimeAsync(1_000);
  calls = [];
  writer.pvIs('v', undefined);
  writer.pvIs('v', 'u-2');
  pathdState = 'holding';
  await vi.advanceTimersByTimeAsync(600_000);
  expect(calls).toEqual([]);
  expect(logged).toHaveLength(1);
});

test('the PV that was meant comes back: its status is written again', async () => {
  uid = undefined;
  writer.add('v');
  await vi.advanceTimersByTimeAsync(60_000);
  [calls, uid] = [[], 'u-1'];
  writer.pvIs('v', 'u-1');
  writer.pvIs('v', 'u-1');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls).toEqual(['PATCH']);
  expect(logged.at(-1)).toBe('the PV is back: its status is written again');
});

test('a conflict on the PV that is there passes: it is tried again', async () => {
  trouble = 'conflict';
  writer.add('v');
  await vi.advanceTimersByTimeAsync(500);
  expect(calls).toEqual(['PATCH', 'GET']);
  trouble = undefined;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(calls).toEqual(['PATCH', 'GET', 'PATCH']);
});

test('ten minutes without an API server: a try at most every half minute in the end', async () => {
  trouble = 'unavailable';
  writer.add('v');
  await vi.advanceTimersByTimeAsync(600_000);
  expect(calls.length).toBeGreaterThan(10);
  expect(calls.length).toBeLessThan(30);
});
