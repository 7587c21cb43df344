/** An expansion: the volume takes the size over, then the device has to show it. */
import { beforeEach, expect, it } from 'vitest';
import { err, ok, type Result } from '../../../src/base/result.ts';
import { expandVolume } from '../../../src/pathd/grow-volume.ts';
import type { ExportError } from '../../../src/ports/block.ts';

const GIB = 2 ** 30;

/** Bytes of the unit at its targets, of the volume, and what the kernel shows. */
let unit: number;
let volumeBytes: number;
let deviceBytes: number;
let resized: Result<void, ExportError>;

const served = {
  volume: {
    get sizeBytes() {
      return volumeBytes;
    },
    expand: async () => ok((volumeBytes = unit)),
  },
  device: {
    resize: async () => {
      if (resized.ok) deviceBytes = volumeBytes;
      return resized;
    },
  },
} as unknown as Parameters<typeof expandVolume>[0];

beforeEach(() => {
  unit = volumeBytes = deviceBytes = GIB;
  resized = ok(undefined);
});

it('makes the device as large as the volume, also where an earlier call could not', async () => {
  unit = 2 * GIB;
  resized = err({ kind: 'io', detail: 'losetup did not finish' });
  for (let call = 1; call <= 2; call++) {
    const refused = { code: 'INTERNAL', message: 'losetup did not finish' };
    await expect(expandVolume(served, 2 * GIB)).rejects.toMatchObject(refused);
    expect(deviceBytes).toBe(GIB);
  }
  resized = ok(undefined);
  expect(await expandVolume(served, 2 * GIB)).toEqual({ sizeBytes: 2 * GIB });
  expect(deviceBytes).toBe(2 * GIB);
});

it('says what to grow where the unit is too small', async () => {
  await expect(expandVolume(served, 2 * GIB)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
});

it('takes over whatever there is where no size is asked for', async () => {
  unit = 3 * GIB;
  expect(await expandVolume(served, 0)).toEqual({ sizeBytes: 3 * GIB });
  expect(deviceBytes).toBe(3 * GIB);
});
