/**
 * `priority-path explain VOLUME`: why the current path is the current one. The keys of the selection
 * (paths/select.ts) as a table, best path first, and for every other path what would have to happen for
 * the I/O to go there. It uses what `status` says. How long a failback waits for its jitter and its token
 * is known to pathd alone, so these waits are named without a time.
 */
import type { PathdApi, PathStatus, VolumeStatus } from '../pathd/api.ts';
import { asPathState, PATH_STATES } from '../pathd/facts.ts';
import { compareKeys, type SelectionKeys, standing } from '../paths/select.ts';
import { askPathd, fail, type PathdQuestion } from './ask-pathd.ts';
import { type Command, EXIT } from './commands.ts';
import { DEFAULT_PATHD_ENDPOINT } from './status-command.ts';
import { formatAge, printable } from './terminal-text.ts';

const HELP = `Usage: priority-path explain [options] VOLUME

Shows why the I/O of a volume is on the path it is on: what paths are compared by,
best path first, and what would have to happen for the I/O to go to another one.

Options:
      --endpoint ADDR  socket of pathd; default $PATHD_ENDPOINT, else
                       ${DEFAULT_PATHD_ENDPOINT}
  -h, --help           this text

Exit codes: 0 shown, 1 pathd unreachable or volume not attached, 2 wrong usage.
`;

const QUESTION: PathdQuestion = {
  name: 'explain',
  usage: 'explain VOLUME',
  help: HELP,
  words: 1,
  more: false,
};

type Source = Pick<PathdApi, 'status'> & { close(): void };

export function explainCommand(connect: (endpoint: string) => Source): Command {
  return {
    name: QUESTION.name,
    summary: 'why the current path of a volume is the current one',
    run: (args, io) =>
      askPathd(QUESTION, connect, args, io, async (source, [volumeId = '']) => {
        const [volume] = await source.status(volumeId);
        if (volume === undefined) {
          const text = `volume "${volumeId}" is not attached on this node; status shows those that are`;
          return fail(io, QUESTION.name, EXIT.failed, text);
        }
        io.stdout.write(explain(volume, io.now()));
        return EXIT.ok;
      }),
  };
}

/** The whole answer; ends with a line break. Pure. */
export function explain(volume: VolumeStatus, nowMs: number): string {
  const { volumeId } = volume;
  const ranked = [...volume.paths].sort((a, b) => compare(volumeId, b, a));
  const rows = [HEAD, ...ranked.map((path) => row(path, volume.currentPath))];
  const widths = HEAD.map((_, i) => Math.max(...rows.map((cells) => (cells[i] ?? '').length)));
  const table = rows.map((cells) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const notes = ranked.map((path) => `${printable(path.name)}: ${verdict(path, volume, ranked)}`);
  return [...situation(volume, nowMs), '', ...table, '', ...notes, ''].join('\n');
}

function situation(volume: VolumeStatus, nowMs: number): string[] {
  const { volumeId, currentPath, lastSwitch, state, reason } = volume;
  const where = currentPath === '' ? 'on no path' : `on ${printable(currentPath)}`;
  const lines = [`${printable(volumeId)}: I/O is ${where} (${printable(state)})`];
  if (reason !== '') lines.push(`  ${printable(reason)}`);
  if (lastSwitch === undefined) return lines;
  const { from, to, kind, cause, atUnixMs } = lastSwitch;
  const age = formatAge(atUnixMs, nowMs);
  const route = `${from === '' ? '' : `${printable(from)} -> `}${printable(to)}`;
  return [...lines, `  last switch: ${kind} ${route} ${age}: ${printable(cause)}`];
}

const HEAD = [' ', 'PATH', 'UP', 'VERIFIED', 'DRAINED', 'HOLD-DOWN', 'WEIGHT', 'MAX'] as const;

function row(path: PathStatus, current: string): readonly string[] {
  const is = (yes: boolean): string => (yes ? 'yes' : 'no');
  const { name, weight, maxWeight, drained, holdDown } = path;
  return [
    ...[name === current ? '>' : ' ', printable(name), is(isUp(path)), is(isVerified(path))],
    ...[is(drained), is(holdDown), String(weight), String(maxWeight)],
  ];
}

/** Of a state that only a later pathd knows nothing is held against the path. */
function isUp({ state }: PathStatus): boolean {
  const known = asPathState(state);
  return known === undefined || PATH_STATES[known].up;
}

/** A path that is not carries no I/O, and some of them are not the volume's unit at all. */
function isVerified({ state }: PathStatus): boolean {
  const known = asPathState(state);
  return known === undefined || PATH_STATES[known].verified;
}

/** Positive when `a` is better: usable first, then as the controller chooses. */
function compare(volumeId: string, a: PathStatus, b: PathStatus): number {
  const isUsable = (path: PathStatus): boolean => isUp(path) && isVerified(path);
  return Number(isUsable(a)) - Number(isUsable(b)) || compareKeys(volumeId, keysOf(a), keysOf(b));
}

/** As far as a status tells: a path that was removed is not in it, nor is the evidence of a failover. */
function keysOf({ name, weight, maxWeight, drained, holdDown }: PathStatus): SelectionKeys {
  return {
    ...{ name, weight, maxWeight, isHeldDown: holdDown, isKnownAlive: true },
    standing: standing({ drained, leaving: false }),
  };
}

function verdict(path: PathStatus, volume: VolumeStatus, ranked: readonly PathStatus[]): string {
  const { currentPath, pinnedPath } = volume;
  const isFirst = path === ranked[0];
  if (path.name === currentPath) return currentVerdict(path, pinnedPath, isFirst);
  const missing = whatIsMissing(path);
  if (missing !== undefined) return missing;
  if (pinnedPath !== '' && pinnedPath !== path.name) {
    return `in reserve, the volume is pinned to ${printable(pinnedPath)} until unpin`;
  }
  const current = ranked.find(({ name }) => name === currentPath);
  if (current === undefined) return 'usable: the I/O goes here as soon as the switch is made';
  if (isFirst && path.weight === current.weight && path.drained === current.drained) {
    return 'as good as the current path: equal weights never switch';
  }
  if (isFirst) {
    const why = current.drained
      ? `${current.name} is drained`
      : `it leads by ${lead(path, current)}`;
    return (
      `preferred (${why}). The failback waits until the lead is failback-lead or more, some time ` +
      'has passed since the last switch and its jitter is over, and a token is there'
    );
  }
  if (path.drained) return 'drained: used only if nothing else is left; undrain puts it back';
  if (path.holdDown)
    return 'in hold-down, it went down again and again: preferred when that is over';
  const needed = path.maxWeight <= current.weight ? ', above its own max weight' : '';
  return `in reserve: its weight must overtake ${String(current.weight)}${needed}, or ${current.name} go down`;
}

function lead(path: PathStatus, current: PathStatus): string {
  return String(path.weight - current.weight);
}

function currentVerdict(path: PathStatus, pinned: string, isFirst: boolean): string {
  const suspect = path.suspect ? '; it is suspect: standbys are being asked' : '';
  if (pinned === path.name) return `current, because it is pinned${suspect}`;
  if (isFirst) return `current, because it is the best${suspect}`;
  return `current; another is better by now, but a failback is never hurried${suspect}`;
}

/** Why the path cannot be used at all; undefined: it can. */
function whatIsMissing(path: PathStatus): string | undefined {
  const error = path.lastError === '' ? '' : ` (${printable(path.lastError)})`;
  const { weight, maxWeight } = path;
  switch (asPathState(path.state)) {
    case 'down':
      return (
        `down${error}: once it answers, its weight grows with every good probe from ` +
        `${String(weight)} to ${String(maxWeight)}`
      );
    case 'connecting':
      return `has not answered yet${error}`;
    case 'banned':
      return `banned${error}: it leads to another logical unit. Mend the target, then readmit`;
    case 'unverified':
      return `not proved to be the same logical unit${error}: see policy expected-serial`;
    case 'write-protected':
      return `its unit refuses writes${error}: allow them at the target, or remove the path`;
    case 'current':
    case 'standby':
    case undefined:
      return undefined;
  }
}
