/**
 * The table of history.md: one line for each run of `bench:quick`. Columns have a fixed width, so that a
 * line that is added changes no other.
 */

/** Column → its width; wider than what it ever holds. */
const COLUMNS = {
  date: 16,
  commit: 9,
  machine: 12,
  others: 6,
  stable: 6,
  plain: 6,
  'read 4k1': 8,
  'write 4k1': 9,
  'read 4k32': 9,
  'write 4k32': 10,
  'read 128k32': 11,
  'write 128k32': 12,
  'CPU 4k32': 11,
  'initiator 4k1': 13,
  'initiator 4k32': 14,
  'CPU of it': 11,
} as const;

export type Column = keyof typeof COLUMNS;
export type HistoryEntry = Readonly<Record<Column, string>>;

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

const NAMES = Object.keys(COLUMNS) as readonly Column[];

export const HISTORY_HEAD = [
  line(NAMES.map((name) => name.padEnd(COLUMNS[name]))),
  line(NAMES.map((name) => '-'.repeat(COLUMNS[name]))),
].join('\n');

export function historyLine(entry: HistoryEntry): string {
  return line(NAMES.map((name) => entry[name].padEnd(COLUMNS[name])));
}

/** The text of the table with the run at its end. */
export function withEntry(text: string, entry: HistoryEntry): string {
  const end = text.lastIndexOf('\n\n<!-- prettier-ignore-end -->');
  if (!text.includes(HISTORY_HEAD) || end < 0) {
    throw new Error('history.md has other columns than this bench');
  }
  return `${text.slice(0, end)}\n${historyLine(entry)}${text.slice(end)}`;
}
