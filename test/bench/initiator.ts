/**
 * The initiator beside libiscsi: the same commands to the same tgtd, alternating, several short
 * rounds; prints the median of the ratios of the rounds, what both clients cost per command, and how
 * busy each kept the target's main thread: near 100 % the target sets the pace and no client can be
 * faster. Peer for reads: iscsi-perf; for writes: qemu-img bench. The units: a file in memory, and
 * tgt's null store, which answers without touching anything. tgtd has its stock settings (it declares
 * MaxRecvDataSegmentLength 8192); --segments makes it declare another length.
 *
 * `npm run bench:initiator -- --help` has the options. With data digests, which libiscsi 1.19 does not
 * have, ours is compared with ours without them as well.
 *
 * tgtd shares the machine's cores, so the figures compare two clients of one target; they are no
 * limits.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { makeBackingFile, Target } from '../support/targets/tgt.ts';
import { freePort, loopbackAddresses, temporaryFolder } from '../support/targets/ports.ts';
import { type Cell, type Figures, logIn, runOurs, UNIT_BYTES } from './initiator-load.ts';
import { PEER_PROGRAMS, runPeer } from './libiscsi.ts';
import { undoWhenInterrupted } from './interrupted.ts';
import { benchOptions, positive } from './options.ts';
import { geomeanText, median, type Row, row, rowsJson, rowText } from './rows.ts';

const STORES = ['file', 'null'] as const;
type Store = (typeof STORES)[number];

const USAGE = `npm run bench:initiator -- [OPTION]...

Our initiator beside libiscsi on the same tgtd: 4 KiB, 64 KiB, 128 KiB, 1 MiB; queue depth 1, 32, 128;
reads (peer: iscsi-perf) and writes (peer: qemu-img bench); on a file in memory and on tgt's null store.

  --seconds N       length of a turn, whole seconds for the peer (1)
  --rounds N        turns of each side; the median counts (5)
  --only WORDS      cells whose name has all the words, e.g. "null read QD1"
  --digests WHICH   none (default), header, or both. libiscsi has no data digests: with "both" the
                    peer runs with header digests, and so does a second run of ours
  --segments BYTES  MaxRecvDataSegmentLength that the target declares (8192)
  --json            one document {rows:[{name,ours,peer,unit,ratio}],geomean}
  -h, --help        this text`;

const { seconds, rounds, only, digests, segments, json } = benchOptions({
  usage: USAGE,
  options: {
    seconds: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    digests: { type: 'string', default: 'none' },
    segments: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
  read: (values) => {
    const { digests, segments } = values;
    if (digests !== 'none' && digests !== 'header' && digests !== 'both') {
      return `--digests ${String(digests)}: expected none, header or both`;
    }
    const words = String(values['only'])
      .split(' ')
      .filter((word) => word !== '');
    if (STORES.every((store) => cells(store, words).length === 0)) {
      return `--only ${words.join(' ')}: no cell has such a name`;
    }
    return {
      seconds: positive('seconds', values['seconds']),
      rounds: positive('rounds', values['rounds']),
      ...{ only: words, digests, json: values['json'] === true },
      segments: segments === undefined ? undefined : String(positive('segments', segments)),
    };
  },
});

function cells(store: Store, words: readonly string[]): Cell[] {
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
  const headerDigest = digests === 'none' ? 'none' : 'crc32c';
  const dataDigest = digests === 'both' ? 'crc32c' : 'none';
  const session = await logIn(target, { headerDigest, dataDigest });
  // As the peer is, where it cannot do what we do.
  const asPeer =
    digests === 'both' ? await logIn(target, { headerDigest }, '800000000002') : undefined;
  const ours: Figures[] = [];
  const peers: Figures[] = [];
  const without: Figures[] = [];
  const busy: Busy = { ours: [], peers: [] };
  let around = (await runOurs(asPeer ?? session, cell, seconds)).iops; // warm up: pathd runs for weeks
  const turns = [
    async () => {
      ours.push(await watched(target, busy.ours, () => runOurs(session, cell, seconds)));
    },
    async () => {
      const figures = await watched(target, busy.peers, () =>
        runPeer(target, cell, seconds, around, headerDigest === 'crc32c'),
      );
      around = figures.iops;
      peers.push(figures);
    },
  ];
  if (asPeer !== undefined) {
    turns.push(async () => {
      without.push(await runOurs(asPeer, cell, seconds));
    });
  }
  for (let round = 0; round < rounds; round++) {
    for (const turn of turns) await turn();
    turns.reverse(); // who goes first has no lasting advantage
  }
  await Promise.all([session.logout(1000), asPeer?.logout(1000)]);
  const note = costs(ours, peers) + shares(busy) + compared(ours, without);
  return row(cell.name, pairs(ours, peers), note);
}

function pairs(ours: readonly Figures[], others: readonly Figures[]): [number, number][] {
  return ours.map(({ iops }, index) => [iops, others[index]?.iops ?? NaN]);
}

/** Processor time a command of both. */
function costs(ours: readonly Figures[], peers: readonly Figures[]): string {
  const cpu = [ours, peers].map((list) => median(list.map(({ cpuUs }) => cpuUs)));
  return `   CPU${cpu.map((us) => us.toFixed(us < 100 ? 1 : 0).padStart(7)).join('')} us`;
}

/** Parts of the turns in which the target's main thread was on a processor, 0 to 1. */
interface Busy {
  readonly ours: number[];
  readonly peers: number[];
}

async function watched<T>(target: Target, parts: number[], turn: () => Promise<T>): Promise<T> {
  const [cpu, start] = [processorMs(target.pid), performance.now()];
  const result = await turn();
  parts.push((processorMs(target.pid) - cpu) / (performance.now() - start));
  return result;
}

/** Of the process's first thread, which alone reads and writes tgtd's sockets. */
function processorMs(pid: number): number {
  const [ns] = readFileSync(`/proc/${String(pid)}/schedstat`, 'utf8').split(' ');
  return Number(ns) / 1e6;
}

function shares({ ours, peers }: Busy): string {
  const percent = [ours, peers].map((parts) => Math.round(median(parts) * 100));
  return `   target${percent.map((part) => String(part).padStart(4)).join('')} %`;
}

/** Data digests beside none, both ours. */
function compared(ours: readonly Figures[], without: readonly Figures[]): string {
  if (without.length === 0) return '';
  const { peer, ratio } = row('', pairs(ours, without));
  return `   ours without data digests ${peer.toLocaleString('en')}: x ${ratio.toFixed(2)}`;
}

for (const program of PEER_PROGRAMS) {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
  } catch {
    console.error('bench: apt-get install libiscsi-bin qemu-utils qemu-block-extra (the peer)');
    process.exit(1);
  }
}
if (digests === 'both') {
  console.error(
    'bench: libiscsi has no data digests: the peer has header digests only, and is compared with ours\n' +
      'with both; the last figure compares ours with and without data digests.',
  );
}
const folder = temporaryFolder('bench-initiator');
undoWhenInterrupted(async () => folder.remove());
const backingFile = `${folder.path}/lu.img`;
makeBackingFile(backingFile, UNIT_BYTES);
const rows: Row[] = [];
try {
  for (const store of STORES) {
    const mine = cells(store, only);
    if (mine.length === 0) continue;
    const host = loopbackAddresses(1)[0] as string;
    const target = await Target.start({
      ...{ host, port: await freePort(host), backingFile },
      ...(store === 'null' ? { store } : {}),
      settings: {
        // iscsi-perf takes header digests from every target that offers them.
        HeaderDigest: digests === 'none' ? 'None' : 'None,CRC32C',
        DataDigest: 'None,CRC32C',
        ...(segments === undefined ? {} : { MaxRecvDataSegmentLength: segments }),
      },
    });
    for (const cell of mine) {
      const result = await measure(target, cell);
      rows.push(result);
      if (json) process.stderr.write(`${rowText(result)}\n`);
      else console.log(rowText(result));
    }
    await target.kill();
  }
} finally {
  folder.remove();
}
console.log(json ? rowsJson(rows) : geomeanText(rows));
