/**
 * The short bench: ratios of six cells of the device and two of the initiator, in two minutes. Its purpose
 * is to see a regression: `--record` adds the run to history.md. No ratio fails it; it fails where it
 * cannot measure.
 *
 * `npm run bench:quick -- --help` has the options. Needs what `bench:device` needs.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { makeBackingFile } from '../support/targets/tgt.ts';
import { temporaryFolder } from '../support/targets/ports.ts';
import { commit, minute } from './commit.ts';
import { DEVICE_CELLS, type DeviceCell } from './device-cells.ts';
import { type DeviceRow, measureCell, warmUp } from './device-measure.ts';
import { hasPeer } from './device-peer.ts';
import { asItComes, DEVICE_HEADER, deviceText, likeWithLike } from './device-report.ts';
import { DeviceWorld } from './device-world.ts';
import { type HistoryEntry, HISTORY_HEAD, historyLine, withEntry } from './history.ts';
import { cells, type InitiatorRow } from './initiator-cells.ts';
import { UNIT_BYTES } from './initiator-load.ts';
import { measureInitiator, startStore } from './initiator-measure.ts';
import { undoWhenInterrupted } from './interrupted.ts';
import { hasPeerPrograms } from './libiscsi.ts';
import { machineText, percent, processorsText, verdict } from './machine.ts';
import { benchOptions, flagsOf } from './options.ts';
import { geomean, geomeanText, rowText } from './rows.ts';

const HISTORY = new URL('history.md', import.meta.url);
const EFFORT = { seconds: 0.9, rounds: 3 };
const TERMS = { seconds: 1, rounds: 3, digests: 'none' } as const;

const USAGE = `npm run bench:quick -- [OPTION]...

Two minutes: six cells of bench:device and two of bench:initiator, ratios (ours / peer) in one run. Prints
the line that history.md would have. No ratio fails it. Needs root.

  --record            adds the line to test/bench/history.md
  --pathd NAME=VALUE  a further flag of pathd; may be given several times
  -h, --help          this text`;

const { record, pathdFlags } = benchOptions({
  usage: USAGE,
  options: {
    record: { type: 'boolean', default: false },
    pathd: { type: 'string', multiple: true, default: [] },
  },
  read: (values) => ({
    record: values['record'] === true,
    pathdFlags: flagsOf('pathd', values['pathd']),
  }),
});

/** All plain cells but 128 KiB at queue depth 1, where the target's time hides ours. */
function isQuick({ isPlain, blockSize, depth }: DeviceCell): boolean {
  return isPlain && (blockSize === 4096 || depth === 32);
}

async function measureDevice(): Promise<readonly DeviceRow[]> {
  const world = await DeviceWorld.start(pathdFlags);
  try {
    const chosen = DEVICE_CELLS.filter(isQuick);
    await warmUp(world, chosen);
    const rows: DeviceRow[] = [];
    for (const cell of chosen) {
      for (const line of await measureCell(world, cell, EFFORT)) {
        rows.push(line);
        console.log(deviceText(line));
      }
    }
    return rows;
  } finally {
    await world.close();
  }
}

async function measureInitiators(): Promise<readonly InitiatorRow[]> {
  const folder = temporaryFolder('bench-quick');
  undoWhenInterrupted(async () => folder.remove());
  try {
    const backingFile = `${folder.path}/lu.img`;
    makeBackingFile(backingFile, UNIT_BYTES);
    const target = await startStore('null', backingFile, TERMS);
    const rows: InitiatorRow[] = [];
    for (const depth of ['QD1', 'QD32']) {
      for (const cell of cells('null', ['4', 'read', depth])) {
        const line = await measureInitiator(target, cell, TERMS);
        rows.push(line);
        console.log(rowText(line));
      }
    }
    await target.kill();
    return rows;
  } finally {
    folder.remove();
  }
}

function entryOf(device: readonly DeviceRow[], initiator: readonly InitiatorRow[]): HistoryEntry {
  const fair = likeWithLike(device);
  const ratio = (kib: number, write: boolean, depth: number): string => {
    const found = fair.find(({ cell }) => {
      const isWrite = cell.mode === 'randwrite';
      return cell.blockSize === kib * 1024 && isWrite === write && cell.depth === depth;
    });
    return (found?.ratio ?? NaN).toFixed(2);
  };
  const alone = (depth: number): InitiatorRow | undefined =>
    initiator.find(({ cell }) => cell.depth === depth);
  const deep = device.find(({ cell: { blockSize, mode, depth } }) => {
    return blockSize === 4096 && mode === 'randread' && depth === 32;
  });
  const us = (ours = NaN, peer = NaN): string => `${ours.toFixed(1)} / ${peer.toFixed(1)}`;
  const foreign = [...device, ...initiator].map((line) => line.foreign);
  return {
    ...{ date: minute(new Date()), commit: commit(), machine: processorsText() },
    ...{ others: percent(Math.max(...foreign)), stable: geomean(fair).toFixed(2) },
    ...{ plain: geomean(asItComes(device)).toFixed(2) },
    ...{ 'read 4k1': ratio(4, false, 1), 'write 4k1': ratio(4, true, 1) },
    ...{ 'read 4k32': ratio(4, false, 32), 'write 4k32': ratio(4, true, 32) },
    ...{ 'read 128k32': ratio(128, false, 32), 'write 128k32': ratio(128, true, 32) },
    'CPU 4k32': us(deep?.cost.ours.server, deep?.cost.peer.server),
    'initiator 4k1': (alone(1)?.ratio ?? NaN).toFixed(2),
    'initiator 4k32': (alone(32)?.ratio ?? NaN).toFixed(2),
    'CPU of it': us(alone(32)?.cpuUs.ours, alone(32)?.cpuUs.peer),
  };
}

if (!hasPeer() || !hasPeerPrograms()) {
  console.error('bench: npm run setup -- --system installs the peers');
  process.exit(1);
}
console.log(`bench:quick, ${minute(new Date())} UTC, commit ${commit()}, ${machineText()}`);
console.log(DEVICE_HEADER);
const device = await measureDevice();
console.log('');
const initiator = await measureInitiators();
const entry = entryOf(device, initiator);
console.log('');
console.log(geomeanText(likeWithLike(device), 'GEOMETRIC MEAN, reads + writes on stable storage'));
console.log(
  geomeanText(asItComes(device), 'geometric mean of the plain cells, the peer as it comes'),
);
console.log(verdict([...device, ...initiator].map(({ foreign }) => foreign)).text);
console.log(`\n${HISTORY_HEAD}\n${historyLine(entry)}`);
if (record) {
  writeFileSync(HISTORY, withEntry(readFileSync(HISTORY, 'utf8'), entry));
  console.log('added to test/bench/history.md');
}
