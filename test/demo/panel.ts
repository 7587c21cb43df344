/**
 * What the demo shows while it runs. Pure: a view in, lines of at most 80 columns out. Two forms: a
 * panel that a terminal redraws in place, and a single line for logs and pipes. Colour only repeats
 * what the words say.
 */
import { ms, thousands } from './report.ts';

export interface PathRow {
  readonly name: string;
  readonly portal: string;
  /** Where its target stands, seen from the node: "same rack" … */
  readonly place: string;
  readonly weight: number;
  readonly maxWeight: number;
  /** As in the status: current, standby, down … */
  readonly state: string;
  /** Whether the target's process runs. */
  readonly alive: boolean;
}

export interface PanelView {
  readonly elapsedMs: number;
  readonly policy: string;
  /** What is being done right now. */
  readonly chapter: string;
  readonly paths: readonly PathRow[];
  /** State of the volume: serving, holding, failed. */
  readonly volume: string;
  readonly inFlight: number;
  /** Writes acknowledged per tick of about 100 ms, oldest first. */
  readonly rates: readonly number[];
  readonly longestGapMs: number;
  readonly ioErrors: number;
  readonly badBlocks: number;
  /** What happened, oldest first, times included. */
  readonly events: readonly string[];
}

export interface Style {
  readonly colour: boolean;
  /** False: plain ASCII, for terminals that cannot draw blocks. */
  readonly unicode: boolean;
}

const WIDTH = 80;
const BAR = 20;
const EVENTS = 8;
/** Columns of the sparkline: six seconds. */
const SPARK = 60;

type Colour = 'green' | 'yellow' | 'red' | 'grey' | 'bold';
const CODES: Readonly<Record<Colour, string>> = {
  green: '32',
  yellow: '33',
  red: '31',
  grey: '90',
  bold: '1',
};

function paint(text: string, colour: Colour, { colour: on }: Style): string {
  return on ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;
}

/** Cuts plain text to the width; the panel must never wrap, or redrawing it in place fails. */
function fit(text: string, width = WIDTH): string {
  return text.length <= width ? text : `${text.slice(0, width - 3)}...`;
}

/** "01:23". */
export function clock(elapsedMs: number): string {
  const seconds = Math.floor(elapsedMs / 1000);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
}

/** A weight as a bar, `of` columns standing for the largest max weight of the volume. */
export function bar(weight: number, maxWeight: number, largest: number, style: Style): string {
  const columns = (value: number): number =>
    value <= 0 ? 0 : Math.max(1, Math.round((value / Math.max(1, largest)) * BAR));
  const [full, room] = style.unicode ? ['█', '░'] : ['#', '.'];
  const filled = Math.min(columns(weight), columns(maxWeight));
  const rest = columns(maxWeight) - filled;
  return (full.repeat(filled) + room.repeat(rest)).padEnd(BAR);
}

/** Rates as a line of columns, the highest of them being full height; a tick without any is a gap. */
export function sparkline(rates: readonly number[], style: Style): string {
  const steps = style.unicode ? '▁▂▃▄▅▆▇█' : '_.,-=+*#';
  const top = Math.max(1, ...rates);
  return rates
    .slice(-SPARK)
    .map((rate) => {
      if (rate === 0) return style.unicode ? '·' : ' ';
      return steps[Math.min(steps.length - 1, Math.floor((rate / top) * steps.length))] ?? '';
    })
    .join('');
}

/** Writes per second over the last second. */
export function writesPerSecond(rates: readonly number[]): number {
  return rates.slice(-10).reduce((sum, rate) => sum + rate, 0);
}

const STATE_COLOUR: Readonly<Record<string, Colour>> = {
  current: 'green',
  standby: 'bold',
  down: 'red',
  banned: 'red',
};

function pathLine(path: PathRow, largest: number, style: Style): string {
  const marker = path.state === 'current' ? (style.unicode ? '▶' : '>') : ' ';
  const portal = fit(path.portal, 19).padEnd(19);
  const head = ` ${marker} ${path.name.padEnd(3)} ${portal} ${path.place.padEnd(10)} `;
  const weight = `${String(path.weight).padStart(3)}/${String(path.maxWeight).padEnd(3)}`;
  const note = path.alive ? path.state : `${path.state}, killed`;
  const colour = STATE_COLOUR[path.state] ?? 'yellow';
  const drawn = bar(path.weight, path.maxWeight, largest, style);
  const used = head.length + drawn.length + weight.length + 3;
  return `${head}${paint(drawn, colour, style)} ${weight}  ${paint(fit(note, WIDTH - used), colour, style)}`;
}

/** The panel: always the same number of lines, none longer than 80 columns. */
export function renderPanel(view: PanelView, style: Style): string[] {
  const largest = Math.max(1, ...view.paths.map(({ maxWeight }) => maxWeight));
  const rule = paint((style.unicode ? '─' : '-').repeat(WIDTH - 2), 'grey', style);
  const right = `policy ${view.policy}   ${clock(view.elapsedMs)}`;
  const title = ' priority path: one volume, three paths';
  const rate = `${thousands(writesPerSecond(view.rates))}/s`.padStart(10);
  const facts =
    ` ${String(view.inFlight)} writes in flight, longest gap ${ms(view.longestGapMs)}, ` +
    `I/O errors ${String(view.ioErrors)}, bad blocks ${String(view.badBlocks)}`;
  const bad = view.ioErrors + view.badBlocks > 0;
  const events = view.events.slice(-EVENTS).map((event) => paint(fit(` ${event}`), 'grey', style));
  return [
    paint(title + right.padStart(WIDTH - 2 - title.length), 'bold', style),
    ` ${rule}`,
    ...view.paths.map((path) => pathLine(path, largest, style)),
    ` ${rule}`,
    ` writes ${paint(sparkline(view.rates, style).padEnd(SPARK), 'green', style)}${rate}`,
    paint(fit(facts), bad ? 'red' : 'grey', style),
    ` ${rule}`,
    ...events,
    ...Array.from({ length: EVENTS - events.length }, () => ''),
    paint(fit(` ${style.unicode ? '…' : '..'} ${view.chapter}`), 'bold', style),
  ];
}

/** The state in one line, for output that is not redrawn. */
export function renderLine(view: PanelView): string {
  const paths = view.paths.map(({ name, weight, maxWeight, state, alive }) => {
    const mark = state === 'current' ? '*' : '';
    const note = state === 'standby' || state === 'current' ? '' : ` ${state}`;
    const killed = alive ? '' : ' (killed)';
    return `${mark}${name} ${String(weight)}/${String(maxWeight)}${note}${killed}`;
  });
  const rate = `${thousands(writesPerSecond(view.rates))} writes/s`;
  const text = `${clock(view.elapsedMs)}  ${paths.join('  ')}  ${rate}`;
  return fit(view.volume === 'serving' ? text : `${text}  ${view.volume}`);
}
