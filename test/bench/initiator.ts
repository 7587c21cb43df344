/**
 * The initiator beside libiscsi: the same commands to the same tgtd, alternating, several short
 * rounds; prints the median of the ratios of the rounds and what both clients cost per command. Peer
 * for reads: iscsi-perf; for writes: qemu-img bench. The units: a file in memory, and tgt's null
 * store, which answers without touching anything. tgtd has its stock settings (it declares
 * MaxRecvDataSegmentLength 8192); --segments makes it declare another length.
 *
 *   npm run bench:initiator [-- --seconds N --rounds N --only WORDS --digests none|header|both
 *                               --segments BYTES --json]
 *
 * --only: cells whose name contains all the words, e.g. "null read QD1". --digests both: data digests
 * on our side only, since libiscsi 1.19 has none.
 *
 * tgtd shares the machine's cores, so the figures compare two clients of one target; they are no
 * limits.
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { makeBackingFile, Target } from '../support/tgt.ts';
import { freePort, loopbackAddresses, temporaryFolder } from '../support/ports.ts';
import { type Cell, type Figures, logIn, runOurs, UNIT_BYTES } from './initiator-load.ts';
import { PEER_PROGRAMS, runPeer } from './libiscsi.ts';
import { geomeanText, median, type Row, row, rowsJson, rowText } from './rows.ts';

const STORES = ['file', 'null'] as const;
type Store = (typeof STORES)[number];

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    digests: { type: 'string', default: 'none' },
    segments: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const { digests } = values;
if (!(seconds > 0) || !(rounds > 0) || !['none', 'header', 'both'].includes(digests)) {
  console.error('bench: --seconds and --rounds are positive numbers, --digests none|header|both');
  process.exit(2);
}

function cells(store: Store): Cell[] {
  const words = values.only.split(' ').filter((word) => word !== '');
  return [4, 64, 128, 1024].flatMap((kib) =>
    [1, 32, 128].flatMap((depth) =>
      [false, true]
        .map((write) => {
          const size = kib === 1024 ? '1 MiB' : `${String(kib)} KiB`;
          const name = `${size} ${write ? 'write' : 'read'} QD${String(depth)}, ${store}`;
          return { name, write, size: kib * 1024, depth };
        })
        .filter(({ name }) =>
          words.every((word) => name.replace(',', '').split(' ').includes(word)),
        ),
    ),
  );
}

async function measure(target: Target, cell: Cell): Promise<Row> {
  const header = digests !== 'none';
  const session = await logIn(target, {
    headerDigest: header ? 'crc32c' : 'none',
    dataDigest: digests === 'both' ? 'crc32c' : 'none',
  });
  const ours: Figures[] = [];
  const peers: Figures[] = [];
  let around = (await runOurs(session, cell, seconds)).iops; // warm up: pathd runs for weeks
  const turns = [
    async () => {
      ours.push(await runOurs(session, cell, seconds));
    },
    async () => {
      const figures = await runPeer(target, cell, seconds, around, header);
      around = figures.iops;
      peers.push(figures);
    },
  ];
  for (let round = 0; round < rounds; round++) {
    for (const turn of turns) await turn();
    turns.reverse(); // who goes first has no lasting advantage
  }
  await session.logout(1000);
  const cpu = [ours, peers].map((list) => median(list.map(({ cpuUs }) => cpuUs)));
  const note = cpu.map((us) => us.toFixed(us < 100 ? 1 : 0).padStart(7)).join('');
  return row(
    cell.name,
    ours.map(({ iops }, index) => [iops, peers[index]?.iops ?? NaN]),
    `   CPU${note} us`,
  );
}

for (const program of PEER_PROGRAMS) {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
  } catch {
    console.error('bench: apt-get install libiscsi-bin qemu-utils qemu-block-extra (the peer)');
    process.exit(1);
  }
}
const folder = temporaryFolder('bench-initiator');
const backingFile = `${folder.path}/lu.img`;
makeBackingFile(backingFile, UNIT_BYTES);
const rows: Row[] = [];
try {
  for (const store of STORES) {
    const mine = cells(store);
    if (mine.length === 0) continue;
    const host = loopbackAddresses(1)[0] as string;
    const target = await Target.start({
      ...{ host, port: await freePort(host), backingFile },
      ...(store === 'null' ? { store } : {}),
      settings: {
        ...{ HeaderDigest: 'None,CRC32C', DataDigest: 'None,CRC32C' },
        ...(values.segments === undefined ? {} : { MaxRecvDataSegmentLength: values.segments }),
      },
    });
    for (const cell of mine) {
      const result = await measure(target, cell);
      rows.push(result);
      if (values.json) process.stderr.write(`${rowText(result)}\n`);
      else console.log(rowText(result));
    }
    await target.kill();
  }
} finally {
  folder.remove();
}
console.log(values.json ? rowsJson(rows) : geomeanText(rows));
