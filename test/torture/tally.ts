/** What has happened so far, counted over all rounds; and what was found. */

export interface Finding {
  /** Seed of the round. */
  readonly seed: number;
  /** Of which rule: stale, latch, error, ban, disowned, stranger, stuck, worker. */
  readonly rule: string;
  readonly what: string;
  /** For a file: the history around it, a line each. */
  readonly story: readonly string[];
}

export class Tally {
  rounds = 0;
  readonly operations = {
    read: 0,
    write: 0,
    flush: 0,
    discard: 0,
    'write-zeroes': 0,
    unknown: 0,
    failed: 0,
  };
  /** By kind. */
  readonly faults = new Map<string, number>();
  readonly switches = { failover: 0, failback: 0, restart: 0 };
  /** Rungs by name, of failovers. */
  readonly fences = new Map<string, number>();
  replayed = 0;
  /** I/O was held because no fence worked. */
  held = 0;
  /** Volumes that latched failed after no-path-timeout. */
  latched = 0;
  /** Starts of the worker, those that were refused included. */
  starts = 0;
  bans = 0;
  findings = 0;

  get total(): number {
    const { read, write, flush, discard, 'write-zeroes': zeroes } = this.operations;
    return read + write + flush + discard + zeroes;
  }
}

export function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** "kill 3, stop 1", most of them first. */
export function listed(counts: ReadonlyMap<string, number>): string {
  const entries = [...counts].sort((a, b) => b[1] - a[1]);
  return entries.map(([name, count]) => `${name} ${String(count)}`).join(', ') || 'none';
}

export function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((all, count) => all + count, 0);
}
