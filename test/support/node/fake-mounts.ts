/**
 * A node's kernel with its programs, in memory: a mount table, places to mount at, loop devices over media,
 * filesystems on them. It does what the real thing does as far as the node service can tell, no more;
 * mounts-contract.ts says what that is, and is run against both.
 *
 * A mkfs does not spare what it finds (`mkfs.ext4 -q` does not either): what was overwritten is in
 * `overwritten`.
 */
import { dirname } from 'node:path';
import { err, ok } from '../../../src/base/result.ts';
import type { Mounts } from '../../../src/csi/node/mounts.ts';
import type { DeviceContent } from '../../../src/host/mount/filesystem-probe.ts';
import type { FilesystemType } from '../../../src/host/mount/filesystem.ts';
import type { MountError } from '../../../src/host/mount/mount.ts';
import { findByMountPoint, type MountEntry } from '../../../src/host/mount/mountinfo.ts';
import { Steps } from './steps.ts';

type Content =
  | { readonly kind: 'blank' }
  | {
      readonly kind: 'filesystem';
      readonly type: string;
      readonly sizeBytes: number;
      readonly isComplete: boolean;
    }
  | { readonly kind: 'foreign'; readonly what: string };

/** What is behind a device, and outlives it. */
export interface Medium {
  sizeBytes: number;
  content: Content;
}

interface Device {
  readonly minor: number;
  readonly backingFile: string;
  readonly medium: Medium;
  /** As the kernel shows it: a medium that grows is noticed when it is told to look. */
  sizeBytes: number;
}

type Answer<K extends keyof Mounts> = ReturnType<Mounts[K]>;

const LOOP_MAJOR = 7;
const ROOT = { ...{ mountId: 1, parentId: 0, major: 8, minor: 1, root: '/', mountPoint: '/' } };
const DEV = { ...{ mountId: 2, parentId: 1, major: 0, minor: 6, root: '/', mountPoint: '/dev' } };
const PLAIN = { options: ['rw'], propagation: [], superOptions: ['rw'] };

export class FakeMounts implements Mounts {
  readonly steps: Steps;
  /** Content that a mkfs has destroyed. */
  readonly overwritten: Content[] = [];
  /** Mount points with an open file. */
  readonly busy = new Set<string>();
  /** Devices whose filesystems do not answer. */
  readonly hung = new Set<string>();
  /** Devices that something holds that is not in the mount table. */
  readonly held = new Set<string>();
  /** The next mkfs ends half-way. */
  mkfsBreaks = false;
  readonly #devices = new Map<string, Device>();
  /** Directories, and files by their size. */
  readonly #places = new Map<string, 'directory' | number>([['/', 'directory']]);
  #table: MountEntry[] = [
    { ...ROOT, ...PLAIN, fsType: 'ext4', source: '/dev/root' },
    { ...DEV, ...PLAIN, fsType: 'devtmpfs', source: 'udev' },
  ];
  #lastMount = 2;

  constructor(steps = new Steps()) {
    this.steps = steps;
  }

  // -------------------------------------------------------------------- what others do to the node

  /** A loop device over a medium, with the lowest number that is free. */
  attach(backingFile: string, medium: Medium): string {
    let minor = 0;
    while (this.#devices.has(`/dev/loop${String(minor)}`)) minor += 1;
    const device = `/dev/loop${String(minor)}`;
    this.#devices.set(device, { minor, backingFile, medium, sizeBytes: medium.sizeBytes });
    return device;
  }

  /** Nothing happens where the number has come to be another file's. */
  detach(device: string, backingFile: string): void {
    if (this.#devices.get(device)?.backingFile === backingFile) this.#devices.delete(device);
  }

  /** The device takes over the size of its medium. */
  refresh(device: string): void {
    const known = this.#devices.get(device);
    if (known !== undefined) known.sizeBytes = known.medium.sizeBytes;
  }

  /** The node was started again: devices and mounts are gone, places are not. */
  reboot(): void {
    this.#devices.clear();
    this.#table = this.#table.slice(0, 2);
  }

  /** A file, or an empty directory. */
  put(path: string, sizeBytes?: number): void {
    this.#makeParents(path);
    this.#places.set(path, sizeBytes ?? 'directory');
  }

  has(path: string): boolean {
    return this.#places.has(path);
  }

  backingFileOf(device: string): string | undefined {
    return this.#devices.get(device)?.backingFile;
  }

  isMounted(device: string): boolean {
    return this.#mountsOf(device).length > 0;
  }

  /** Mount points, but for those of the node itself. */
  get mounted(): readonly string[] {
    return this.#table.slice(2).map(({ mountPoint }) => mountPoint);
  }

  // ------------------------------------------------------------------------------- the mount table

  readMountInfo(): Answer<'readMountInfo'> {
    return this.steps.ask('readMountInfo', () => [...this.#table], noDescriptor);
  }

  canonicalPath(path: string): Promise<string> {
    return Promise.resolve(path);
  }

  mountFilesystem(
    device: string,
    target: string,
    fsType: string,
    options: readonly string[],
  ): Answer<'mountFilesystem'> {
    const mount = (): Awaited<Answer<'mountFilesystem'>> => {
      const known = this.#devices.get(device);
      if (known === undefined) return failed(`special device ${device} does not exist`);
      const { content } = known.medium;
      if (this.#places.get(target) !== 'directory') return failed('mount point does not exist');
      if (content.kind !== 'filesystem' || content.type !== fsType || !content.isComplete) {
        return failed('wrong fs type, bad option, bad superblock');
      }
      const isSame = findByMountPoint(this.#table, target)?.minor === known.minor;
      const flag = options.includes('ro') ? 'ro' : 'rw';
      const others = this.#mountsOf(device);
      if (isSame || others.some(({ superOptions }) => !superOptions.includes(flag))) {
        return err({ kind: 'busy', detail: `${device} already mounted or mount point busy` });
      }
      const own = { fsType, source: device, options: [flag], superOptions: [flag] };
      this.#add({ ...PLAIN, ...own, root: '/', ...numbersOf(known), mountPoint: target });
      return ok(undefined);
    };
    return this.steps.act(`mount ${device} ${target}`, mount, () => failed('failed on request'));
  }

  bindMount(source: string, target: string, readOnly: boolean): Answer<'bindMount'> {
    const bind = (): Awaited<Answer<'bindMount'>> => {
      const place = this.#places.get(target);
      const isDevice = this.#devices.has(source);
      const isDirectory = this.#places.get(source) === 'directory';
      if (!isDevice && !isDirectory) return failed(`special device ${source} does not exist`);
      if (place === undefined) return failed('mount point does not exist');
      if ((place === 'directory') !== isDirectory) return failed('not a directory');
      const under = this.#covering(source);
      const root = source === under.mountPoint ? under.root : source.slice(under.mountPoint.length);
      const options = [readOnly ? 'ro' : 'rw'];
      this.#add({ ...under, options, root, mountPoint: target });
      return ok(undefined);
    };
    return this.steps.act(`bind ${source} ${target}`, bind, () => failed('failed on request'));
  }

  unmountAll(target: string): Answer<'unmountAll'> {
    const unmount = (): Awaited<Answer<'unmountAll'>> => {
      if (findByMountPoint(this.#table, target) === undefined) return ok(undefined);
      if (this.busy.has(target)) return err({ kind: 'busy', detail: 'target is busy.' });
      this.#table = this.#table.filter(({ mountPoint }) => mountPoint !== target);
      return ok(undefined);
    };
    return this.steps.act(`unmount ${target}`, unmount, () => failed('failed on request'));
  }

  // ------------------------------------------------------------------------------------- places

  makeDirectory(path: string): Promise<void> {
    const make = (): void => {
      if (typeof this.#places.get(path) === 'number') throw new Error(`EEXIST: ${path}`);
      this.put(path);
    };
    return this.steps.act(`mkdir ${path}`, make, noSpace);
  }

  makeFile(path: string): Promise<void> {
    const make = (): void => {
      if (this.#places.get(path) === 'directory') {
        if (!this.#isEmpty(path)) throw new Error(`EISDIR: ${path}`);
        this.#places.delete(path);
      }
      if (this.#places.get(dirname(path)) !== 'directory') throw new Error(`ENOENT: ${path}`);
      this.#places.set(path, this.#places.get(path) ?? 0);
    };
    return this.steps.act(`touch ${path}`, make, noSpace);
  }

  removePlace(path: string): Answer<'removePlace'> {
    const remove = (): Awaited<Answer<'removePlace'>> => {
      const place = this.#places.get(path);
      if (place === undefined) return ok(undefined);
      if (typeof place === 'number' && place > 0) {
        return err('it is neither a directory nor an empty file');
      }
      if (!this.#isEmpty(path)) return err(`ENOTEMPTY: ${path}`);
      if (findByMountPoint(this.#table, path) !== undefined) return err(`EBUSY: ${path}`);
      this.#places.delete(path);
      return ok(undefined);
    };
    return this.steps.act(`remove ${path}`, remove, () => err('failed on request'));
  }

  // ------------------------------------------------------------------------------------ devices

  blockDeviceNumbers(path: string): Answer<'blockDeviceNumbers'> {
    const look = (): Awaited<Answer<'blockDeviceNumbers'>> => {
      const known = this.#devices.get(this.#shownAt(path));
      return known === undefined ? undefined : numbersOf(known);
    };
    return this.steps.ask(`numbers of ${path}`, look, () => undefined);
  }

  blockDeviceSize(path: string): Answer<'blockDeviceSize'> {
    const look = (): number | undefined => this.#devices.get(this.#shownAt(path))?.sizeBytes;
    return this.steps.ask(`size of ${path}`, look, () => undefined);
  }

  readBackingFile({ major, minor }: { major: number; minor: number }): Answer<'readBackingFile'> {
    const look = (): string | undefined =>
      major === LOOP_MAJOR
        ? this.#devices.get(`/dev/loop${String(minor)}`)?.backingFile
        : undefined;
    return this.steps.ask(`backing file of loop${String(minor)}`, look, noDescriptor);
  }

  openExclusive(device: string): Answer<'openExclusive'> {
    const open = (): Awaited<Answer<'openExclusive'>> => {
      if (!this.#devices.has(device)) return err({ kind: 'no-device', detail: 'ENOENT' });
      if (!this.isMounted(device) && !this.held.has(device)) return ok(undefined);
      return err({ kind: 'busy', detail: `${device} is in use` });
    };
    const failure = (): Awaited<Answer<'openExclusive'>> => err({ kind: 'io', detail: 'EIO' });
    return this.steps.ask(`open exclusively ${device}`, open, failure);
  }

  findUsers(device: string): Answer<'findUsers'> {
    const look = (): Awaited<Answer<'findUsers'>> => [
      ...this.#mountsOf(device).map(({ mountPoint }) => ({ what: `mounted at ${mountPoint}` })),
      ...(this.held.has(device) ? [{ what: 'opened by pid 4711 (dd)' }] : []),
    ];
    return this.steps.ask(`holders of ${device}`, look, () => []);
  }

  // -------------------------------------------------------------------------------- filesystems

  probeDevice(device: string): Answer<'probeDevice'> {
    const look = (): DeviceContent => {
      const content = this.#devices.get(device)?.medium.content;
      if (content === undefined) {
        return { kind: 'unknown', detail: `${device} is not a block device` };
      }
      return content.kind === 'filesystem' ? { kind: 'filesystem', type: content.type } : content;
    };
    const failure = (): DeviceContent => ({ kind: 'unknown', detail: 'EIO' });
    return this.steps.ask(`probe ${device}`, look, failure);
  }

  makeFilesystem(device: string, type: FilesystemType): Answer<'makeFilesystem'> {
    const make = (): Awaited<Answer<'makeFilesystem'>> => {
      const known = this.#devices.get(device);
      if (known === undefined) return err(`${device} does not exist`);
      if (this.isMounted(device)) return err(`${device} is mounted`);
      const { medium, sizeBytes } = known;
      if (medium.content.kind !== 'blank') this.overwritten.push(medium.content);
      medium.content = { kind: 'filesystem', type, sizeBytes, isComplete: !this.mkfsBreaks };
      return this.mkfsBreaks ? err('was killed by SIGKILL') : ok(undefined);
    };
    return this.steps.act(`mkfs.${type} ${device}`, make, () => err('failed on request'));
  }

  checkFilesystem(device: string, type: FilesystemType): Answer<'checkFilesystem'> {
    const check = (): Awaited<Answer<'checkFilesystem'>> => {
      if (type === 'xfs') return ok('');
      if (this.isMounted(device)) return err(`${device} is mounted`);
      return this.#isComplete(device, type) ? ok('') : err('bad magic number in super-block');
    };
    return this.steps.act(`fsck.${type} ${device}`, check, () => err('failed on request'));
  }

  isComplete(device: string, type: FilesystemType): Answer<'isComplete'> {
    const check = (): boolean => this.#isComplete(device, type);
    return this.steps.ask(`is ${device} complete`, check, () => false);
  }

  hasGrown(device: string, type: FilesystemType): Answer<'hasGrown'> {
    const look = (): boolean => {
      const known = this.#devices.get(device);
      const content = known?.medium.content;
      if (known === undefined || content?.kind !== 'filesystem') return true;
      return content.type !== type || known.sizeBytes > content.sizeBytes;
    };
    return this.steps.ask(`has ${device} grown`, look, silent);
  }

  growFilesystem(
    device: string,
    mountPoint: string,
    type: FilesystemType,
  ): Answer<'growFilesystem'> {
    const grow = (): Awaited<Answer<'growFilesystem'>> => {
      const known = this.#devices.get(device);
      const content = known?.medium.content;
      const entry = findByMountPoint(this.#table, mountPoint);
      if (known === undefined || content?.kind !== 'filesystem' || content.type !== type) {
        return err(`${device} holds no ${type}`);
      }
      if (entry?.minor !== known.minor || entry.options.includes('ro')) {
        return err(`${mountPoint} is no writable mount of ${device}`);
      }
      known.medium.content = { ...content, sizeBytes: known.sizeBytes };
      return ok(undefined);
    };
    return this.steps.act(`grow ${device}`, grow, () => err('failed on request'));
  }

  statfs(path: string): Answer<'statfs'> {
    const look = (): Awaited<Answer<'statfs'>> => {
      if (!this.#places.has(path)) return err({ kind: 'failed', detail: `${path}: ENOENT` });
      const { source } = this.#covering(path);
      if (this.hung.has(source)) return err({ kind: 'timeout', detail: `${path} does not answer` });
      const content = this.#devices.get(source)?.medium.content;
      const totalBytes = content?.kind === 'filesystem' ? content.sizeBytes : 1 << 30;
      const inodes = { totalInodes: 1_000, usedInodes: 11, availableInodes: 989 };
      return ok({ totalBytes, usedBytes: 0, availableBytes: totalBytes, ...inodes });
    };
    const failure = (): Awaited<Answer<'statfs'>> => err({ kind: 'failed', detail: 'EIO' });
    return this.steps.ask(`statfs ${path}`, look, failure);
  }

  // ------------------------------------------------------------------------------------ the rest

  /** The device that a path is a node of: itself, or what was bound there. */
  #shownAt(path: string): string {
    const entry = findByMountPoint(this.#table, path);
    return entry?.fsType === 'devtmpfs' ? `/dev${entry.root}` : path;
  }

  #isComplete(device: string, type: string): boolean {
    const content = this.#devices.get(device)?.medium.content;
    return content?.kind === 'filesystem' && content.type === type && content.isComplete;
  }

  #mountsOf(device: string): readonly MountEntry[] {
    const known = this.#devices.get(device);
    if (known === undefined) return [];
    return this.#table.filter(({ major, minor }) => major === LOOP_MAJOR && minor === known.minor);
  }

  #covering(path: string): MountEntry {
    const at = findByMountPoint(this.#table, path);
    return at ?? this.#covering(dirname(path));
  }

  #isEmpty(path: string): boolean {
    return ![...this.#places.keys()].some((other) => other.startsWith(`${path}/`));
  }

  #makeParents(path: string): void {
    for (let above = dirname(path); above !== '/'; above = dirname(above)) {
      this.#places.set(above, 'directory');
    }
  }

  #add(entry: Omit<MountEntry, 'mountId' | 'parentId'>): void {
    this.#lastMount += 1;
    const parentId = this.#covering(entry.mountPoint).mountId;
    this.#table.push({ ...entry, mountId: this.#lastMount, parentId });
  }
}

function numbersOf({ minor }: Device): { major: number; minor: number } {
  return { major: LOOP_MAJOR, minor };
}

function failed(detail: string): { readonly ok: false; readonly error: MountError } {
  return err({ kind: 'failed', detail });
}

function silent(): never {
  throw new Error('the device does not answer');
}

function noDescriptor(): never {
  throw new Error('EMFILE: too many open files');
}

function noSpace(): never {
  throw new Error('ENOSPC: no space left on device');
}
