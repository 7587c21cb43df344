/** Progress and result in a terminal. */
import { listed, sum, type Tally } from './tally.ts';

export function progressLine(tally: Tally, seconds: number, seed: number): string {
  const { switches, rounds, total, faults, findings } = tally;
  const moved = switches.failover + switches.failback;
  return (
    `${seconds.toFixed(0).padStart(5)} s  round ${String(rounds)} (seed ${String(seed)})  ` +
    `${String(total)} operations  ${String(sum(faults))} faults (${listed(faults)})  ` +
    `${String(moved)} switches  ${String(findings)} findings`
  );
}

export function table(tally: Tally, seconds: number): string {
  const { rounds, operations, total, faults, switches, fences } = tally;
  const { unknown, failed, ...done } = operations;
  const kinds = Object.entries(done).map(([kind, count]) => `${kind} ${String(count)}`);
  const rows: readonly (readonly [string, string])[] = [
    ['time', `${seconds.toFixed(0)} s, ${String(rounds)} rounds`],
    ['operations', `${String(total)}: ${kinds.join(', ')}`],
    ['  no answer', `${String(unknown)} (the worker was killed)`],
    [
      '  errors',
      `${String(failed)} (volume failed ${String(tally.latched)} times: no path for too long)`,
    ],
    ['faults', `${String(sum(faults))}: ${listed(faults)}`],
    [
      'failovers',
      `${String(switches.failover)}, failbacks ${String(switches.failback)}, nexus restarts ${String(switches.restart)}`,
    ],
    ['fences', `${listed(fences)}; ${String(tally.held)} times none worked at first`],
    ['replayed', `${String(tally.replayed)} writes`],
    ['worker starts', String(tally.starts)],
    ['bans', `${String(tally.bans)} (another logical unit at the portal)`],
    ['findings', String(tally.findings)],
  ];
  return rows.map(([name, value]) => `${name.padEnd(14)} ${value}`).join('\n');
}
