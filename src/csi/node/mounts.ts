/**
 * What the node service asks of the kernel and of the programs that come with it: the mount table, places
 * to mount at, devices, filesystems. One interface, so that the order, the rollback and the idempotency of
 * the CSI calls are tested without root, against a double that keeps the same contract
 * (test/support/node/mounts-contract.ts holds both to it).
 *
 * Every function is documented where it is made.
 */
import { readBackingFile } from '../../host/block/loop.ts';
import { blockDeviceNumbers, findUsers, openExclusive } from '../../host/mount/device-users.ts';
import { blockDeviceSize, probeDevice } from '../../host/mount/filesystem-probe.ts';
import {
  checkFilesystem,
  growFilesystem,
  isComplete,
  makeFilesystem,
} from '../../host/mount/filesystem.ts';
import { makeDirectory, makeFile, removePlace } from '../../host/mount/mount-place.ts';
import { bindMount, canonicalPath, mountFilesystem, unmountAll } from '../../host/mount/mount.ts';
import { readMountInfo } from '../../host/mount/mountinfo.ts';
import { statfs } from '../../host/mount/statfs.ts';
import { hasGrown } from '../../host/mount/superblock.ts';

/** By the kernel of this node. */
export const SYSTEM_MOUNTS = {
  // The mount table.
  readMountInfo,
  canonicalPath,
  mountFilesystem,
  bindMount,
  unmountAll,
  // Places to mount at.
  makeDirectory,
  makeFile,
  removePlace,
  // Devices.
  blockDeviceNumbers,
  blockDeviceSize,
  readBackingFile,
  openExclusive,
  findUsers,
  // Filesystems.
  probeDevice,
  makeFilesystem,
  checkFilesystem,
  isComplete,
  hasGrown,
  growFilesystem,
  statfs,
};

export type Mounts = Readonly<typeof SYSTEM_MOUNTS>;
