/** The kernel keeps the contract that the double of mounts and devices keeps (test/unit/csi/node/mounts.test.ts). */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { parseMountInfo } from '../../src/host/mount/mountinfo.ts';
import { SYSTEM_MOUNTS } from '../../src/csi/node/mounts.ts';
import { run } from '../support/node/csi-bench.ts';
import { mountsContract, type MountsRig, RIG_BYTES } from '../support/node/mounts-contract.ts';

const CAP_SYS_RESOURCE = 24n;

let top: string;
let rig: MountsRig;

function mayGrow(): boolean {
  const status = readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

beforeEach(async () => {
  top = mkdtempSync('/dev/shm/csi-mounts-');
  const dir = join(top, 'rig');
  mkdirSync(dir);
  const image = join(top, 'image');
  writeFileSync(image, '');
  truncateSync(image, RIG_BYTES);
  const { stdout } = await run('losetup', ['--find', '--show', image]);
  const device = stdout.trim();
  rig = {
    ...{ mounts: SYSTEM_MOUNTS, dir, device, backingFile: image, mayGrow: mayGrow() },
    grow: async (sizeBytes) => {
      truncateSync(image, sizeBytes);
      await run('losetup', ['--set-capacity', device]);
    },
    putPartitions: async () => {
      const handle = await open(device, 'r+');
      const sector = Buffer.alloc(512);
      Buffer.from('00010100830303100008000000400000', 'hex').copy(sector, 446);
      sector.writeUInt16BE(0x55aa, 510);
      await handle.write(sector, 0, 512, 0);
      await handle.sync();
      await handle.close();
    },
    keepOpen: async (mountPoint) => {
      const handle = await open(join(mountPoint, 'open'), 'w');
      return () => handle.close();
    },
    putFile: (path) => writeFile(path, 'x'),
  };
});

afterEach(async () => {
  const mounts = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  const ours = mounts.map(({ mountPoint }) => mountPoint).filter((path) => path.startsWith(top));
  for (const path of ours.reverse()) await run('umount', ['--', path]);
  await run('losetup', ['--detach', rig.device]);
  rmSync(top, { recursive: true });
});

mountsContract(() => rig);
