/**
 * The status annotation: what `kubectl describe pv` shows of a volume's paths.
 *
 * kubectl prints a multi-line annotation as a block below its key, columns kept, each line cut at 138
 * characters; lines here have at most 120 bytes, so that they also fit a terminal beside the indent. No
 * target names: they are long, the same on every line, and in the path annotations right above. Times are
 * absolute UTC: an annotation is read hours after it was written, when "3 s ago" would be wrong. For the
 * same reason nothing in here changes while nothing happens.
 *
 * Pure.
 */
import type { PathStatus, SwitchStatus, VolumeStatus } from '../pathd/api.ts';

const LINE_BYTES = 120;

/** One line about the volume, one a path, and two about the last switch. No final newline. */
export function renderStatusTable(volume: VolumeStatus): string {
  return [...headLines(volume), ...pathLines(volume), ...switchLines(volume.lastSwitch)]
    .map((line) => clip(line.trimEnd()))
    .join('\n');
}

function headLines(volume: VolumeStatus): string[] {
  const { state, device, fencing, pinnedPath, failovers, failbacks, ioErrors, reason } = volume;
  const facts = [
    state,
    device,
    `fencing ${fencing || 'none'}`,
    `failovers ${String(failovers)}, failbacks ${String(failbacks)}, I/O errors ${String(ioErrors)}`,
    ...(pinnedPath === '' ? [] : [`pinned to ${pinnedPath}`]),
  ];
  return [facts.join('; '), ...(reason === '' ? [] : [`  ${clean(reason)}`])];
}

const COLUMNS = ['PATH', 'WEIGHT', 'STATE', 'PORTAL', 'LAST ERROR'] as const;

function pathLines({ paths }: VolumeStatus): string[] {
  const rows = [COLUMNS, ...paths.map(cells)];
  const widths = COLUMNS.map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row, index) => {
    const mark = index > 0 && paths[index - 1]?.state === 'current' ? '* ' : '  ';
    return mark + row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  });
}

function cells(path: PathStatus): readonly string[] {
  const { name, weight, maxWeight, portal } = path;
  return [name, `${String(weight)}/${String(maxWeight)}`, stateOf(path), portal, lastError(path)];
}

function stateOf({ state, drained, holdDown, suspect }: PathStatus): string {
  const more = [
    ...(drained ? ['drained'] : []),
    ...(holdDown ? ['hold-down'] : []),
    ...(suspect ? ['suspect'] : []),
  ];
  return [state, ...more].join(', ');
}

function lastError({ lastError: text, lastErrorUnixMs }: PathStatus): string {
  if (text === '' && lastErrorUnixMs === 0) return '-';
  return `${utc(lastErrorUnixMs)} ${clean(text)}`;
}

function switchLines(last: SwitchStatus | undefined): string[] {
  if (last === undefined) return ['last switch: none'];
  const { from, to, kind, atUnixMs, gapMs, fence, replayed, cause } = last;
  const route = from === '' ? to : `${from} -> ${to}`;
  const numbers = `gap ${String(gapMs)} ms, fence ${fence || 'none'}, ${String(replayed)} replayed`;
  return [
    `last switch: ${utc(atUnixMs)} ${route}, ${kind}; ${numbers}`,
    `  cause: ${clean(cause)}`,
  ];
}

/** `2026-11-22T15:39:58Z`. */
export function utc(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** One line without target names and control characters: texts come from targets and kernels. */
export function clean(text: string): string {
  return text
    .replace(/\b(iqn\.\d{4}-\d{2}\.|eui\.|naa\.)[^\s,;")\]]+/gi, '<target>')
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim();
}

/** At most 120 bytes of UTF-8, never half a character. */
function clip(line: string): string {
  const encoder = new TextEncoder();
  if (encoder.encode(line).length <= LINE_BYTES) return line;
  let kept = '';
  let bytes = 0;
  for (const character of line) {
    bytes += encoder.encode(character).length;
    if (bytes > LINE_BYTES - 3) break;
    kept += character;
  }
  return `${kept}...`;
}
