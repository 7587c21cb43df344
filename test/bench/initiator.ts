/**
 * The initiator beside libiscsi: the same commands to the same tgtd, alternating, several short
 * rounds; prints the median of the ratios of the rounds, what both clients cost per command, how
 * busy each kept the target's main thread (near 100 % the target sets the pace and no client can be
 * faster), the target's own limit, and whether the machine was idle. The limit of a cell is what
 * iscsi-perf reads at that size and depth, of writes too: no program writes through libiscsi without
 * a layer in between.
 *
 * Peer for reads: iscsi-perf; for writes: qemu-img bench. The units: a file in memory, and
 * tgt's null store, which answers without touching anything. tgtd has its stock settings (it declares
 * MaxRecvDataSegmentLength 8192); --segments makes it declare another length.
 *
 * `npm run bench:initiator -- --help` has the options. With data digests, which libiscsi 1.19 does not
 * have, ours is compared with ours without them as well.
 *
 * tgtd shares the machine's cores, so the figures compare two clients of one target; they are no
 * limits.
 */
import { makeBackingFile } from '../support/targets/tgt.ts';
import { temporaryFolder } from '../support/targets/ports.ts';
import { commit, minute } from './commit.ts';
import { goalLines } from './goals.ts';
import { cells, initiatorGoals, type InitiatorRow, STORES } from './initiator-cells.ts';
import { UNIT_BYTES } from './initiator-load.ts';
import { measureInitiator, startStore, type Terms } from './initiator-measure.ts';
import { hasPeerPrograms } from './libiscsi.ts';
import { machineText, verdict } from './machine.ts';
import { undoWhenInterrupted } from './interrupted.ts';
import { benchOptions, positive, wordsOf } from './options.ts';
import { geomeanText, rowsJson, rowText } from './rows.ts';

const USAGE = `npm run bench:initiator -- [OPTION]...

Our initiator beside libiscsi on the same tgtd: 4 KiB, 64 KiB, 128 KiB, 1 MiB; queue depth 1, 32, 128;
reads (peer: iscsi-perf) and writes (peer: qemu-img bench); on a file in memory and on tgt's null store.
Prints ratios, processor time, the target's own limit, whether the machine was idle, and which goals are met.

  --seconds N       length of a turn, whole seconds for the peer (1)
  --rounds N        turns of each side; the median counts (5)
  --only WORDS      cells whose name has all the words, e.g. "null read QD1"
  --digests WHICH   none (default), header, or both. libiscsi has no data digests: with "both" the
                    peer runs with header digests, and so does a second run of ours
  --segments BYTES  MaxRecvDataSegmentLength that the target declares (8192)
  --json            one document {rows:[{name,ours,peer,unit,ratio}],geomean}
  -h, --help        this text`;

const { only, json, ...terms } = benchOptions({
  usage: USAGE,
  options: {
    seconds: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    digests: { type: 'string', default: 'none' },
    segments: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
  read: (values): (Terms & { only: readonly string[]; json: boolean }) | string => {
    const { digests, segments } = values;
    if (digests !== 'none' && digests !== 'header' && digests !== 'both') {
      return `--digests ${String(digests)}: expected none, header or both`;
    }
    const words = wordsOf(values['only']);
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

const { seconds, rounds, digests } = terms;
const say = (line: string): void => (json ? console.error(line) : console.log(line));

if (!hasPeerPrograms()) {
  console.error('bench: apt-get install libiscsi-bin qemu-utils qemu-block-extra (the peer)');
  process.exit(1);
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
const rows: InitiatorRow[] = [];
say(
  `bench:initiator, ${minute(new Date())} UTC, commit ${commit()}, ${machineText()}; ` +
    `${String(rounds)} rounds of ${String(seconds)} s`,
);
try {
  for (const store of STORES) {
    const mine = cells(store, only);
    if (mine.length === 0) continue;
    const target = await startStore(store, backingFile, terms);
    for (const cell of mine) {
      const result = await measureInitiator(target, cell, terms);
      rows.push(result);
      say(rowText(result));
    }
    await target.kill();
  }
} finally {
  folder.remove();
}
say(geomeanText(rows));
for (const write of [false, true]) {
  const some = rows.filter(({ cell }) => cell.write === write);
  if (some.length > 0) say(geomeanText(some, write ? 'of the writes' : 'of the reads'));
}
say(verdict(rows.map(({ foreign }) => foreign)).text);
for (const line of ['', ...goalLines(initiatorGoals(rows))]) say(line);
if (json) console.log(rowsJson(rows));
