/**
 * What write policy `log` costs and gains beside `through`: two volumes on the real initiator, without a
 * block device, at one tgtd with a write cache; they write in turns, several short rounds, and the median
 * of the ratios of the rounds counts. Every turn ends with a flush that counts: what `log` puts off is
 * paid for within the turn.
 *
 * In memory (the default) stable storage costs the target nothing, so the figures are what the log itself
 * costs this process; `--disk` puts the file on /tmp, where a write through has to wait for a disk.
 * tgtd shares the machine's cores.
 */
import type { Volume } from '../../src/volume/volume.ts';
import { freePort, loopbackAddresses, temporaryFolder } from '../support/targets/ports.ts';
import { startVolume } from '../support/node/real-volume.ts';
import { makeBackingFile, Target } from '../support/targets/tgt.ts';
import { undoWhenInterrupted } from './interrupted.ts';
import { benchOptions, positive } from './options.ts';
import { geomeanText, median, type Row, row, rowsJson, rowText } from './rows.ts';

const UNIT_BYTES = 256 * 1024 * 1024;
const SERIAL = 'BENCH0001';

const USAGE = `npm run bench:policy -- [OPTION]...

Write policy log (ours) beside through (peer) at one tgtd: random writes of 4 KiB and 64 KiB, queue depth
1 and 32, with no flush but the last and with one after every 64 writes. CPU: of this process, a write.

  --seconds N   length of a turn (1)
  --rounds N    turns of each side; the median counts (3)
  --disk        the target's file on /tmp instead of in memory
  --json        one document {rows:[{name,ours,peer,unit,ratio}],geomean}
  -h, --help    this text`;

const { seconds, rounds, disk, json } = benchOptions({
  usage: USAGE,
  options: {
    seconds: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    disk: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
  read: (values) => ({
    seconds: positive('seconds', values['seconds']),
    rounds: positive('rounds', values['rounds']),
    disk: values['disk'] === true,
    json: values['json'] === true,
  }),
});

interface Cell {
  readonly name: string;
  readonly size: number;
  readonly depth: number;
  /** A flush after so many writes; 0: only at the end. */
  readonly flushEvery: number;
}

const CELLS: readonly Cell[] = [4, 64].flatMap((kib) =>
  [1, 32].flatMap((depth) =>
    [0, 64].map((flushEvery) => {
      const flushes = flushEvery === 0 ? 'no flush' : `flush every ${String(flushEvery)}`;
      const name = `${String(kib)} KiB write QD${String(depth)}, ${flushes}`;
      return { name, size: kib * 1024, depth, flushEvery };
    }),
  ),
);

interface Figures {
  readonly iops: number;
  readonly cpuUs: number;
}

async function turn(volume: Volume, cell: Cell, lengthMs: number): Promise<Figures> {
  const { size, depth, flushEvery } = cell;
  const cpu = process.cpuUsage();
  const start = performance.now();
  let writes = 0;
  let issued = 0;
  let running = depth;
  let place = 1;
  await new Promise<void>((resolve, reject) => {
    const next = (data: Buffer): void => {
      const isOver = performance.now() - start >= lengthMs;
      if (isOver && --running > 0) return;
      const isFlush = isOver || (flushEvery > 0 && issued++ % (flushEvery + 1) === flushEvery);
      place = (Math.imul(place, 1_664_525) + 1_013_904_223) >>> 0;
      volume.submit({
        kind: isFlush ? 'flush' : 'write',
        offset: isFlush ? 0 : (place % (UNIT_BYTES / size)) * size,
        length: isFlush ? 0 : size,
        data: isFlush ? undefined : data,
        fua: false,
        done: (error) => {
          if (error !== undefined) reject(new Error(`${volume.status().reason}: ${error}`));
          else if (isOver) resolve();
          else {
            if (!isFlush) writes++;
            next(data);
          }
        },
      });
    };
    for (let slot = 0; slot < depth; slot++) next(Buffer.alloc(size, slot));
  });
  const elapsedMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  return { iops: (writes * 1000) / elapsedMs, cpuUs: (user + system) / writes };
}

async function measure(log: Volume, through: Volume, cell: Cell): Promise<Row> {
  const ours: Figures[] = [];
  const peers: Figures[] = [];
  const turns = [
    async () => void ours.push(await turn(log, cell, seconds * 1000)),
    async () => void peers.push(await turn(through, cell, seconds * 1000)),
  ];
  for (let round = 0; round < rounds; round++) {
    for (const each of turns) await each();
    turns.reverse(); // who goes first has no lasting advantage
  }
  const cpu = [ours, peers].map((list) => median(list.map(({ cpuUs }) => cpuUs)));
  return row(
    cell.name,
    ours.map(({ iops }, index) => [iops, peers[index]?.iops ?? NaN]),
    `   CPU${cpu.map((us) => us.toFixed(us < 100 ? 1 : 0).padStart(7)).join('')} us`,
  );
}

async function open(target: Target, writePolicy: 'log' | 'through'): Promise<Volume> {
  const { host, port } = target.options;
  return await startVolume({
    portals: [{ host, port }],
    targetName: target.iqn,
    policy: { 'expected-serial': SERIAL, 'write-policy': writePolicy },
    node: writePolicy,
  });
}

const folder = temporaryFolder('bench-policy', disk ? '/tmp' : '/dev/shm');
undoWhenInterrupted(async () => folder.remove());
const backingFile = `${folder.path}/lu.img`;
makeBackingFile(backingFile, UNIT_BYTES);
const host = loopbackAddresses(1)[0] as string;
const rows: Row[] = [];
try {
  const identity = { serial: SERIAL, scsiId: SERIAL };
  const target = await Target.start({ host, port: await freePort(host), backingFile, ...identity });
  const [log, through] = [await open(target, 'log'), await open(target, 'through')];
  // Warm up: pathd runs for weeks.
  for (const volume of [log, through]) await turn(volume, { ...(CELLS[2] as Cell) }, 1000);
  for (const cell of CELLS) {
    const result = await measure(log, through, cell);
    rows.push(result);
    if (json) process.stderr.write(`${rowText(result)}\n`);
    else console.log(rowText(result));
  }
  await Promise.all([log.close(), through.close()]);
  await target.kill();
} finally {
  folder.remove();
}
console.log(json ? rowsJson(rows) : geomeanText(rows));
