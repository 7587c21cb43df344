/** Deferred errors: something that was answered well has failed since, and another command brings the news. */
import { afterEach, describe, expect, it } from 'vitest';
import { deferred } from '../../../support/model/fake-lu.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

const MEDIUM_ERROR = deferred(3, 0x0c, 2);

let world: VolumeWorld;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld(options);
  await world.start();
  await world.clock.advance(1_000);
  return world;
}

afterEach(async () => {
  expect(world.violations).toEqual([]);
  await world.close();
});

describe('one that the target has recovered from', () => {
  it.each(['write', 'read', 'flush'] as const)('a %s that brings it is executed', async (kind) => {
    const w = await started();
    await w.wrote(1, 11);
    w.gateway(0).inject(kind === 'flush' ? 'sync' : kind, deferred(1, 0x0c, 0));
    const io = w.submit(kind, 1, kind === 'flush' ? 0 : 1, 22);
    await w.good(io);
    expect(w.medium.value(1)).toBe(kind === 'write' ? 22 : 11);
    if (kind === 'read') expect(io.data?.readUInt32LE(0)).toBe(11);
    expect(w.volume.status().state).toBe('serving');
  });
});

describe('one that has lost a write', () => {
  it.each([
    ['write', 0],
    ['sync', 0],
    ['tur', 0],
    ['read', 1],
  ] as const)(
    'brought by a %s on p%i fails the volume, and no flush is good after it',
    async (op, at) => {
      const w = await started({ profiles: [{ writeCache: true, dpofua: false }] });
      await w.wrote(1, 11);
      w.gateway(at).inject(op, MEDIUM_ERROR);
      if (op === 'tur') w.gateway(0).attention({ key: 6, asc: 0x3f, ascq: 0x0e });
      const io = w.write(2, 22);
      await w.clock.advance(10_000);
      expect(w.volume.status()).toMatchObject({ state: 'failed' });
      expect(w.volume.status().reason).toContain(
        `acknowledged writes are lost: p${String(at)} has a deferred error, MEDIUM ERROR 0C/02`,
      );
      const flush = w.submit('flush', 0, 0);
      await w.clock.advance(10);
      expect(flush.error).toBe('EIO');
      expect(io.answers).toBe(1);
    },
  );

  it('brought by the flush of a detach is told', async () => {
    const w = await started({ profiles: [{ writeCache: true }] });
    await w.wrote(1, 11);
    w.gateway(0).inject('sync', MEDIUM_ERROR);
    await w.close();
    expect(w.event('failed').map(({ why }) => why)).toEqual([
      expect.stringContaining('acknowledged writes are lost'),
    ]);
    expect(w.store.disk?.mayHoldWrites).toEqual(['p0']);
  });
});
