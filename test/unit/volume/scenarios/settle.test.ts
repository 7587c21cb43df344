/** A volume serves nobody before what it is, and who is banned from it, is on disk. */
import { expect, it } from 'vitest';
import { err } from '../../../../src/base/result.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

it('a start whose record of the unit cannot be saved is an error, and nobody is served', async () => {
  const world = new VolumeWorld();
  const save = world.store.save.bind(world.store);
  const full = {
    kind: 'no-space',
    detail: 'cannot write /state/v.record: the disk is full',
  } as const;
  // That of the path that is arrived at is saved: it is the unit that is not.
  world.store.save = async (record) => (record.lu === undefined ? save(record) : err(full));
  const started = await world.clock.run(world.volume.start());
  expect(started).toEqual({ ok: false, error: { kind: 'record', detail: full.detail } });
  expect(world.store.disk).toMatchObject({ mayHoldWrites: ['p0'] });
  // What a served volume does in the background, it does not.
  const saves = world.store.history.length;
  await world.clock.advance(700_000);
  expect(world.store.history.length).toBe(saves);
  world.store.save = save;
  await world.close();
  expect(world.violations).toEqual([]);
});
