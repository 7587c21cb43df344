/**
 * The state of volumes as text for people, 80 columns unless there are more: per volume a header,
 * counters, one row per path, and the last switch. Pure, so that tests compare whole screens.
 *
 * Bars of one volume share one scale (its largest max weight): the longest bar is the path that the
 * volume prefers. In a narrow terminal probe times give way first, then bars; names, portals and
 * states never.
 */
import type { PathStatus, SwitchStatus, VolumeStatus } from '../pathd/api.ts';
import type { ShownPathState, VolumeState } from '../pathd/facts.ts';
import {
  type Paint,
  type Terminal,
  bar,
  formatAge,
  formatBytes,
  formatMicros,
  paint,
  plural,
  printable,
  wrap,
} from './terminal-text.ts';

export interface RenderOptions extends Terminal {
  /** Wall-clock time, Unix milliseconds: ages are counted from it. */
  readonly now: number;
}

/** Ends with a line break. */
export function renderStatus(volumes: readonly VolumeStatus[], options: RenderOptions): string {
  if (volumes.length === 0) return 'No volume is attached on this node.\n';
  const blocks = volumes.map((volume) => renderVolume(volume, options).join('\n'));
  return `${blocks.join('\n\n')}\n`;
}

function renderVolume(volume: VolumeStatus, options: RenderOptions): string[] {
  return [
    ...header(volume, options),
    ...reason(volume, options),
    ...counters(volume, options),
    ...pathRows(volume, options),
    ...lastSwitch(volume.lastSwitch, options),
  ];
}

const VOLUME_PAINT: Readonly<Record<string, Paint>> = {
  serving: 'good',
  holding: 'warning',
  failed: 'bad',
} satisfies Record<VolumeState, Paint>;

function header(volume: VolumeStatus, options: RenderOptions): string[] {
  const id = printable(volume.volumeId);
  const device = volume.device === '' ? 'no device' : printable(volume.device);
  const state = printable(volume.state);
  const rest = `${device}  ${formatBytes(volume.sizeBytes)}  `;
  const painted = rest + paint(state, VOLUME_PAINT[volume.state] ?? 'warning', options);
  const name = paint(id, 'strong', options);
  const fits = id.length + 2 + rest.length + state.length <= options.width;
  return fits ? [`${name}  ${painted}`] : [name, `  ${painted}`];
}

function reason(volume: VolumeStatus, options: RenderOptions): string[] {
  const text = printable(volume.reason);
  if (text === '') return [];
  const how = VOLUME_PAINT[volume.state] ?? 'warning';
  return wrap(text.split(' '), options.width, 2).map((line) => paint(line, how, options));
}

function counters(volume: VolumeStatus, options: RenderOptions): string[] {
  const current = volume.currentPath === '' ? 'none' : printable(volume.currentPath);
  const where = [`current path: ${current}`, `fencing: ${printable(volume.fencing) || 'none'}`];
  const identity = printable(volume.identity);
  if (identity !== '') where.push(`identity: ${identity}`);
  const counts = [
    `${String(volume.queued)} queued`,
    `${String(volume.outstanding)} outstanding${oldest(volume)}`,
    plural(volume.ioErrors, 'I/O error'),
    plural(volume.failovers, 'failover'),
    plural(volume.failbacks, 'failback'),
    ...(volume.writePolicy === 'log' ? logCounts(volume) : []),
  ];
  const errors = volume.ioErrors > 0 ? 'bad' : undefined;
  return [
    ...wrap(list(where, ';'), options.width, 2),
    ...wrap(list(counts, ','), options.width, 2).map((line) => paint(line, errors, options)),
  ];
}

/** Less than a second is not shown. */
function oldest({ oldestAgeMs, oldestCommand }: VolumeStatus): string {
  if (oldestAgeMs < 1000) return '';
  const seconds = String(Math.round(oldestAgeMs / 1000));
  return ` (oldest: ${printable(oldestCommand)}, ${seconds} s)`;
}

function logCounts({ unflushedWrites, unflushedBytes, forcedFlushes }: VolumeStatus): string[] {
  const kib = Math.ceil(unflushedBytes / 1024);
  return [
    `${plural(unflushedWrites, 'write')} (${String(kib)} KiB) unflushed`,
    forcedFlushes === 1 ? '1 forced flush' : `${String(forcedFlushes)} forced flushes`,
  ];
}

/** Phrases of an enumeration, each kept on one line. */
function list(phrases: readonly string[], separator: string): string[] {
  return phrases.map((phrase, i) => (i < phrases.length - 1 ? phrase + separator : phrase));
}

const PATH_PAINT: Readonly<Record<string, Paint | undefined>> = {
  current: 'good',
  standby: undefined,
  down: 'bad',
  banned: 'bad',
  unverified: 'warning',
  'write-protected': 'warning',
  connecting: 'warning',
} satisfies Record<ShownPathState, Paint | undefined>;

interface Row {
  readonly path: PathStatus;
  readonly mark: string;
  readonly name: string;
  readonly portal: string;
  readonly bar: string;
  readonly weight: string;
  readonly probe: string;
  readonly state: string;
}

function pathRows(volume: VolumeStatus, options: RenderOptions): string[] {
  const scale = Math.max(0, ...volume.paths.map(({ maxWeight }) => maxWeight));
  const rows = volume.paths.map((path): Row => ({
    path,
    mark: path.name === volume.currentPath ? '>' : ' ',
    name: printable(path.name),
    portal: printable(path.portal),
    bar: bar(path.weight, path.maxWeight, scale, options.unicode),
    weight: `${String(path.weight).padStart(String(scale).length)}/${String(path.maxWeight)}`,
    probe: path.probeP90Us === 0 || path.state === 'down' ? '' : formatMicros(path.probeP90Us),
    state: stateOf(path),
  }));
  const columns = columnsThatFit(rows, options.width);
  return rows.flatMap((row) => [
    renderRow(row, columns, options),
    ...errorLines(row.path, columns[0]?.width ?? 0, options),
  ]);
}

function stateOf(path: PathStatus): string {
  const flags = [
    printable(path.state),
    path.suspect ? 'suspect' : '',
    path.drained ? 'drained' : '',
    path.holdDown ? 'hold-down' : '',
  ];
  return flags.filter((flag) => flag !== '').join(', ');
}

interface Column {
  readonly key: 'name' | 'portal' | 'bar' | 'weight' | 'probe' | 'state';
  readonly width: number;
}

function columnsThatFit(rows: readonly Row[], width: number): Column[] {
  const keys = ['name', 'portal', 'bar', 'weight', 'probe', 'state'] as const;
  const all = keys.map((key) => ({ key, width: Math.max(...rows.map((row) => row[key].length)) }));
  const total = (columns: readonly Column[]): number =>
    columns.reduce((sum, column) => sum + column.width + 2, 0);
  const shown = all.filter((column) => column.width > 0);
  if (total(shown) <= width) return shown;
  const noProbe = shown.filter(({ key }) => key !== 'probe');
  if (total(noProbe) <= width) return noProbe;
  return noProbe.filter(({ key }) => key !== 'bar');
}

function renderRow(row: Row, columns: readonly Column[], options: RenderOptions): string {
  const how = row.path.suspect ? 'warning' : PATH_PAINT[row.path.state];
  const cells = columns.map(({ key, width }) => {
    const text = key === 'probe' ? row.probe.padStart(width) : row[key].padEnd(width);
    if (key === 'state') return paint(text.trimEnd(), how, options);
    return key === 'bar' ? paint(text, how, options) : text;
  });
  return `${row.mark} ${cells.join('  ')}`.trimEnd();
}

/** Below its path, in the portal's column. */
function errorLines(path: PathStatus, nameWidth: number, options: RenderOptions): string[] {
  const text = printable(path.lastError);
  if (text === '') return [];
  const age = path.lastErrorUnixMs > 0 ? ` (${formatAge(path.lastErrorUnixMs, options.now)})` : '';
  const words = `last error: ${text}${age}`.split(' ');
  return wrap(words, options.width, nameWidth + 4, 2).map((line) => paint(line, 'faint', options));
}

function lastSwitch(last: SwitchStatus | undefined, options: RenderOptions): string[] {
  if (last === undefined) return ['  no switch yet'];
  const arrow = options.unicode ? '→' : '->';
  const from = last.from === '' ? 'none' : printable(last.from);
  const parts = [
    `last switch ${formatAge(last.atUnixMs, options.now)}: ${from} ${arrow} ${printable(last.to)}`,
    `${printable(last.kind)} (${printable(last.cause)})`,
    `fence ${printable(last.fence)}`,
    `gap ${String(last.gapMs)} ms`,
    `${String(last.replayed)} replayed`,
  ];
  return wrap(list(parts, ','), options.width, 2, 2);
}
