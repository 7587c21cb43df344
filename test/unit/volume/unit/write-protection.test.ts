/** Paths through which the unit is write-protected: of no use to a volume that writes, while another is. */
import { afterEach, describe, expect, it } from 'vitest';
import { wordEvent } from '../../../../src/pathd/notices.ts';
import { placesOf, volumeStatus } from '../../../../src/pathd/volume-status.ts';
import { fakeDevice } from '../../../support/model/fake-device.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

const PARAMETERS_CHANGED = { key: 6, asc: 0x2a, ascq: 1 };

let world: VolumeWorld;

async function started(options: WorldOptions): Promise<VolumeWorld> {
  world = new VolumeWorld(options);
  await world.start();
  await world.clock.advance(1_000);
  return world;
}

const reasons = (w: VolumeWorld) => w.events.map((event) => wordEvent(event)?.reason);

function protect(w: VolumeWorld, index: number, writeProtected: boolean | 'silent'): void {
  const gateway = w.gateway(index);
  gateway.profile = { ...gateway.profile, writeProtected };
}

afterEach(async () => {
  expect(world.violations).toEqual([]);
  await world.close();
});

describe('a path whose unit is write-protected', () => {
  it('is not chosen by a volume that writes, however heavy; it is shown and told', async () => {
    const w = await started({ profiles: [{ writeProtected: true }] });
    expect(w.current).toBe('p1');
    await w.wrote(1, 11);
    expect(w.volume.status().paths[0]?.identity).toMatchObject({
      kind: 'unverified',
      detail: expect.stringContaining('write-protected') as string,
    });
    expect(reasons(w).filter((reason) => reason === 'WriteProtected')).toHaveLength(1);
    const shown = volumeStatus(w.volume, fakeDevice(), placesOf([]));
    expect(shown.paths.map(({ state }) => state)).toEqual(['write-protected', 'current']);
  });

  it('is as good as any to a volume that reads', async () => {
    const w = await started({ profiles: [{ writeProtected: true }], readOnly: true });
    expect(w.current).toBe('p0');
    expect(await w.value(1)).toBe(0);
  });

  it('is used again when the protection is taken away', async () => {
    const w = await started({
      profiles: [{ writeProtected: true }],
      policy: { policy: 'fast' },
    });
    expect(w.current).toBe('p1');
    protect(w, 0, false);
    await w.on('p0', 60_000);
    await w.wrote(1, 11);
  });

  it('on every path: the start says so', async () => {
    world = new VolumeWorld({ profiles: [{ writeProtected: true }, { writeProtected: true }] });
    const result = await world.clock.run(world.volume.start());
    expect(result).toMatchObject({ ok: false, error: { kind: 'no-path' } });
    expect(JSON.stringify(result)).toContain('write-protected');
  });
});

describe('write protection that comes while the volume serves', () => {
  it.each([
    ['and is announced', true, true],
    ['and is found out by a write', true, false],
    ['and MODE SENSE does not know of', 'silent', false],
  ] as const)(
    '%s moves the volume: no write is answered with an error',
    async (_, how, announced) => {
      const w = await started({});
      await w.wrote(1, 11);
      protect(w, 0, how);
      if (announced) w.gateway(0).attention(PARAMETERS_CHANGED);
      await w.wrote(2, 22);
      await w.wrote(3, 33);
      expect([w.current, w.medium.value(2), w.medium.value(3)]).toEqual(['p1', 22, 33]);
      await w.clock.advance(10_000);
      expect(w.current).toBe('p1');
      expect(w.volume.status().paths[0]?.identity.kind).toBe('unverified');
      expect(w.volume.status().ioErrors).toBe(0);
      expect(w.gateway(0).resets).toBe(0);
    },
  );

  it('on every path: writes wait, and go out when it is taken away', async () => {
    const w = await started({});
    for (const index of [0, 1]) protect(w, index, true);
    const io = w.write(1, 11);
    await w.clock.advance(20_000);
    expect([io.answers, w.volume.status().state]).toEqual([0, 'holding']);
    expect(w.volume.status().reason).toContain('write-protected');
    for (const index of [0, 1]) protect(w, index, false);
    await w.clock.advance(61_000);
    expect([io.answers, io.error]).toEqual([1, undefined]);
  });
});
