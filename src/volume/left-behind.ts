/**
 * What may still take effect after this node has let the volume go, as its record has it: a debt of its
 * own, and those of earlier holders that are not settled.
 */
import type { Debt, DebtPath } from './debt.ts';
import { holder, type VolumeRecord } from './record.ts';

/** `nowUnixMs`: for a record that does not say since when. */
export function debtsOf(
  record: VolumeRecord,
  initiatorName: string,
  nowUnixMs: number,
): readonly Debt[] {
  const { mayHoldWrites, keptOut = [], debts = [], leftUnixMs } = record;
  const held = mayHoldWrites.map((name) => debtPath(record, name, false));
  const out = keptOut.filter((name) => !mayHoldWrites.includes(name));
  const paths = [...held, ...out.map((name) => debtPath(record, name, true))];
  if (paths.length === 0 && record.keysLeft !== true) return debts;
  const sinceUnixMs = leftUnixMs ?? nowUnixMs;
  return [{ node: '', sinceUnixMs, allPaths: false, initiatorName, paths }, ...debts];
}

function debtPath(record: VolumeRecord, name: string, keptOut: boolean): DebtPath {
  const nexus = record.nexuses?.[name];
  const at = holder(record, name) ?? nexus;
  return {
    name,
    host: at?.host ?? '',
    port: at?.port ?? 0,
    targetName: nexus?.targetName ?? '',
    lun: nexus?.lun ?? 0,
    isid: nexus?.isid ?? '',
    keptOut,
  };
}
