/**
 * Text for terminals: colours, bars, sizes, ages, wrapping. Pure; the caller decides about width, colour
 * and character set. Written out here because it is less than what a package for it would bring.
 */

/** What the terminal at the other end can show. */
export interface Terminal {
  /** Columns; lines are wrapped at it where they can be. */
  readonly width: number;
  /** ANSI colours. Nothing is said by colour alone. */
  readonly color: boolean;
  /** Block and arrow characters; else ASCII. */
  readonly unicode: boolean;
}

export type Paint = 'good' | 'warning' | 'bad' | 'strong' | 'faint';

const SGR: Readonly<Record<Paint, number>> = {
  good: 32,
  warning: 33,
  bad: 31,
  strong: 1,
  faint: 2,
};

/** Colours a text; call it last, widths are those of the bare text. */
export function paint(text: string, how: Paint | undefined, terminal: Terminal): string {
  if (!terminal.color || how === undefined || text === '') return text;
  return `\u001b[${String(SGR[how])}m${text}\u001b[0m`;
}

const BAR_CELLS = 10;

/**
 * A weight as a bar of ten cells: filled up to `value`, light up to `max`, blank up to `scale`, so that
 * bars of one scale can be compared with each other.
 */
export function bar(value: number, max: number, scale: number, unicode: boolean): string {
  const cells = (part: number): number =>
    scale <= 0 ? 0 : Math.min(BAR_CELLS, Math.round((part / scale) * BAR_CELLS));
  // A weight is at least 1, and what is not nothing must not look like nothing.
  const filled = value > 0 ? Math.max(1, cells(value)) : 0;
  const light = Math.max(0, cells(max) - filled);
  const [full, empty] = unicode ? ['█', '░'] : ['#', '-'];
  return (full.repeat(filled) + empty.repeat(light)).padEnd(BAR_CELLS);
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `10 GiB`, `1.5 TiB`: at most one decimal, none where it is zero. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${String(Math.round(value * 10) / 10)} ${UNITS[unit] ?? ''}`;
}

/** How long ago, in one unit: `3 min ago`. A time to come (clocks differ) is `just now`. */
export function formatAge(thenMs: number, nowMs: number): string {
  const seconds = Math.floor((nowMs - thenMs) / 1000);
  if (seconds < 1) return 'just now';
  if (seconds < 120) return `${String(seconds)} s ago`;
  if (seconds < 2 * 3600) return `${String(Math.floor(seconds / 60))} min ago`;
  if (seconds < 2 * 86_400) return `${String(Math.floor(seconds / 3600))} h ago`;
  return `${String(Math.floor(seconds / 86_400))} d ago`;
}

/** `850 us`, `1.2 ms`, `340 ms`, `2.5 s`. */
export function formatMicros(us: number): string {
  const short = (value: number): string =>
    String(value < 10 ? Math.round(value * 10) / 10 : Math.round(value));
  if (us < 1000) return `${String(us)} us`;
  if (us < 1_000_000) return `${short(us / 1000)} ms`;
  return `${short(us / 1_000_000)} s`;
}

/** `1 failover`, `2 failovers`. */
export function plural(n: number, noun: string): string {
  return `${String(n)} ${noun}${n === 1 ? '' : 's'}`;
}

/** Texts come from targets and kernels: no escape sequence of theirs may reach the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').trim();
}

/** Fills lines with words; those after the first line get `hanging` more columns of indent. */
export function wrap(
  words: readonly string[],
  width: number,
  indent: number,
  hanging = 0,
): string[] {
  const lines: string[] = [];
  let line = ' '.repeat(indent);
  let bare = true;
  for (const word of words) {
    if (!bare && line.length + 1 + word.length > width) {
      lines.push(line);
      line = ' '.repeat(indent + hanging);
      bare = true;
    }
    line += bare ? word : ` ${word}`;
    bare = false;
  }
  lines.push(line);
  return lines;
}
