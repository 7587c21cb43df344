/**
 * `drain` and `undrain`: a path of one volume, or every path of every volume of this node that leads to a
 * portal or into a rack, which is what maintenance of a target asks for. Idempotent. Then it waits until
 * the I/O has moved, and says of each volume where it runs now: where no other path is left, a drained
 * path stays in use. The operator has to know that before the target is switched off.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  type DrainedPortal,
  isAt,
  isInRack,
  parseDrainedPortal,
} from '../kubernetes/maintenance.ts';
import { parsePortal } from '../kubernetes/path-url.ts';
import { type PathdApi, PathdError, type PathStatus, type VolumeStatus } from '../pathd/api.ts';
import { type Command, type CommandIo, EXIT } from './commands.ts';
import { DEFAULT_PATHD_ENDPOINT, unreachable } from './status-command.ts';
import { plural, printable } from './terminal-text.ts';

type Api = Pick<PathdApi, 'status' | 'drain'>;
type Connect = (endpoint: string) => Api & { close(): void };

/** A planned switch drains, flushes and verifies; it is given up after a few seconds. */
const MOVE_TIMEOUT_MS = 15_000;
const LOOK_MS = 100;

interface What {
  readonly text: string;
  readonly meets: (path: PathStatus) => boolean;
}

interface Asked {
  readonly endpoint: string;
  readonly what: { readonly volume: string; readonly path: string } | What;
}

function help(name: string, drained: boolean): string {
  const first = drained
    ? 'Takes paths out of use for maintenance. They stay logged in and probed, and are used only when\n' +
      'no other is left. With --portal or --rack: of every volume on this node.'
    : 'Puts drained paths back into use. With --portal or --rack: of every volume on this node.';
  return `Usage: priority-path ${name} VOLUME PATH [options]
       priority-path ${name} --portal HOST[:PORT] [options]
       priority-path ${name} --rack [ROOM/]RACK [options]

${first}
Racks are known where the volume says so (rack.prioritypath.io/<path> on the PV). In Kubernetes
annotate the PV, or name the rack or portal in the ConfigMap priority-path-maintenance: the PV's next
edit puts its own word here.

Options:
      --portal ADDR    the paths at this portal; without a port: at any port of the host
      --rack NAME      the paths into this rack; ROOM/RACK where rack names repeat
      --endpoint ADDR  socket of pathd; default $PATHD_ENDPOINT, else
                       ${DEFAULT_PATHD_ENDPOINT}
  -h, --help           this text

Exit codes: 0 done, 1 refused, pathd unreachable, or I/O stays where it should not, 2 wrong usage.
`;
}

/** @param timeoutMs how long the I/O may take to move. */
export function drainCommand(connect: Connect, timeoutMs = MOVE_TIMEOUT_MS): Command {
  return command('drain', true, 'take paths out of use for maintenance', connect, timeoutMs);
}

export function undrainCommand(connect: Connect, timeoutMs = MOVE_TIMEOUT_MS): Command {
  return command('undrain', false, 'put drained paths back into use', connect, timeoutMs);
}

function command(
  name: string,
  drained: boolean,
  summary: string,
  connect: Connect,
  timeoutMs: number,
): Command {
  return {
    name,
    summary,
    run: async (args, io) => {
      const asked = parse(args, io);
      if (asked === 'help') {
        io.stdout.write(help(name, drained));
        return EXIT.ok;
      }
      if (typeof asked === 'string') {
        io.stderr.write(`priority-path ${name}: ${asked}; see --help\n`);
        return EXIT.usage;
      }
      const api = connect(asked.endpoint);
      try {
        return 'volume' in asked.what
          ? await one(api, asked.what, drained, io)
          : await all(api, asked.what, drained, { io, timeoutMs });
      } catch (error) {
        if (!(error instanceof PathdError)) throw error;
        const where = error.code === 'UNAVAILABLE' ? `\n${unreachable(asked.endpoint)}` : '';
        io.stderr.write(`priority-path ${name}: ${error.message}${where}\n`);
        return EXIT.failed;
      } finally {
        api.close();
      }
    },
  };
}

function parse(args: readonly string[], io: CommandIo): Asked | string {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      options: {
        endpoint: { type: 'string' },
        portal: { type: 'string' },
        rack: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
      allowPositionals: true,
    });
  } catch (error) {
    return (error as Error).message.split('. ')[0] ?? 'wrong options';
  }
  const { values, positionals } = parsed;
  if (values.help === true) return 'help';
  const endpoint = values.endpoint ?? (io.env['PATHD_ENDPOINT'] || DEFAULT_PATHD_ENDPOINT);
  const ways = [values.portal, values.rack].filter((value) => value !== undefined).length;
  if (ways + Number(positionals.length > 0) !== 1) {
    return 'expected: drain VOLUME PATH, or --portal, or --rack';
  }
  if (values.portal !== undefined) {
    const portal = parseDrainedPortal(values.portal);
    if (typeof portal === 'string') return `--portal: ${portal}`;
    const text = `at ${values.portal}`;
    return { endpoint, what: { text, meets: (path) => isAtPortal(path, portal) } };
  }
  const { rack } = values;
  if (rack !== undefined) {
    if (!/^[^/\s]+(\/[^/\s]+)?$/.test(rack)) return `--rack "${rack}": expected [ROOM/]RACK`;
    return { endpoint, what: { text: `in rack ${rack}`, meets: (path) => isInRack(path, rack) } };
  }
  const [volume = '', path = '', ...more] = positionals;
  if (path === '' || more.length > 0) return 'expected: drain VOLUME PATH';
  return { endpoint, what: { volume, path } };
}

function isAtPortal(path: PathStatus, portal: DrainedPortal): boolean {
  const at = parsePortal(path.portal);
  return at.ok && isAt(at.value, portal);
}

async function one(
  api: Api,
  { volume, path }: { readonly volume: string; readonly path: string },
  drained: boolean,
  io: CommandIo,
): Promise<number> {
  await api.drain(volume, path, drained);
  io.stdout.write(drained ? 'drained\n' : 'in use again\n');
  return EXIT.ok;
}

interface Run {
  readonly io: CommandIo;
  readonly timeoutMs: number;
}

async function all(api: Api, what: What, drained: boolean, run: Run): Promise<number> {
  const { io } = run;
  const before = await api.status();
  const concerned = before.filter(({ paths }) => paths.some(what.meets));
  if (concerned.length === 0) {
    io.stderr.write(`no volume on this node has a path ${what.text}\n`);
    return EXIT.ok;
  }
  const refused = new Map<string, string>();
  for (const { volumeId, paths } of concerned) {
    for (const { name } of paths.filter(what.meets)) {
      try {
        await api.drain(volumeId, name, drained);
      } catch (error) {
        if (!(error instanceof PathdError) || error.code === 'UNAVAILABLE') throw error;
        refused.set(volumeId, `${name}: ${error.message}`);
      }
    }
  }
  const after = drained ? await whenMoved(api, what, run) : await api.status();
  let stays = 0;
  for (const volume of concerned) {
    const now = after.find(({ volumeId }) => volumeId === volume.volumeId);
    const stuck = drained && now !== undefined && isOn(now, what);
    const problem = refused.get(volume.volumeId);
    if (stuck || problem !== undefined) stays += 1;
    io.stdout.write(`${line(volume, now, what, { drained, stuck, problem })}\n`);
  }
  const moved = `${plural(concerned.length, 'volume')}, paths ${what.text} ${drained ? 'drained' : 'in use again'}`;
  const left = stays === 0 ? '' : `; ${plural(stays, 'volume')} not as asked`;
  io.stdout.write(`${moved}${left}\n`);
  return stays === 0 ? EXIT.ok : EXIT.failed;
}

function isOn({ currentPath, paths }: VolumeStatus, { meets }: What): boolean {
  return paths.some((path) => path.name === currentPath && meets(path));
}

/** The status once nothing runs there any more that could run elsewhere, or after the time for it. */
async function whenMoved(
  api: Api,
  what: What,
  { timeoutMs }: Run,
): Promise<readonly VolumeStatus[]> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const volumes = await api.status();
    const waiting = volumes.some((volume) => isOn(volume, what) && hasElsewhere(volume, what));
    if (!waiting || performance.now() >= until) return volumes;
    await sleep(LOOK_MS);
  }
}

function hasElsewhere({ paths }: VolumeStatus, { meets }: What): boolean {
  return paths.some((path) => path.state === 'standby' && !path.drained && !meets(path));
}

interface Outcome {
  readonly drained: boolean;
  readonly stuck: boolean;
  readonly problem: string | undefined;
}

function line(
  before: VolumeStatus,
  now: VolumeStatus | undefined,
  what: What,
  { drained, stuck, problem }: Outcome,
): string {
  const id = printable(before.volumeId);
  const names = before.paths.filter(what.meets).map(({ name }) => printable(name));
  const head = `${id}: ${names.join(', ')} ${drained ? 'drained' : 'in use again'}`;
  if (problem !== undefined) return `${id}: refused: ${printable(problem)}`;
  if (now === undefined) return `${head}, detached meanwhile`;
  const [from, to] = [printable(before.currentPath), printable(now.currentPath)];
  if (stuck) {
    const why = hasElsewhere(now, what) ? 'has not moved yet' : 'no other path is usable';
    return `${head}, I/O STAYS on ${to}: ${why}`;
  }
  if (from === to) return to === '' ? `${head}, no path carries I/O` : `${head}, I/O is on ${to}`;
  return `${head}, I/O moved ${from} -> ${to === '' ? 'none' : to}`;
}
