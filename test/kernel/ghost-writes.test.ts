/**
 * The ghost-write matrix: sixteen writes are given up on one gateway, the same places are written anew
 * through another, then the first gateway is well again and does what it still has. How many places
 * hold the old data? Real tgtd over one file, the product's volume and initiator; every way in which the
 * first gateway can be lost, times every rung of the fence, times three sizes of write.
 *
 * EXPECTED says what each cell must be, before anything has run. A fence may only ever end in 0; `none`
 * goes on without one and has to show ghosts, or this test could not see any. The table as it ran is
 * printed at the end.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { FENCE_RUNGS, type FenceRung } from '../../src/volume/fence/fence.ts';
import type { Abandonment } from '../support/targets/gateway-proxy.ts';
import { GhostRig, REGIONS } from '../support/node/ghost-rig.ts';

/** `preempt` needs one device server behind both paths, and these are two gateways. */
type Rung = Exclude<FenceRung, 'preempt'>;
type Fault = 'frozen' | 'partition' | 'hung';

interface Variant {
  readonly name: string;
  /** SIGSTOP of the gateway; everything lost on the way until the heal; its back end takes no write. */
  readonly fault: Fault;
  readonly abandonment: Abandonment;
}

const VARIANTS = {
  kept: { name: 'frozen gateway, connection kept', fault: 'frozen', abandonment: 'kept' },
  fin: { name: 'frozen gateway, FIN', fault: 'frozen', abandonment: 'fin' },
  rst: { name: 'frozen gateway, RST', fault: 'frozen', abandonment: 'rst' },
  partition: { name: 'partition, then heal', fault: 'partition', abandonment: 'fin' },
  hung: { name: 'slow back end, RST', fault: 'hung', abandonment: 'rst' },
} as const satisfies Record<string, Variant>;

type Row = keyof typeof VARIANTS;

interface Expected {
  /** Held, with the event FenceFailed, while the gateway is lost: until it is well (or dead). */
  readonly held: boolean;
  /** What let the writes go on in the end. */
  readonly fence: Rung;
  /** Places of sixteen with old data at the end: none, at least one, or whatever it may be. */
  readonly stale: 'none' | 'some' | 'any';
}

/** Where no write goes on before the old gateway was fenced: 0 of 16, and held until then. */
const fenced = (fence: Rung): Expected => ({ held: true, fence, stale: 'none' });
/** Where it goes on at once: the ghosts come. */
const GHOSTS: Expected = { held: false, fence: 'none', stale: 'some' };
/** A reset shortens the window and is no fence: any number may come, none as well. */
const CHANCE: Expected = { held: false, fence: 'none', stale: 'any' };

/**
 * The expected value of every cell, the same for 4, 64 and 256 KiB.
 *
 * reset   held until the gateway answers again; then reinstatement and LOGICAL UNIT RESET.
 * gone    a frozen gateway's kernel accepts connections, a partition is silent: held until the harness
 *         kills the gateway, whose portal then refuses.
 * delay   declared: 2 s. The gateway is well after less than that, unreachable for us for good: what it
 *         had is done before the new writes begin.
 * none    asked for by name.
 *
 * No column `preempt`: it needs one device server behind both paths, and these are two gateways that
 * share nothing but the file. Its ghosts are laid in test/interop/preempt.test.ts.
 */
const EXPECTED: Readonly<Record<Row, Readonly<Record<Rung, Expected>>>> = {
  kept: { reset: fenced('reset'), gone: fenced('gone'), delay: fenced('delay'), none: GHOSTS },
  fin: { reset: fenced('reset'), gone: fenced('gone'), delay: fenced('delay'), none: GHOSTS },
  rst: { reset: fenced('reset'), gone: fenced('gone'), delay: fenced('delay'), none: CHANCE },
  partition: { reset: fenced('reset'), gone: fenced('gone'), delay: fenced('delay'), none: GHOSTS },
  hung: { reset: fenced('reset'), gone: fenced('gone'), delay: fenced('delay'), none: GHOSTS },
};

const FENCING: Readonly<Record<Rung, string>> = {
  reset: 'auto',
  gone: 'gone',
  delay: 'delay=2s',
  none: 'none',
};
const SIZES_KIB = [4, 64, 256];
const [OLD, NEW] = [0xa1, 0xb2];

interface Cell {
  readonly held: boolean;
  readonly fence: string;
  readonly stale: number;
}

async function lose({ gateway, proxy, slow }: GhostRig, fault: Fault): Promise<void> {
  if (fault === 'frozen') gateway.signal('SIGSTOP');
  if (fault === 'partition') proxy.partitioned = true;
  if (fault === 'hung') await slow?.hang();
}

/** The gateway is well, and does what it has. Not yet: that we can reach it. */
async function heal({ gateway, proxy, slow }: GhostRig, fault: Fault): Promise<void> {
  if (fault === 'frozen') gateway.signal('SIGCONT');
  if (fault === 'partition') proxy.partitioned = false;
  if (fault === 'hung') await slow?.letGo();
}

/** The gateway dies with all it has. Stuck in its back end it does not die before that lets go. */
async function kill(rig: GhostRig): Promise<void> {
  const dead = rig.gateway.kill();
  await rig.slow?.letGo();
  await dead;
  rig.proxy.refuse();
}

/** The life of a cell: write, lose, heal or kill, write anew, count. */
async function run(row: Row, rung: Rung, kib: number): Promise<Cell> {
  const { abandonment, fault } = VARIANTS[row];
  const slow = fault === 'hung';
  const options = { abandonment, fencing: FENCING[rung], writeBytes: kib * 1024, slow };
  const rig = await GhostRig.start(options);
  const { volume, proxy } = rig;
  try {
    await lose(rig, fault);
    proxy.unreachable = fault === 'partition' || rung === 'delay' || rung === 'none';
    const old = rig.write(OLD);
    let held = false;
    if (rung !== 'none') {
      await rig.until('held', () => rig.fenceFailed);
      held = volume.status().state === 'holding' && old.answered === 0;
      if (rung === 'gone') await kill(rig);
      else await heal(rig, fault);
      if (rung === 'reset') proxy.unreachable = false;
    }
    await rig.until('the old writes answered', () => old.answered === REGIONS);
    const { lastSwitch } = volume.status();
    const renewed = rig.write(NEW);
    await rig.until('the new writes answered', () => renewed.answered === REGIONS);
    if (rung === 'none') await heal(rig, fault);
    const stale = await rig.staleRegions(NEW, EXPECTED[row][rung].stale === 'some' ? 1 : 0);
    expect(old.errors + renewed.errors + volume.status().ioErrors).toBe(0);
    expect(await rig.staleReads(NEW)).toBe(stale);
    return { held, fence: lastSwitch?.fence ?? 'no switch', stale };
  } finally {
    await rig.close();
  }
}

const results = new Map<string, Cell>();
const key = (row: Row, rung: Rung, kib: number): string => `${row} ${rung} ${String(kib)}`;

function claim(row: Row, rung: Rung): string {
  const { held, stale } = EXPECTED[row][rung];
  const wait = held ? 'is held with FenceFailed, then ' : '';
  const ghosts = { none: 'no ghost', some: 'ghosts', any: 'ghosts or none' }[stale];
  return `${VARIANTS[row].name}: ${rung} ${wait}leaves ${ghosts}`;
}

function check(cell: Cell, expected: Expected): void {
  expect({ held: cell.held, fence: cell.fence }).toEqual({
    held: expected.held,
    fence: expected.fence,
  });
  if (expected.stale === 'none') expect(cell.stale).toBe(0);
  if (expected.stale === 'some') expect(cell.stale).toBeGreaterThan(0);
}

const ROWS = Object.keys(VARIANTS) as Row[];
// A new rung does not compile before it has its cells in EXPECTED and its word in FENCING.
const RUNGS = FENCE_RUNGS.filter((rung) => rung !== 'preempt');

describe.each(RUNGS)('fence %s', (rung) => {
  test.each(ROWS.map((row) => [claim(row, rung), row] as const))('%s', async (_, row) => {
    const cells = await Promise.all(
      SIZES_KIB.map(async (kib) => {
        const cell = await run(row, rung, kib);
        results.set(key(row, rung, kib), cell);
        return cell;
      }),
    );
    for (const cell of cells) check(cell, EXPECTED[row][rung]);
  });
});

function text(cell: Cell | undefined): string {
  if (cell === undefined) return 'not run';
  const { held, fence, stale } = cell;
  return `${held ? 'held, ' : ''}${fence}, ${String(stale)} of ${String(REGIONS)}`;
}

afterAll(() => {
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => cell.padEnd(at === 0 ? 33 : at === 1 ? 9 : 24))
      .join('')
      .trimEnd();
  const lines = ROWS.flatMap((row) =>
    SIZES_KIB.map((kib) =>
      line([
        ...[VARIANTS[row].name, `${String(kib)} KiB`],
        ...RUNGS.map((rung) => text(results.get(key(row, rung, kib)))),
      ]),
    ),
  );
  const title = '-- places with old data at the end';
  process.stdout.write(`${[title, line(['', '', ...RUNGS]), ...lines].join('\n')}\n`);
});
