/**
 * `npm run bench:failover`: how long I/O stands still when a target is killed, frozen, cut off, hung or
 * slow, and when a volume goes home; beside it, in the same run, what it replaces.
 *
 * All rows are measured through the block device, as a pod has it (FUSE and loop, direct I/O), under
 * stamped writes and reads that are verified while and after they run: failover-world.ts. The rival is
 * measured under the same load, through a FUSE file as well: failover-peer.ts. Bounds: failover-report.ts.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { FAULT_NAMES, type FaultName, FAULTS, measureFault } from './failover-events.ts';
import { peerMissing, PeerVolume } from './failover-peer.ts';
import { CALM_NAMES, CALMS, measureCalm, measureSwallowed } from './failover-calm.ts';
import { allKept, EVENT_NAMES, EVENTS, type EventName } from './failover-report.ts';
import {
  type Outcome,
  type PeerRow,
  render,
  type Row,
  rowText,
  toJson,
} from './failover-report.ts';
import { FailoverWorld, FENCING } from './failover-world.ts';

const HELP = `usage: npm run bench:failover [-- options]

I/O gap of several volumes at once for each event, on three real targets, with what was lost:
${EVENT_NAMES.map((name) => `  ${name.padEnd(14)}${EVENTS[name].what}`).join('\n')}
and of qemu-storage-daemon with libiscsi behind a redirecting portal, the way this replaces.

  --events N        events of each kind, over all volumes; default 24 (the full run: 100)
  --volumes N       volumes on one pathd, 1 to 32; default 8
  --only NAME       one kind of event, may be repeated
  --policy SET      bench | default | fast; default bench (the default's detection, quick failbacks).
                    With default there are no failbacks to measure: they take minutes
  --seconds N       how long what is no reason to leave a path lasts; default 30
  --peer-events N   events of each kind for the rival; default 2, 0: without it
  --json            one JSON document instead of tables
  --help            this

Needs root, tgt, fuse, loop, nftables; for the rival qemu-system-common,
qemu-block-extra and libnbd-bin.
Exit code: 0 every bound kept, 1 one was not, 2 usage.`;

class UsageError extends Error {}

interface Options {
  readonly events: number;
  readonly peerEvents: number;
  readonly volumes: number;
  readonly seconds: number;
  readonly only: readonly EventName[];
  readonly policy: 'bench' | 'default' | 'fast';
  readonly json: boolean;
  readonly help: boolean;
}

function whole(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new UsageError(`--${name} ${text}: a whole number from ${String(min)} to ${String(max)}`);
}

function oneOf<T extends string>(name: string, text: string, known: readonly T[]): T {
  const found = known.find((one) => one === text);
  if (found === undefined) throw new UsageError(`--${name} ${text}: one of ${known.join(', ')}`);
  return found;
}

function parse(): Options {
  const { values } = parseArgs({
    options: {
      events: { type: 'string', default: '24' },
      'peer-events': { type: 'string', default: '2' },
      volumes: { type: 'string', default: '8' },
      seconds: { type: 'string', default: '30' },
      only: { type: 'string', multiple: true, default: [] },
      policy: { type: 'string', default: 'bench' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  return {
    events: whole('events', values.events, 1, 100_000),
    peerEvents: whole('peer-events', values['peer-events'], 0, 1000),
    volumes: whole('volumes', values.volumes, 1, 32),
    seconds: whole('seconds', values.seconds, 1, 3600),
    only: values.only.map((name) => oneOf('only', name, EVENT_NAMES)),
    policy: oneOf('policy', values.policy, ['bench', 'default', 'fast'] as const),
    json: values.json,
    help: values.help,
  };
}

interface Found {
  readonly rows: Row[];
  readonly peerRows: PeerRow[];
  peer: PeerVolume['footprint'] | undefined;
}

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

const isWanted =
  ({ only }: Options) =>
  (name: EventName): boolean =>
    only.length === 0 || only.includes(name);

/** What is no reason to leave a path. The rival has no path to stay on or to leave: it is not asked. */
async function runCalm(options: Options, slow: boolean, found: Found): Promise<void> {
  const names = CALM_NAMES.filter(
    (name) => isWanted(options)(name) && CALMS[name].needsSlow === slow,
  );
  if (names.length === 0) return;
  const { volumes, policy, seconds } = options;
  const world = await FailoverWorld.start({ volumes, policy, slow: slow ? 'all' : 'none' });
  try {
    for (const name of names) {
      const row = await measureCalm(world, name, seconds);
      say(rowText(row));
      found.rows.push(row);
    }
  } finally {
    await world.close();
  }
}

/** All events that one world can have: those of slow files need another one. */
async function runWorld(options: Options, slow: boolean, found: Found): Promise<void> {
  const wanted = isWanted(options);
  // A failback follows a failover: it is measured after the kills.
  const faults = FAULT_NAMES.filter(
    (name) =>
      FAULTS[name].needsSlow === slow && (wanted(name) || (name === 'kill' && wanted('failback'))),
  );
  if (faults.length === 0) return;
  const { volumes, policy, events, peerEvents } = options;
  const world = await FailoverWorld.start({ volumes, policy, slow: slow ? 'first' : 'none' });
  try {
    for (const name of faults) {
      const { row, back } = await measureFault(world, name, events, say);
      const rows = wanted(name) ? [row] : [];
      if (name === 'kill' && wanted('failback') && back !== undefined) rows.push(back);
      for (const one of rows) say(rowText(one)); // whatever becomes of the rest
      found.rows.push(...rows);
    }
    if (peerEvents > 0) await runPeer(world, faults, peerEvents, found);
  } finally {
    await world.close();
  }
}

async function runPeer(
  world: FailoverWorld,
  faults: readonly FaultName[],
  events: number,
  found: Found,
): Promise<void> {
  const missing = peerMissing();
  if (missing !== undefined) {
    say(`bench: without the rival: ${missing}`);
    return;
  }
  for (const name of faults) {
    // A new one for each: what one fault did to it is not told of the next.
    const peer = await PeerVolume.start(world);
    try {
      found.peerRows.push(await peer.measure(name, events, say));
      found.peer = peer.footprint;
    } finally {
      await peer.close();
    }
  }
}

async function main(): Promise<number> {
  const options = parse();
  if (options.help) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  const found: Found = { rows: [], peerRows: [], peer: undefined };
  for (const slow of [false, true]) await runWorld(options, slow, found);
  for (const slow of [false, true]) await runCalm(options, slow, found);
  if (isWanted(options)('swallowed')) {
    const row = await measureSwallowed(Math.max(1, Math.round(options.seconds / 30)));
    say(rowText(row));
    found.rows.push(row);
  }
  const outcome: Outcome = {
    machine: `${String(availableParallelism())} cores, loopback`,
    policy: options.policy,
    fencing: FENCING,
    volumes: options.volumes,
    rows: found.rows,
    ours: {
      processes: 'pathd and csi, one each for the node',
      connections: '1 a path: 3 a volume, logged in and probed all the time',
    },
    peerRows: found.peerRows,
    peer: found.peer,
  };
  process.stdout.write(`${options.json ? toJson(outcome) : render(outcome)}\n`);
  return allKept(outcome) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage =
    error instanceof UsageError ||
    (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
  if (!isUsage) throw error;
  process.stderr.write(`bench: ${error.message}\n\n${HELP}\n`);
  process.exitCode = 2;
}
