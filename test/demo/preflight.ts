/**
 * Says what is missing on this machine and what to do about it, before anything is started. Every
 * check that fails is reported, not the first only.
 */
import { accessSync, closeSync, constants, existsSync, openSync, statfsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface Obstacle {
  readonly what: string;
  readonly remedy: string;
}

/** What the checks look at; tests pass their own. */
export interface Machine {
  readonly uid: number;
  readonly nodeMajor: number;
  readonly hasProgram: (name: string) => boolean;
  /** Undefined: the device can be opened for reading and writing; else the errno. */
  readonly deviceProblem: (path: string) => string | undefined;
  /** Free bytes of a file system; undefined: there is none. */
  readonly freeBytes: (path: string) => number | undefined;
}

/** Program → Debian package. */
const PROGRAMS: Readonly<Record<string, string>> = {
  tgtd: 'tgt',
  tgtadm: 'tgt',
  'mkfs.ext4': 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  filefrag: 'e2fsprogs',
  blkid: 'util-linux',
  losetup: 'mount',
  mount: 'mount',
  umount: 'mount',
};

const DEVICES: Readonly<Record<string, string>> = {
  '/dev/fuse':
    'load the module (modprobe fuse); in a container: --privileged, or --device /dev/fuse',
  '/dev/loop-control':
    'load the module (modprobe loop); in a container: --privileged with -v /dev:/dev',
};

/** The backing file is sparse; this is what the file system and the blocks of the load occupy. */
const NEEDED_BYTES = 128 * 1024 * 1024;

/** Everything that stands in the way; empty: the demo can run. */
export function obstacles(machine: Machine, targets: 'tgt' | 'embedded' = 'tgt'): Obstacle[] {
  const found: Obstacle[] = [];
  if (machine.nodeMajor < 24) {
    const remedy = 'start it with `npm run demo`, which brings its own';
    found.push({ what: `Node ${String(machine.nodeMajor)}, and 24 is needed`, remedy });
  }
  if (machine.uid !== 0) {
    const remedy = 'run it as root (sudo npm run demo): it mounts a file system';
    found.push({ what: `not root (uid ${String(machine.uid)})`, remedy });
  }
  const missing = Object.keys(PROGRAMS).filter(
    (name) => !machine.hasProgram(name) && (targets === 'tgt' || PROGRAMS[name] !== 'tgt'),
  );
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((name) => PROGRAMS[name] ?? name))];
    const instead = packages.includes('tgt')
      ? '; where tgt cannot be had: npm run demo -- --targets embedded'
      : '';
    const remedy = `apt-get install ${packages.join(' ')}${instead}`;
    found.push({ what: `no ${missing.join(', ')}`, remedy });
  }
  for (const [device, remedy] of Object.entries(DEVICES)) {
    const problem = machine.deviceProblem(device);
    // For somebody else than root that says nothing about the device.
    if (machine.uid !== 0 && problem !== 'ENOENT') continue;
    if (problem !== undefined) found.push({ what: `cannot open ${device}: ${problem}`, remedy });
  }
  const free = machine.freeBytes('/dev/shm');
  if (free === undefined || free < NEEDED_BYTES) {
    const what = free === undefined ? 'no /dev/shm' : `/dev/shm has ${String(free >> 20)} MiB free`;
    const remedy = 'mount -t tmpfs -o size=1g tmpfs /dev/shm; in a container: --shm-size=1g';
    found.push({ what: `${what}, and 128 MiB are needed`, remedy });
  }
  return found;
}

/** The machine we are on. */
export function thisMachine(): Machine {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return {
    uid: process.getuid?.() ?? -1,
    nodeMajor: Number(process.versions.node.split('.')[0]),
    hasProgram: (name) => folders.some((folder) => isExecutable(join(folder, name))),
    deviceProblem: (path) => {
      try {
        closeSync(openSync(path, 'r+'));
        return undefined;
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? String(error);
      }
    },
    freeBytes: (path) => {
      if (!existsSync(path)) return undefined;
      const { bavail, bsize } = statfsSync(path);
      return bavail * bsize;
    },
  };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
