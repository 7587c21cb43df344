/** What pathd makes of what a look at a device finds. */
import { beforeEach, describe, expect, it } from 'vitest';
import { err, ok } from '../../../src/base/result.ts';
import type { VolumeNotice } from '../../../src/pathd/api.ts';
import {
  inspectDevices,
  syncDevices,
  type WatchedDevice,
} from '../../../src/pathd/device-watch.ts';
import { Notices } from '../../../src/pathd/notices.ts';
import type { DeviceVerdict } from '../../../src/ports/block.ts';

let notices: Notices;
let told: VolumeNotice[];
let gaveUp: string[];
let synced: string[];
let logged: string[];

const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields: object, message: string) => logged.push(`${message} ${JSON.stringify(fields)}`),
  error: () => undefined,
};

function watched(volumeId: string, verdict: DeviceVerdict, is: object = {}): WatchedDevice {
  let state = 'serving';
  const volume = {
    options: { volumeId },
    status: () => ({ state, reason: 'tampered' }),
    giveUp: async (why: string) => {
      state = 'failed';
      gaveUp.push(`${volumeId}: ${why}`);
    },
  };
  const device = {
    inspect: async () => verdict,
    sync: async () => {
      synced.push(volumeId);
      return volumeId === 'hung' ? err({ kind: 'io', detail: 'did not finish' }) : ok(undefined);
    },
  };
  return { volume, device, readOnly: false, ...is } as unknown as WatchedDevice;
}

beforeEach(() => {
  notices = new Notices();
  told = [];
  notices.follow(0, (notice) => told.push(notice));
  [gaveUp, synced, logged] = [[], [], []];
});

describe('a look at every device', () => {
  it('says nothing of a good one', async () => {
    await inspectDevices([watched('a', { kind: 'fine' })], notices, log);
    expect([told, gaveUp]).toEqual([[], []]);
  });

  it('tells what was put back, and the volume goes on', async () => {
    await inspectDevices([watched('a', { kind: 'restored', what: 'direct I/O' })], notices, log);
    expect(told).toMatchObject([{ volumeId: 'a', reason: 'DeviceTampered', warning: true }]);
    expect(gaveUp).toEqual([]);
  });

  it('fails the volume of one that is lost, once, and looks at the others', async () => {
    const lost = watched('a', { kind: 'lost', why: 'shifted' });
    const other = watched('b', { kind: 'restored', what: 'direct I/O' });
    await inspectDevices([lost, other], notices, log);
    await inspectDevices([lost], notices, log);
    expect(gaveUp).toEqual(['a: its device was tampered with: shifted']);
    expect(told.map(({ volumeId }) => volumeId)).toEqual(['a', 'b']);
  });
});

it('every writable device is synced, whatever becomes of another', async () => {
  const fine = { kind: 'fine' } as const;
  const reader = watched('reader', fine, { readOnly: true });
  await syncDevices([watched('hung', fine), reader, watched('a', fine)], 100, log);
  expect(synced).toEqual(['hung', 'a']);
  expect(logged.join()).toContain('did not finish');
});
