/**
 * Two real tgtd over one file whose writes and flushes take 1.5 s: nothing is switched for that; when a path
 * is left for another reason, the fence holds, and so does the end.
 */
import { afterEach, describe, expect, test } from 'vitest';
import type { Volume } from '../../src/volume/volume.ts';
import { freePort, temporaryFolder } from '../support/targets/ports.ts';
import { startVolume, submit } from '../support/node/real-volume.ts';
import { SlowFiles } from '../support/targets/slow-file.ts';
import { makeBackingFile, Target, TEST_IQN } from '../support/targets/tgt.ts';

const UNIT = { serial: 'SLOW01', scsiId: 'SLOW01' };
const LATE_MS = 1_500;

const atEnd: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of atEnd.splice(0).reverse()) await end();
});

interface World {
  readonly volume: Volume;
  readonly slow: SlowFiles;
  readonly gateways: readonly Target[];
}

async function start(): Promise<World> {
  const folder = temporaryFolder('pp-slow');
  atEnd.push(folder.remove);
  const file = `${folder.path}/unit`;
  makeBackingFile(file, 16 << 20);
  const slow = await SlowFiles.start(file);
  atEnd.push(() => slow.close());
  const [backingFile = ''] = slow.paths;
  const gateways: Target[] = [];
  for (const host of ['127.0.0.1', '127.0.0.2']) {
    const where = { host, port: await freePort(host) };
    const gateway = await Target.start({ ...where, ...UNIT, backingFile, direct: true });
    gateways.push(gateway);
    atEnd.push(() => gateway.kill());
  }
  const volume = await startVolume({
    portals: gateways.map(({ options: { host, port } }) => ({ host, port })),
    targetName: TEST_IQN,
    // Times as by default.
    policy: { policy: 'default', 'expected-serial': UNIT.serial },
  });
  atEnd.push(() => volume.close());
  return { volume, slow, gateways };
}

const write = (volume: Volume, block: number): Promise<string | undefined> =>
  submit(volume, { kind: 'write', offset: 4096 * block, data: Buffer.alloc(4096, block + 1) });

describe('storage that takes 1.5 s for each write and flush', () => {
  test('is waited for: nothing is switched, nothing is reset', async () => {
    const { volume, slow } = await start();
    await slow.delayWrites(LATE_MS);
    const until = performance.now() + 15_000;
    for (let n = 0; performance.now() < until; n++)
      expect(await write(volume, n % 8)).toBeUndefined();
    const { failovers, paths, state } = volume.status();
    expect({ failovers, state }).toEqual({ failovers: 0, state: 'serving' });
    expect(paths.map(({ up, weight, maxWeight }) => up && weight === maxWeight)).toEqual([
      true,
      true,
    ]);
  });

  test('is fenced when a path is lost with a write unanswered, and serves through the other', async () => {
    const { volume, slow, gateways } = await start();
    await slow.delayWrites(LATE_MS);
    const writing = write(volume, 3);
    await new Promise((resolve) => setTimeout(resolve, 200));
    // Frozen for a while: left for its silence. Then it is asked to reset, and to flush.
    gateways[0]?.signal('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    gateways[0]?.signal('SIGCONT');
    expect(await writing).toBeUndefined();
    const { lastSwitch, state, ioErrors } = volume.status();
    expect({ state, ioErrors }).toEqual({ state: 'serving', ioErrors: 0 });
    expect(lastSwitch).toMatchObject({ from: 'p0', to: 'p1', fence: 'reset' });
  });
});
