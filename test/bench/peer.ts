/**
 * The device beside its nearest peer: fio on our loop device and on qemu-storage-daemon's (libiscsi,
 * FUSE export, loop), both on the same tgtd, alternating, several rounds; prints the median of the
 * ratios. Our device writes through (every write is on stable storage when it is answered: FUA);
 * the peer is measured twice, as it comes (write-back: nothing is, until a flush) and, for writes, with
 * sync=1 on fio's side, which makes the kernel flush after each write.
 *
 *   npm run bench:device [-- --seconds N] [--rounds N] [--json]
 *
 * Needs root, tgt, fio, and qemu-system-common with qemu-block-extra for the peer.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { blockCapability } from '../support/node/kubelet.ts';
import { parseFio } from '../support/load/fio.ts';
import { Rig } from '../support/node/rig.ts';
import { undoWhenInterrupted } from './interrupted.ts';
import { benchOptions, positive } from './options.ts';
import { geomeanText, type Row, row, rowsJson, rowText } from './rows.ts';

interface Cell {
  readonly name: string;
  readonly mode: 'randread' | 'randwrite';
  readonly blockSize: number;
  readonly depth: number;
}

const CELLS: readonly Cell[] = [4096, 131_072].flatMap((blockSize) =>
  [1, 32].flatMap((depth) =>
    (['randread', 'randwrite'] as const).map((mode) => ({
      name: `${String(blockSize / 1024)} KiB ${mode.slice(4)} QD${String(depth)}`,
      mode,
      blockSize,
      depth,
    })),
  ),
);

const USAGE = `npm run bench:device -- [OPTION]...

fio on our loop device and on qemu-storage-daemon's, both on the same tgtd. Needs root.

  --seconds N   length of a run (3)
  --rounds N    runs of each side; the median counts (3)
  --json        one document {rows:[{name,ours,peer,unit,ratio}],geomean}
  -h, --help    this text`;

const { seconds, rounds, json } = benchOptions({
  usage: USAGE,
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
  read: (values) => ({
    seconds: positive('seconds', values['seconds']),
    rounds: positive('rounds', values['rounds']),
    json: values['json'] === true,
  }),
});

/** qemu-storage-daemon with the target's LUN as a FUSE file, and a loop device on it. */
class Peer {
  readonly #daemon: ChildProcess;
  readonly device: string;
  readonly #file: string;
  #stopped: Promise<void> | undefined;

  private constructor(daemon: ChildProcess, file: string, device: string) {
    this.#daemon = daemon;
    this.#file = file;
    this.device = device;
  }

  static async start(rig: Rig): Promise<Peer> {
    const { host, port } = rig.target(1).options;
    const file = `${rig.folder}/peer`;
    writeFileSync(file, '');
    const node = {
      ...{ driver: 'iscsi', transport: 'tcp', portal: `${host}:${String(port)}` },
      ...{ target: rig.target(1).iqn, lun: 1, 'node-name': 'lun', cache: { direct: true } },
    };
    const exported = {
      ...{ type: 'fuse', id: 'f', 'node-name': 'lun', mountpoint: file },
      ...{ writable: true, growable: false },
    };
    const args = ['--blockdev', JSON.stringify(node), '--export', JSON.stringify(exported)];
    const daemon = spawn('qemu-storage-daemon', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    for (let tries = 0; ; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const size = execFileSync('stat', ['-c', '%s', file], { encoding: 'utf8' }).trim();
      if (size !== '0') break;
      if (tries > 50) throw new Error('qemu-storage-daemon did not export the LUN');
    }
    const device = execFileSync('losetup', ['--find', '--show', '--direct-io=on', file], {
      encoding: 'utf8',
    }).trim();
    return new Peer(daemon, file, device);
  }

  /** Once; the later ones wait for it. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    execFileSync('losetup', ['-d', this.device]);
    const exit = new Promise((resolve) => this.#daemon.once('exit', resolve));
    this.#daemon.kill('SIGTERM');
    await exit;
    rmSync(this.#file, { force: true });
  }
}

function fio(device: string, cell: Cell, sync: boolean): number {
  const words = {
    ...{ name: 'bench', filename: device, rw: cell.mode, bs: cell.blockSize, ioengine: 'libaio' },
    ...{ direct: 1, iodepth: cell.depth, time_based: 1, runtime: seconds, size: '128m' },
    ...(sync ? { sync: 1 } : {}),
  };
  const flags = Object.entries(words).map(([name, value]) => `--${name}=${String(value)}`);
  const output = execFileSync('fio', [...flags, '--output-format=json', '--eta=never'], {
    encoding: 'utf8',
  });
  const { read, write } = parseFio(output);
  return cell.mode === 'randread' ? read.iops : write.iops;
}

if (!existsSync('/usr/bin/qemu-storage-daemon')) {
  console.error('bench: apt-get install qemu-system-common qemu-block-extra (the peer)');
  process.exit(1);
}
const starting = Rig.start({ targets: 2, policySet: 'default' });
let peer: Peer | undefined;
undoWhenInterrupted(async () => (await starting).close());
undoWhenInterrupted(async () => peer?.stop());
const rig = await starting;
try {
  await rig.stage(blockCapability());
  const { device } = await rig.status();
  peer = await Peer.start(rig);
  const rows: Row[] = [];
  for (const cell of CELLS) {
    const plain: [number, number][] = [];
    const stable: [number, number][] = [];
    for (let round = 0; round < rounds; round++) {
      const ours = fio(device, cell, false);
      plain.push([ours, fio(peer.device, cell, false)]);
      if (cell.mode === 'randwrite') stable.push([ours, fio(peer.device, cell, true)]);
    }
    rows.push(row(cell.name, plain));
    if (stable.length > 0) rows.push(row(`${cell.name}, both on stable storage`, stable));
  }
  if (json) console.log(rowsJson(rows));
  else for (const line of [...rows.map(rowText), geomeanText(rows)]) console.log(line);
} finally {
  await peer?.stop();
  await rig.close();
}
