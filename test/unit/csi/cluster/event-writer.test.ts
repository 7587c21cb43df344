import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ok } from '../../../../src/base/result.ts';
import { type CsiEventReason, EventWriter } from '../../../../src/csi/cluster/event-writer.ts';
import type { KnownVolume } from '../../../../src/csi/cluster/known.ts';
import type { ApiErrorKind, ApiResult, KubernetesApi } from '../../../../src/kubernetes/client.ts';

const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const VOLUME: KnownVolume = {
  ...{ version: 1, volumeId: 'v', attributes: {}, isOwner: false, isReleased: false, applied: '' },
  pv: {
    ...{ name: 'pv-1', uid: 'u-1', annotations: {}, labels: {} },
    claimRef: { namespace: 'team-a', name: 'claim', uid: 'u-2' },
  },
};
const ALONE = { ...VOLUME, pv: { ...VOLUME.pv!, claimRef: null } };

interface Call {
  readonly verb: 'create' | 'patch';
  readonly namespace: string;
  readonly body: Record<string, unknown>;
}

class Api {
  readonly calls: Call[] = [];
  /** Answers to come; then all is well. */
  readonly failures: ApiErrorKind[] = [];

  get api(): KubernetesApi {
    const answer = (call: Call): Promise<ApiResult<void>> => {
      this.calls.push(call);
      const kind = this.failures.shift();
      return Promise.resolve(
        kind === undefined ? ok(undefined) : { ok: false, error: { kind, detail: kind } },
      );
    };
    return {
      createEvent: (namespace: string, event: object) =>
        answer({ verb: 'create', namespace, body: { ...event } }),
      patchEvent: (namespace: string, _name: string, patch: object) =>
        answer({ verb: 'patch', namespace, body: { ...patch } }),
    } as unknown as KubernetesApi;
  }
}

let api: Api;
let writer: EventWriter;

beforeEach(() => {
  vi.useFakeTimers();
  api = new Api();
  writer = new EventWriter(api.api, 'node-1', LOG);
});

afterEach(() => {
  writer.stop();
  vi.useRealTimers();
});

const say = (message: string, volume = ALONE): void => {
  writer.record(volume, { reason: 'PathDown', warning: true, message, atUnixMs: 1_000 });
};

test('each event is told on the PV in default and on the PVC in its namespace', async () => {
  say('p0 is down', VOLUME as typeof ALONE);
  await vi.advanceTimersByTimeAsync(0);
  expect(api.calls).toMatchObject([
    {
      namespace: 'default',
      body: {
        ...{ kind: 'Event', type: 'Warning', reason: 'PathDown', message: 'p0 is down', count: 1 },
        involvedObject: { kind: 'PersistentVolume', name: 'pv-1', uid: 'u-1' },
        metadata: { namespace: 'default' },
        source: { component: 'iscsi.prioritypath.io', host: 'node-1' },
        firstTimestamp: '1970-01-01T00:00:01Z',
      },
    },
    {
      namespace: 'team-a',
      body: { involvedObject: { kind: 'PersistentVolumeClaim', namespace: 'team-a', uid: 'u-2' } },
    },
  ]);
});

test('a repetition is counted; one whose event is gone is created again', async () => {
  say('p0 is down');
  say('p0 is down');
  await vi.advanceTimersByTimeAsync(0);
  expect(api.calls.map(({ verb }) => verb)).toEqual(['create', 'patch']);
  expect(api.calls[1]?.body['count']).toBe(2);
  api.failures.push('not-found');
  say('p0 is down');
  await vi.advanceTimersByTimeAsync(0);
  expect(api.calls.map(({ verb }) => verb)).toEqual(['create', 'patch', 'patch', 'create']);
});

test('without an API server events wait, in order, and are told once', async () => {
  api.failures.push('unavailable', 'unavailable');
  say('first');
  say('second');
  await vi.advanceTimersByTimeAsync(0);
  expect(api.calls).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(api.calls.map(({ body }) => body['message'])).toEqual([
    ...['first', 'first', 'first', 'second'],
  ]);
});

test('what is not accepted is dropped, and the next one told', async () => {
  api.failures.push('not-found');
  say('first');
  say('second');
  await vi.advanceTimersByTimeAsync(0);
  expect(api.calls).toHaveLength(2);
});

test('a server that forbids, for it has just started, loses no event', async () => {
  api.failures.push('unavailable', 'forbidden', 'forbidden', 'forbidden');
  say('first');
  say('second');
  await vi.advanceTimersByTimeAsync(30_000);
  expect(api.calls.map(({ body }) => body['message'])).toEqual([
    ...['first', 'first', 'first', 'first', 'first', 'second'],
  ]);
});

test('a server that goes on forbidding is asked once an event', async () => {
  api.failures.push(...Array.from({ length: 100 }, () => 'forbidden' as const));
  for (let n = 0; n < 6; n += 1) {
    say(String(n));
    await vi.advanceTimersByTimeAsync(60_000);
  }
  expect(api.calls).toHaveLength(11);
});

test('a volume whose PV is not known has no events', async () => {
  writer.record(
    { ...VOLUME, pv: null },
    { reason: 'PathUp', warning: false, message: '', atUnixMs: 0 },
  );
  await vi.advanceTimersByTimeAsync(0);
  expect(api.calls).toEqual([]);
});

test('an hour without an API server: the queue is bounded and keeps the newest', async () => {
  api.failures.push(...Array.from({ length: 1_000 }, () => 'unavailable' as const));
  for (let n = 0; n < 300; n += 1) {
    const pv = { ...ALONE.pv, uid: `u-${String(n)}` };
    writer.record(
      { ...ALONE, pv },
      { reason: 'PathDown', warning: true, message: String(n), atUnixMs: 0 },
    );
  }
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(api.calls.length).toBeLessThan(150);
  api.failures.length = 0;
  api.calls.length = 0;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(api.calls).toHaveLength(200);
  expect(api.calls.at(-1)?.body['message']).toBe('299');
});

test('a path flaps for a minute, then everything fails: what matters is told, on PV and PVC', async () => {
  const tell = (reason: CsiEventReason, message: string): void => {
    writer.record(VOLUME, { reason, warning: true, message, atUnixMs: Date.now() });
  };
  for (let n = 0; n < 60; n += 1) {
    tell(n % 2 === 0 ? 'PathDown' : 'PathUp', `p0 (weight ${String(n)})`);
    await vi.advanceTimersByTimeAsync(1_000);
  }
  api.calls.length = 0;
  const severe = ['FailedOver', 'AllPathsDown', 'VolumeFailed'] as const;
  for (const reason of severe) tell(reason, 'p1');
  tell('PathDown', 'p1 is down');
  await vi.advanceTimersByTimeAsync(0);
  expect(api.calls.map(({ body }) => body['reason'])).toEqual(severe.flatMap((one) => [one, one]));
});

test('without an API server flapping gives way to what is severe', async () => {
  api.failures.push(...Array.from({ length: 100 }, () => 'unavailable' as const));
  const tell = (reason: CsiEventReason, n: number): void => {
    const pv = { ...ALONE.pv, uid: `u-${String(n)}` };
    writer.record({ ...ALONE, pv }, { reason, warning: true, message: String(n), atUnixMs: 0 });
  };
  tell('VolumeFailed', 0);
  for (let n = 1; n < 300; n += 1) tell('PathDown', n);
  await vi.advanceTimersByTimeAsync(1_000);
  api.failures.length = 0;
  api.calls.length = 0;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(api.calls.map(({ body }) => body['reason'])).toContain('VolumeFailed');
  expect(api.calls).toHaveLength(200);
});
