/** What `discover` has found, as text. Pure. */
import type { DiscoveredPortal } from '../../host/iscsi/initiator-discovery.ts';
import type { Portal } from '../../ports/session.ts';
import { formatPortal } from '../../protocol/iscsi/address.ts';
import { formatBytes, plural, printable } from '../terminal-text.ts';
import type { UnitSummary } from './unit.ts';

export interface FoundLuns {
  readonly units: readonly UnitSummary[];
  /** Why there are no more; empty: there are none. */
  readonly problem: string;
}

export interface FoundTarget {
  readonly targetName: string;
  readonly portals: readonly DiscoveredPortal[];
  /** Absent: not asked for. */
  readonly luns?: FoundLuns;
}

export function renderDiscovery(asked: Portal, targets: readonly FoundTarget[]): string {
  if (targets.length === 0) {
    return `${formatPortal(asked)} has no target for this initiator name (it may have some for others)`;
  }
  return [
    `${formatPortal(asked)} has ${plural(targets.length, 'target')}`,
    ...targets.flatMap(renderTarget),
  ].join('\n');
}

function renderTarget({ targetName, portals, luns }: FoundTarget): string[] {
  return [
    '',
    printable(targetName),
    ...portals.map((portal) => {
      const group = portal.tpgt === undefined ? '' : `  portal group ${String(portal.tpgt)}`;
      return `  ${printable(formatPortal(portal))}${group}`;
    }),
    ...(luns === undefined ? [] : renderLuns(luns)),
  ];
}

function renderLuns({ units, problem }: FoundLuns): string[] {
  const rows = units.map(({ lun, type, product, sizeBytes }) => [
    `LUN ${String(lun)}`,
    type,
    sizeBytes === undefined ? '-' : formatBytes(sizeBytes),
    printable(product),
  ]);
  const widths = [0, 1, 2].map((column) =>
    Math.max(0, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const lines = rows.map((row) =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd(),
  );
  return problem === '' ? lines : [...lines, `  not all: ${printable(problem)}`];
}
