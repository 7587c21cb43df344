/**
 * A wrong LUN behind one path, as like the right one as tgt makes them: same size, same default
 * identifiers. Nothing may be written to it, and nothing read from it into the volume.
 */
import { writeFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { FioJobRun } from '../support/load/fio.ts';
import { Rig, SERIAL } from '../support/node/rig.ts';
import { StampLoad } from '../support/load/stamps-load.ts';
import { makeBackingFile } from '../support/targets/tgt.ts';

const SIZE = 256 << 20;
let rig: Rig | undefined;

afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

/** p0 and p2 lead to the volume, p1 to another LUN of the same size. */
async function wrongSecond(
  wrong: { readonly serial?: string; readonly scsiId?: string },
  right: { readonly serial?: string; readonly scsiId?: string },
  policy: Readonly<Record<string, string>>,
): Promise<{ readonly volume: Rig; readonly wrongFile: string }> {
  let wrongFile = '';
  const volume = await Rig.start({
    policy: { fencing: 'gone', ...policy },
    sizeBytes: SIZE,
    target: (index, folder) => {
      if (index !== 1) return right;
      wrongFile = `${folder}/wrong`;
      makeBackingFile(wrongFile, SIZE);
      writeFileSync(wrongFile, 'somebody else owns this', { flag: 'r+' });
      return { ...wrong, backingFile: wrongFile };
    },
  });
  rig = volume;
  return { volume, wrongFile };
}

const DEFAULTS = { serial: undefined, scsiId: undefined } as object;

describe('a wrong LUN of the same size behind p1', () => {
  test('with tgt default identifiers is not used without expected-serial, whatever dies', async () => {
    const { volume, wrongFile } = await wrongSecond(DEFAULTS, DEFAULTS, { 'expected-serial': '' });
    const before = Rig.hash(wrongFile);
    await volume.stage();
    await volume.publish();
    const status = await volume.until('p1 judged', ({ paths }) =>
      paths.every(({ state }) => state !== 'connecting'),
    );
    expect(status.paths.map(({ state }) => state)).toEqual(['current', 'unverified', 'unverified']);
    expect(status.paths[1]?.lastError).toContain('expected-serial');
    const file = `${volume.path}/fio`;
    const job = new FioJobRun({ file, sizeBytes: 16 << 20, runtimeSeconds: 4 });
    await volume.until('writes in flight', ({ outstanding }) => outstanding > 0);
    await volume.target(0).kill();
    const held = await volume.until('held', ({ reason }) => reason.startsWith('no usable path'));
    expect(held.currentPath).toBe('');
    await volume.target(0).start();
    await volume.until('serving', ({ currentPath }) => currentPath === 'p0');
    expect((await job.done).error).toBe(0);
    await volume.unpublish();
    await volume.unstage();
    expect(Rig.hash(wrongFile)).toBe(before);
  });

  test('with another serial number is banned when expected-serial is set', async () => {
    const wrong = { serial: 'OTHER', scsiId: SERIAL };
    const { volume, wrongFile } = await wrongSecond(wrong, {}, {});
    const before = Rig.hash(wrongFile);
    await volume.stage();
    const status = await volume.until('p1 judged', ({ paths }) => paths[1]?.state === 'banned');
    expect(status.paths[1]?.lastError).toContain('serial number is "OTHER", expected "RIG0001"');
    expect(status.paths[2]?.state).toBe('standby');
    await volume.unstage();
    expect(Rig.hash(wrongFile)).toBe(before);
  });

  test('with every identifier copied is found by reading writes back, before it is used', async () => {
    const { volume, wrongFile } = await wrongSecond({}, {}, {});
    const before = Rig.hash(wrongFile);
    await volume.stage();
    await volume.publish();
    const load = await StampLoad.start({ file: `${volume.path}/stamps`, volume: volume.volumeId });
    await load.progressed(500, 30_000);
    const status = await volume.until('p1 banned', ({ paths }) => paths[1]?.state === 'banned');
    expect(status.paths[1]?.lastError).toContain('does not show what was written');
    await volume.target(0).kill();
    await volume.until('I/O on p2', ({ currentPath }) => currentPath === 'p2');
    await load.progressed(500, 30_000);
    await load.stop();
    expect(load.totals).toMatchObject({ errors: 0, faults: 0 });
    await volume.unpublish();
    await volume.unstage();
    await volume.fsck();
    expect(Rig.hash(wrongFile)).toBe(before);
  });
});
