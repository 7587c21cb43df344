/**
 * What may still take effect after this node has let the volume go, as its record has it: a debt of its
 * own, and those of former nodes that are not paid.
 */
import type { SessionTarget } from '../../ports/session.ts';
import type { Debt, DebtPath } from '../record/debt.ts';
import type { RecordedNexus } from '../record/debt.ts';
import { writtenAt, type VolumeRecord } from '../record/record.ts';
import { removedName } from '../unit/path-key.ts';
import { sameAddress } from './debt-addresses.ts';

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

/**
 * What has to stand on the volume's claim beside the claim itself, which names the paths that are configured:
 * debts of former nodes that are not paid, and paths of this node that are kept out, or that may hold
 * writes and are not `served` by this process. After a crash the next owner knows of them from there alone.
 */
export function unpaidOf(
  record: VolumeRecord,
  initiatorName: string,
  nowUnixMs: number,
  served: readonly string[],
): readonly Debt[] {
  const mayHoldWrites = record.mayHoldWrites.filter((name) => !served.includes(name));
  const unserved = { ...record, mayHoldWrites, keysLeft: undefined };
  return debtsOf(unserved, initiatorName, nowUnixMs);
}

/** A path of this node, as another node would have to fence it. */
export function debtPath(record: VolumeRecord, name: string, keptOut = false): DebtPath {
  const nexus = record.nexuses?.[name];
  const at = writtenAt(record, name) ?? nexus;
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

interface ConfiguredPath {
  readonly name: string;
  readonly target: SessionTarget;
  readonly isid: string;
}

type NexusByPath = Readonly<Record<string, RecordedNexus>>;

function nexusesOf(paths: readonly ConfiguredPath[]): NexusByPath {
  return Object.fromEntries(paths.map(({ name, target, isid }) => [name, { ...target, isid }]));
}

/** The logins of this node on every path: configured ones, and removed ones that are kept out. */
export function nexusesNow(record: VolumeRecord, paths: readonly ConfiguredPath[]): NexusByPath {
  const { mayHoldWrites, keptOut = [], nexuses = {} } = record;
  const needed = new Set([...mayHoldWrites, ...keptOut]);
  const old = Object.entries(nexuses).filter(([name]) => needed.has(name));
  return { ...Object.fromEntries(old), ...nexusesOf(paths) };
}

/**
 * These paths are kept out from now on. Where each was written to is kept with it: the path that may hold writes is
 * another one by then. One that gets the name of a removed path has been known under its own.
 */
export function keptOutNow(
  { keptOut = [], keptAt = {}, heldAt }: VolumeRecord,
  names: readonly string[],
): Pick<VolumeRecord, 'keptOut' | 'keptAt'> {
  if (names.length === 0) return { keptOut: undefined, keptAt: undefined };
  const at = names.flatMap((name) => {
    const before = name.split(',')[0] ?? name;
    const address = keptOut.includes(name) ? keptAt[name] : (keptAt[before] ?? heldAt[before]);
    return address === undefined ? [] : [[name, address] as const];
  });
  return { keptOut: names, keptAt: Object.fromEntries(at) };
}

/**
 * The record for these paths: a path that is kept out and was removed or moved while the volume was not
 * attached is known as removed. Else a login at its new address would be taken for the end of its writes.
 */
export function withMovedOut(record: VolumeRecord, paths: readonly ConfiguredPath[]): VolumeRecord {
  const { keptOut = [], keptAt = {}, nexuses = {} } = record;
  const names = new Set(keptOut);
  const moved: Record<string, RecordedNexus> = {};
  const movedAt: Record<string, string> = {};
  for (const name of keptOut.filter((one) => !isRemoved(one))) {
    const target = paths.find((path) => path.name === name)?.target;
    const nexus = nexuses[name];
    if (target !== undefined && (nexus === undefined || sameAddress(nexus, target))) continue;
    const now = removedName(name, names);
    names.delete(name);
    names.add(now);
    if (nexus !== undefined) moved[now] = nexus;
    if (keptAt[name] !== undefined) movedAt[now] = keptAt[name];
  }
  const isSame = keptOut.every((name) => names.has(name));
  if (isSame) return record;
  const rest = Object.entries(keptAt).filter(([name]) => names.has(name));
  return {
    ...record,
    keptOut: [...names],
    keptAt: { ...Object.fromEntries(rest), ...movedAt },
    nexuses: { ...nexuses, ...moved },
  };
}

/** Names of paths have no comma. */
export function isRemoved(name: string): boolean {
  return name.includes(',');
}

/** Before a change: what arrives is written to, and what leaves may be kept out by then. */
export function nexusesForChange(
  record: VolumeRecord,
  leaving: readonly string[],
  after: readonly ConfiguredPath[],
): NexusByPath {
  const { nexuses = {}, keptOut = [] } = record;
  const left = leaving.flatMap((name) => {
    const nexus = nexuses[name];
    return nexus === undefined ? [] : [[removedName(name, keptOut), nexus] as const];
  });
  return { ...nexuses, ...Object.fromEntries(left), ...nexusesOf(after) };
}

/** It was not left cleanly: the next node has to know since when. */
export function leavesAnything({ mayHoldWrites, keptOut, keysLeft, debts }: VolumeRecord): boolean {
  const leavesPaths = mayHoldWrites.length > 0 || (keptOut ?? []).length > 0;
  return leavesPaths || keysLeft === true || (debts ?? []).length > 0;
}

/** A reservation of this node keeps out what a former node may still bring. */
export function owesReservation({ debts = [] }: VolumeRecord): boolean {
  return debts.some(({ paths }) => paths.some(({ keptOut }) => keptOut));
}
