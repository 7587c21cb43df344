/** The double of mounts and devices keeps the contract that the kernel keeps (test/kernel/csi-mounts.test.ts). */
import { beforeEach } from 'vitest';
import { FakeMounts } from '../../../support/node/fake-mounts.ts';
import {
  mountsContract,
  type MountsRig,
  RIG_BYTES,
} from '../../../support/node/mounts-contract.ts';

let rig: MountsRig;

beforeEach(() => {
  const mounts = new FakeMounts();
  const medium = { sizeBytes: RIG_BYTES, content: { kind: 'blank' as const } };
  const device = mounts.attach('/images/a', medium);
  mounts.put('/rig');
  rig = {
    ...{ mounts, dir: '/rig', device, backingFile: '/images/a', mayGrow: true },
    grow: async (sizeBytes) => {
      medium.sizeBytes = sizeBytes;
      mounts.refresh(device);
    },
    putPartitions: async () => {
      Object.assign(medium, { content: { kind: 'foreign', what: 'a partition table (dos)' } });
    },
    keepOpen: async (mountPoint) => {
      mounts.busy.add(mountPoint);
      return async () => void mounts.busy.delete(mountPoint);
    },
    putFile: async (path) => {
      mounts.put(path, 1);
    },
  };
});

mountsContract(() => rig);
