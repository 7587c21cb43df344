/**
 * Measures a cell of `bench:initiator`: rounds of ours and of the peer, the next round in the opposite
 * order; what both cost per command; how busy each kept the target's main thread; what libiscsi alone
 * reads from this target at that size and depth, which is the target's own limit; and what others had of
 * the machine.
 */
import { Target } from '../support/targets/tgt.ts';
import { freePort, loopbackAddresses } from '../support/targets/ports.ts';
import type { InitiatorRow, Store } from './initiator-cells.ts';
import { type Cell, type Figures, logIn, runOurs } from './initiator-load.ts';
import { runPeer } from './libiscsi.ts';
import { foreignPart, type Load, loadBefore, loadBetween, look, percent } from './machine.ts';
import { firstThreadMs } from './processor.ts';
import { median, row } from './rows.ts';

export interface Terms {
  readonly seconds: number;
  readonly rounds: number;
  readonly digests: 'none' | 'header' | 'both';
  /** MaxRecvDataSegmentLength that the target declares; its own if not told. */
  readonly segments?: string | undefined;
}

/** A target with one unit on that store. */
export async function startStore(
  store: Store,
  backingFile: string,
  { digests, segments }: Pick<Terms, 'digests' | 'segments'>,
): Promise<Target> {
  const host = loopbackAddresses(1)[0] as string;
  return await Target.start({
    ...{ host, port: await freePort(host), backingFile },
    ...(store === 'null' ? { store } : {}),
    settings: {
      // iscsi-perf takes header digests from every target that offers them.
      HeaderDigest: digests === 'none' ? 'None' : 'None,CRC32C',
      DataDigest: 'None,CRC32C',
      ...(segments === undefined ? {} : { MaxRecvDataSegmentLength: segments }),
    },
  });
}

/** One side's rounds. */
class Rounds {
  readonly figures: Figures[] = [];
  /** Parts of the rounds in which the target's main thread was on a processor, 0 to 1. */
  readonly busy: number[] = [];
  readonly loads: Load[] = [];

  async watch(target: Target, turn: () => Promise<Figures>): Promise<Figures> {
    const looked = look();
    const [cpu, start] = [firstThreadMs(target.pid), performance.now()];
    const figures = await turn();
    this.busy.push((firstThreadMs(target.pid) - cpu) / (performance.now() - start));
    this.loads.push(loadBetween(looked, look()));
    this.figures.push(figures);
    return figures;
  }

  /** Processor time a command. */
  get cpuUs(): number {
    return median(this.figures.map(({ cpuUs }) => cpuUs));
  }

  get iops(): number {
    return median(this.figures.map(({ iops }) => iops));
  }
}

export async function measureInitiator(
  target: Target,
  cell: Cell,
  terms: Terms,
): Promise<InitiatorRow> {
  const { seconds, rounds, digests } = terms;
  const withHeaders = digests !== 'none';
  const headerDigest = withHeaders ? 'crc32c' : 'none';
  const dataDigest = digests === 'both' ? 'crc32c' : 'none';
  const before = await loadBefore();
  const session = await logIn(target, { headerDigest, dataDigest });
  // As the peer is, where it cannot do what we do.
  const asPeer =
    digests === 'both' ? await logIn(target, { headerDigest }, '800000000002') : undefined;
  const [ours, peer, without, limit] = [new Rounds(), new Rounds(), new Rounds(), new Rounds()];
  let around = (await runOurs(asPeer ?? session, cell, seconds)).iops; // warm up: pathd runs for weeks
  const turns = [
    async () => await ours.watch(target, () => runOurs(session, cell, seconds)),
    async () => {
      const turn = () => runPeer(target, cell, seconds, around, withHeaders);
      around = (await peer.watch(target, turn)).iops;
    },
  ];
  if (asPeer !== undefined) {
    turns.push(async () => await without.watch(target, () => runOurs(asPeer, cell, seconds)));
  }
  for (let round = 0; round < rounds; round++) {
    for (const turn of turns) await turn();
    turns.reverse(); // who goes first has no lasting advantage
  }
  if (cell.write) {
    const reads = { ...cell, write: false };
    await limit.watch(target, () => runPeer(target, reads, seconds, around, withHeaders));
  }
  await Promise.all([session.logout(1000), asPeer?.logout(1000)]);
  const foreign = foreignPart(before, [...ours.loads, ...peer.loads]);
  const note =
    costs(ours, peer) +
    shares(ours, peer) +
    limits(ours, cell.write ? limit : peer) +
    `   others ${percent(foreign).padStart(5)}` +
    compared(ours, without);
  const cpuUs = { ours: ours.cpuUs, peer: peer.cpuUs };
  return { ...row(cell.name, pairs(ours, peer), note), cell, cpuUs, foreign };
}

function pairs(ours: Rounds, others: Rounds): [number, number][] {
  return ours.figures.map(({ iops }, index) => [iops, others.figures[index]?.iops ?? NaN]);
}

/** Processor time a command of both. */
function costs(...sides: readonly Rounds[]): string {
  return `   CPU${sides.map(({ cpuUs: us }) => us.toFixed(us < 100 ? 1 : 0).padStart(7)).join('')} us`;
}

function shares(...sides: readonly Rounds[]): string {
  const percents = sides.map(({ busy }) => String(Math.round(median(busy) * 100)).padStart(4));
  return `   target${percents.join('')} %`;
}

/** The target's own limit, and what part of it ours is. */
function limits(ours: Rounds, limit: Rounds): string {
  const most = Math.round(limit.iops).toLocaleString('en').padStart(8);
  return `   limit${most} x ${(ours.iops / limit.iops).toFixed(2)}`;
}

/** Data digests beside none, both ours. */
function compared(ours: Rounds, without: Rounds): string {
  if (without.figures.length === 0) return '';
  const { peer, ratio } = row('', pairs(ours, without));
  return `   ours without data digests ${peer.toLocaleString('en')}: x ${ratio.toFixed(2)}`;
}
