/**
 * The device beside its nearest peer: fio on our loop devices and on qemu-storage-daemon's (libiscsi, FUSE
 * export, loop), on two tgtd over the same files, alternating, several rounds; prints the median of the
 * ratios. Our device writes through (every write is on stable storage when it is answered: FUA); the peer
 * is measured twice, as it comes (write-back: nothing is, until a flush) and, for writes, with sync=1 on
 * fio's side, which makes the kernel flush after each write. The headline compares like with like: reads,
 * and writes on stable storage.
 *
 * `npm run bench:device -- --help` has the options. Needs root, tgt, fio, libiscsi-bin, and
 * qemu-system-common with qemu-block-extra for the peer.
 */
import { commit, minute } from './commit.ts';
import { cellsWith, DEVICE_CELLS } from './device-cells.ts';
import { type DeviceRow, measureCell, measureRam, type RamRow, warmUp } from './device-measure.ts';
import { hasPeer } from './device-peer.ts';
import { DEVICE_HEADER, deviceGoals, deviceSummary, deviceText, ramText } from './device-report.ts';
import { DeviceWorld } from './device-world.ts';
import { machineText } from './machine.ts';
import { benchOptions, flagsOf, positive, wordsOf } from './options.ts';
import { rowsJson } from './rows.ts';

const USAGE = `npm run bench:device -- [OPTION]...

fio on our loop devices and on qemu-storage-daemon's, both over tgtd: 4 KiB and 128 KiB, reads and writes,
queue depth 1 and 32; then queue depth 4, reads and writes mixed, eight volumes at once, and the device
from memory, without a target. Prints ratios, processor time, whether the machine was idle, and
which goals are met. Needs root; takes about five minutes.

  --seconds N         length of a run (1.2)
  --rounds N          runs of each side; the median counts (5)
  --only WORDS        cells whose name has all the words, e.g. "4 read QD32"
  --pathd NAME=VALUE  a further flag of pathd; may be given several times
  --json              one document {rows:[{name,ours,peer,unit,ratio}],geomean}; the rest goes to stderr
  -h, --help          this text`;

const { seconds, rounds, cells, pathdFlags, json } = benchOptions({
  usage: USAGE,
  options: {
    seconds: { type: 'string', default: '1.2' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    pathd: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
  },
  read: (values) => {
    const words = wordsOf(values['only']);
    const cells = cellsWith(words);
    if (cells.length === 0) return `--only ${words.join(' ')}: no cell has such a name`;
    return {
      seconds: positive('seconds', values['seconds']),
      rounds: positive('rounds', values['rounds']),
      ...{ cells, pathdFlags: flagsOf('pathd', values['pathd']), json: values['json'] === true },
    };
  },
});
const say = (line: string): void => (json ? console.error(line) : console.log(line));

if (!hasPeer()) {
  console.error('bench: apt-get install qemu-system-common qemu-block-extra (the peer)');
  process.exit(1);
}
const effort = { seconds, rounds };
const flags = Object.entries(pathdFlags).map(([name, value]) => ` --${name} ${value}`);
say(
  `bench:device, ${minute(new Date())} UTC, commit ${commit()}, ${machineText()}, pathd${flags.join('')}; ` +
    `${String(rounds)} rounds of ${String(seconds)} s`,
);
say(DEVICE_HEADER);
const world = await DeviceWorld.start(pathdFlags);
const rows: DeviceRow[] = [];
const ram: RamRow[] = [];
try {
  await warmUp(world, DEVICE_CELLS);
  for (const cell of cells) {
    for (const line of await measureCell(world, cell, effort)) {
      rows.push(line);
      say(deviceText(line));
    }
  }
  if (cells.length === DEVICE_CELLS.length) {
    const deep = cells.filter(({ isPlain, blockSize, depth }) => {
      return isPlain && blockSize === 4096 && depth === 32;
    });
    ram.push(...(await measureRam(world, deep, effort)));
    for (const line of ram) say(ramText(line));
  }
} finally {
  await world.close();
}
const goals = deviceGoals(rows, ram, { polls: false });
for (const line of deviceSummary(rows, ram, goals)) say(line);
if (json) console.log(rowsJson(rows));
