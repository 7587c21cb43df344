/** A raw block volume that several nodes write: what one of them sees of the others. */
import { afterEach, expect, it } from 'vitest';
import { payload, VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function started(options: WorldOptions): Promise<VolumeWorld> {
  world = new VolumeWorld({ ...options, policy: { policy: 'fast' } });
  await world.start();
  await world.clock.advance(1_000);
  return world;
}

/** Written by us, then by another node, through a target of its own. */
async function overwritten(w: VolumeWorld): Promise<void> {
  for (let lba = 1; lba < 6; lba++) {
    await w.wrote(lba, lba);
    await w.clock.advance(100);
  }
  payload(77, 6).copy(w.medium.bytes, w.medium.blockSize);
  await w.clock.advance(10_000);
}

const identities = (w: VolumeWorld) => w.volume.status().paths.map(({ identity }) => identity.kind);

afterEach(() => {
  expect(world.violations).toEqual([]);
});

it('a standby that shows the write of another node is no stale copy', async () => {
  const w = await started({ singleNode: false });
  await overwritten(w);
  expect(identities(w)).toEqual(['verified', 'verified']);
  w.gateway(0).kill();
  await w.on('p1');
  expect([await w.value(1), w.store.disk?.banned]).toEqual([77, {}]);
});

it('where one node writes it is one, and banned', async () => {
  const w = await started({ singleNode: true });
  await overwritten(w);
  expect(identities(w)).toEqual(['verified', 'banned']);
});
