/**
 * Three real tgtd behind links that lose packets, or everything for 300 ms now and then, by the default
 * policy: nothing is switched for that, and a link that is silent for good is left within its bound all the
 * same. Ten minutes of it are rows of `bench:failover`, and P23 in virtual time (volume-calm.test.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { Rig } from '../support/node/rig.ts';
import { StampLoad } from '../support/load/stamps-load.ts';
import { verifyFile } from '../support/load/stamps.ts';

const LOST_PERMILLE = 5;
const LOSS_MS = 8_000;
const HICCUPS = 6;
const HICCUP_MS = 300;
const HICCUP_EVERY_MS = 1_500;
/** D63: a path that is silent under load is left within this time. */
const LEFT_MS = 1_500;

let rig: Rig | undefined;
let load: StampLoad | undefined;

afterEach(async () => {
  await load?.kill();
  load = undefined;
  await rig?.close();
  rig = undefined;
});

async function expectNoSwitch(volume: Rig): Promise<void> {
  const { currentPath, failovers, ioErrors, paths } = await volume.status();
  const states = paths.map(({ state }) => state);
  expect({ currentPath, failovers, ioErrors, states }).toEqual({
    ...{ currentPath: 'p0', failovers: 0, ioErrors: 0, states: ['current', 'standby', 'standby'] },
  });
}

test('packet loss and hiccups switch nothing, a black hole does', async () => {
  // Once the path is left its link is silent for good: nothing that it still has can come late.
  const volume = await Rig.start({
    ...{ racks: true, policySet: 'default', policy: { fencing: 'none' } },
  });
  rig = volume;
  await volume.stage();
  await volume.publish();
  const file = `${volume.path}/stamps`;
  const pace = { inFlight: 2, pauseMs: 8 };
  const stamps = await StampLoad.start({ file, volume: volume.volumeId, blocks: 1024, ...pace });
  load = stamps;
  await stamps.progressed(300, 30_000);

  for (const rack of volume.racks) rack.loseSome(LOST_PERMILLE);
  await sleep(LOSS_MS);
  for (const rack of volume.racks) rack.loseSome(0);
  await expectNoSwitch(volume);

  // Of all links at once, and of each by itself.
  for (let n = 0; n < HICCUPS; n++) {
    const struck = volume.racks.filter((_, index) => n % 2 === 0 || index === (n >> 1) % 3);
    for (const rack of struck) rack.hiccup(HICCUP_MS);
    await sleep(HICCUP_EVERY_MS);
  }
  await expectNoSwitch(volume);

  const { starvedMs } = volume;
  volume.rack(0).blackHole(true);
  const over = await volume.until('gap known', ({ lastSwitch }) => (lastSwitch?.gapMs ?? 0) > 0);
  expect(over.lastSwitch).toMatchObject({ from: 'p0', kind: 'failover' });
  const boundMs = LEFT_MS + volume.starvedMs - starvedMs;
  expect(over.lastSwitch?.gapMs).toBeLessThanOrEqual(boundMs);
  await volume.target(0).kill();

  const ledger = await stamps.stop();
  expect(stamps.totals).toMatchObject({ errors: 0, faults: 0 });
  const good = { lost: 0, stale: 0, torn: 0, errors: 0 };
  expect(await verifyFile(file, ledger)).toMatchObject(good);
  await volume.unpublish();
  await volume.unstage();
  await volume.fsck();
});
