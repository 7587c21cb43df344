/** resize2fs and xfs_growfs look at what is not theirs: they run where something has grown. */
import { afterEach, expect, test } from 'vitest';
import { CsiBench, EXT4_BYTES, XFS_BYTES } from '../support/node/csi-bench.ts';
import { mountCapability } from '../support/node/kubelet.ts';

let bench: CsiBench;
afterEach(() => bench.close());

test.each([
  ['ext4', 'resize2fs', EXT4_BYTES],
  ['xfs', 'xfs_growfs', XFS_BYTES],
] as const)('%s: a stage runs %s only where the LUN has grown', async (fsType, program, bytes) => {
  bench = await CsiBench.open(bytes);
  bench.fakeProgram(program, 'echo told apart >&2; exit 9');
  const round = async (): Promise<number> => {
    await bench.stage('pv-1', mountCapability(fsType));
    await bench.unstage('pv-1');
    return bench.logged.filter((line) => line.includes('told apart')).length;
  };
  expect([await round(), await round()]).toEqual([0, 0]);
  bench.pathd.grow('pv-1', bytes * 2);
  expect(await round()).toBe(1);
});
