/** Debts whose addresses do not answer any more: what they cost an attach, and what people are told of them. */
import { expect, it } from 'vitest';
import type { Debt } from '../../../../src/volume/record/debt.ts';
import { profile } from '../../../support/model/fake-lu.ts';
import { Gateway } from '../../../support/model/fake-session.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

it('a claim that names many addresses removed long ago costs the patience of one login', async () => {
  const gone = Array.from({ length: 12 }, (_, i) => {
    const at = { host: `10.9.0.${String(i)}`, port: 3260, targetName: 'iqn.t', lun: 1 };
    return { name: `old${String(i)}`, ...at, isid: `80000${String(900 + i)}0000`, keptOut: false };
  });
  const claim: Debt = {
    ...{ node: 'a', sinceUnixMs: 0, allPaths: true, initiatorName: 'iqn.2026-01.test:a' },
    paths: gone,
  };
  const policy = { fencing: 'delay=30s' };
  const world = new VolumeWorld({ singleNode: true, debts: [claim], policy });
  const { clock, initiator, medium } = world;
  for (const { host } of gone) {
    const silent = new Gateway('x', medium, profile(), { clock, watch: {} });
    silent.mode = 'frozen';
    initiator.gateways.set(`${host}:3260`, silent);
  }
  const from = clock.now();
  await world.start();
  expect(clock.now() - from).toBeLessThan(3_000);
  expect(world.volume.unpaid).toEqual([]);
  await world.close();
});

it('a debt of this node itself is told as its own, with how to go on', async () => {
  const first = new VolumeWorld({ singleNode: true, policy: { 'no-path-timeout': '10s' } });
  const { clock, gateways, medium, store } = first;
  await first.start();
  await clock.advance(1_000);
  first.gateway(0).mode = 'frozen';
  expect(await clock.run(first.write(3, 1).done)).toBe('EIO');
  await first.close();
  // A later holder has settled it: the claim does not name it any more, which proves nothing by itself.
  const again = new VolumeWorld({ singleNode: true, clock, gateways, medium, store, debts: [] });
  const refused = await clock.run(again.volume.start());
  const text = refused.ok ? '' : refused.error.detail;
  expect(text).toMatch(/writes on p0 are not fenced .* this node has left them itself.*forget/u);
  await again.close();
  expect(store.disk?.mayHoldWrites).toEqual(['p0']);
  first.gateway(0).revive();
});
