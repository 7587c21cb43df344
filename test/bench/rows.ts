/**
 * What every bench here ends with: rows of us against a peer, and the geometric mean of the ratios;
 * a table for people, or one JSON document `{rows:[{name,ours,peer,unit,ratio}],geomean}`.
 *
 * The ratio of a row is the median of the ratios of its rounds, not the ratio of the medians: both
 * sides of one round ran within seconds of each other, on a machine whose speed drifts.
 */

export interface Row {
  readonly name: string;
  readonly ours: number;
  readonly peer: number;
  readonly unit: 'IOPS';
  readonly ratio: number;
  /** For people only, behind the figures. */
  readonly note?: string;
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** A row of [ours, peer] rounds. */
export function row(
  name: string,
  rounds: readonly (readonly [ours: number, peer: number])[],
  note?: string,
): Row {
  return {
    name,
    ours: Math.round(median(rounds.map(([ours]) => ours))),
    peer: Math.round(median(rounds.map(([, peer]) => peer))),
    unit: 'IOPS',
    ratio: Number(median(rounds.map(([ours, peer]) => ours / peer)).toFixed(2)),
    ...(note === undefined ? {} : { note }),
  };
}

/** Geometric mean of the ratios, two digits; NaN of none. */
export function geomean(rows: readonly Pick<Row, 'ratio'>[]): number {
  const logs = rows.reduce((sum, { ratio }) => sum + Math.log(ratio), 0);
  return Number(Math.exp(logs / rows.length).toFixed(2));
}

/** One line of the table. */
export function rowText({ name, ours, peer, ratio, note }: Row): string {
  const numbers = [ours, peer].map((n) => n.toLocaleString('en').padStart(9)).join('');
  return `${name.padEnd(44)}${numbers}   x ${ratio.toFixed(2)}${note ?? ''}`;
}

/** A line below the table. */
export function geomeanText(
  rows: readonly Row[],
  what = 'geometric mean of the ratios (ours / peer)',
): string {
  return `${what.padEnd(62)}   x ${geomean(rows).toFixed(2)}`;
}

export function rowsJson(rows: readonly Row[]): string {
  const plain = rows.map(({ name, ours, peer, unit, ratio }) => ({
    ...{ name, ours, peer, unit, ratio },
  }));
  return JSON.stringify({ rows: plain, geomean: geomean(rows) }, undefined, 2);
}
