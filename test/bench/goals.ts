/**
 * Goals of a bench beside what was found: a table to read. No exit code follows from it: on another
 * machine, or a busy one, the same code has other figures.
 */

export interface Goal {
  readonly what: string;
  readonly wanted: 'at least' | 'at most';
  readonly bound: number;
  /** Undefined: not measured in this run. */
  readonly found: number | undefined;
  /** Where the figure was found, e.g. the name of the lowest cell. */
  readonly where?: string;
}

export function isMet({ wanted, bound, found }: Goal): boolean {
  if (found === undefined || Number.isNaN(found)) return false;
  return wanted === 'at least' ? found >= bound : found <= bound;
}

/** Lines of the table. */
export function goalLines(goals: readonly Goal[]): readonly string[] {
  const measured = goals.filter(({ found }) => found !== undefined);
  const met = measured.filter(isMet).length;
  const lines = goals.map((goal) => {
    const { what, wanted, bound, found, where } = goal;
    const words = [
      what.padEnd(52),
      `${wanted === 'at least' ? '>=' : '<='} ${figure(bound).padEnd(8)}`,
      (found === undefined ? '-' : figure(found)).padStart(8),
      found === undefined ? 'not measured' : isMet(goal) ? 'met' : 'MISSED',
      ...(where === undefined || found === undefined ? [] : [`(${where})`]),
    ];
    return words.join('  ');
  });
  return [...lines, `goals met: ${String(met)} of ${String(measured.length)} measured`];
}

function figure(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : String(Number(value.toFixed(2)));
}

/** The lowest of named figures; undefined of none. */
export function lowest<T extends { readonly name: string }>(
  of: readonly T[],
  figureOf: (one: T) => number,
): { readonly found: number; readonly where: string } | undefined {
  const [first] = [...of].sort((a, b) => figureOf(a) - figureOf(b));
  return first === undefined ? undefined : { found: figureOf(first), where: first.name };
}
