/**
 * Which addresses a debt is about, what is left of it when some are done with, and which debts a volume has
 * to carry when it is attached. Pure.
 *
 * Two sources say what there is: the cluster's claim, as csi hands it over, and the record of this node.
 * Of this node's own writes its record is never behind the truth. Of those of others the claim knows
 * best, where csi vouches that it is complete: a debt that it does not name any more was paid by a later
 * node.
 */
import type { SessionTarget } from '../../ports/session.ts';
import { formatPortal } from '../../protocol/iscsi/address.ts';
import type { Debt, DebtPath } from '../record/debt.ts';
import { writtenAt, type VolumeRecord } from '../record/record.ts';

export interface DebtAddress extends DebtPath {
  /** Written to at this very address; else configured so, and a redirect may have led elsewhere. */
  readonly isWritten: boolean;
}

interface ConfiguredPath {
  readonly name: string;
  readonly target: SessionTarget;
}

/** Which node had the volume before is not known. */
export function isUnknownHistory({ node, initiatorName, allPaths }: Debt): boolean {
  return allPaths && node === '' && initiatorName === '';
}

/** Nothing of it can take effect: it only names whose registrations are left. */
export function isOfKeysAlone({ allPaths, paths }: Debt): boolean {
  return !allPaths && paths.length === 0;
}

export function unknownHistory(nowUnixMs: number): Debt {
  return { node: '', sinceUnixMs: nowUnixMs, allPaths: true, initiatorName: '', paths: [] };
}

/** Every address that may execute writes: those listed and, of a claim never released, those configured. */
export function dueAddresses(debt: Debt, paths: readonly ConfiguredPath[]): DebtAddress[] {
  const { allPaths } = debt;
  const due = debt.paths.map((path): DebtAddress => ({ ...path, isWritten: !allPaths }));
  if (!allPaths) return due;
  for (const { name, target } of paths) {
    const listed = debt.paths.filter((path) => path.name === name);
    if (listed.some((path) => sameAddress(path, target))) continue;
    // Moved since: under this name it has had this ISID.
    const isid = listed[0]?.isid ?? '';
    due.push({ name, ...target, isid, keptOut: false, isWritten: false });
  }
  return due;
}

export function sameAddress(a: SessionTarget, b: SessionTarget): boolean {
  const { host, port, targetName, lun } = a;
  return host === b.host && port === b.port && targetName === b.targetName && lun === b.lun;
}

/** The debt as it is with these addresses still to be fenced, and those kept out by our reservation alone. */
export function openDebts(
  debt: Debt,
  open: readonly DebtAddress[],
  keptOut: readonly DebtAddress[],
): readonly Debt[] {
  // As long as one is open the claim stands as it was made: which paths are configured may change.
  const out = { ...debt, paths: keptOut.map((at) => pathOf(at, true)) };
  if (debt.allPaths && open.length > 0) return [withKeptOut(debt, [out])];
  const paths = [...new Set([...open, ...keptOut])].map((at) =>
    pathOf(at, at.keptOut || keptOut.includes(at)),
  );
  return paths.length === 0 ? [] : [{ ...debt, allPaths: false, paths }];
}

function pathOf(at: DebtAddress, keptOut: boolean): DebtPath {
  const { name, host, port, targetName, lun, isid } = at;
  return { name, host, port, targetName, lun, isid, keptOut };
}

export interface Carried {
  /** What this node knows; undefined: it has never had the volume. */
  readonly record: VolumeRecord | undefined;
  /** What the claim says. */
  readonly told: readonly Debt[];
  /** csi vouches that this is all. */
  readonly historyKnown: boolean;
  /** Of this node. */
  readonly initiatorName: string;
}

/** The debts to be fenced before the first write. */
export function carriedDebts(carried: Carried): readonly Debt[] {
  const { record, historyKnown, initiatorName } = carried;
  const recorded = record?.debts ?? [];
  const meanwhile = record === undefined ? [] : keptOutMeanwhile(record, carried);
  const told = carried.told.flatMap((debt) => {
    return debt.initiatorName === initiatorName ? ownDebt(debt, record, meanwhile) : [debt];
  });
  const known = told.map((debt) =>
    withKeptOut(debt, [...recorded, ...told.filter((one) => isOneDeparture(one, debt))]),
  );
  if (historyKnown) return known;
  const names = new Set(told.map(formerNodeOf));
  return [...known, ...recorded.filter((debt) => !names.has(formerNodeOf(debt)))];
}

type Told = Pick<Carried, 'told' | 'initiatorName'>;

/**
 * Paths that may hold writes by the record, and of which a later node says that its reservation keeps them
 * out. What this node knows of them fences nothing any more: that node has taken their keys away. An entry
 * of this node that says less is of a later claim: there the record decides.
 */
function keptOutMeanwhile(
  { mayHoldWrites, heldAt, nexuses = {} }: VolumeRecord,
  { told, initiatorName }: Told,
): readonly string[] {
  const own = told.filter((debt) => debt.initiatorName === initiatorName);
  if (own.some(({ allPaths }) => allPaths)) return [];
  return mayHoldWrites.filter((name) => {
    const nexus = nexuses[name];
    const about = own.flatMap(({ paths }) => paths.filter((path) => path.name === name));
    if (nexus === undefined || about.length === 0) return false;
    const isThis = (path: DebtPath): boolean =>
      path.targetName === nexus.targetName && path.lun === nexus.lun && path.isid === nexus.isid;
    return about.every(
      (path) => path.keptOut && isThis(path) && formatPortal(path) === heldAt[name],
    );
  });
}

/** The record without the paths that a later node has kept out: they are among the debts (carriedDebts). */
export function withoutKeptOut(record: VolumeRecord, told: Told): VolumeRecord {
  const names = new Set(keptOutMeanwhile(record, told));
  if (names.size === 0) return record;
  const left = (of: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
    Object.fromEntries(Object.entries(of).filter(([name]) => !names.has(name)));
  const { mayHoldWrites, heldAt, heldKeys = {} } = record;
  return {
    ...{ ...record, heldAt: left(heldAt), heldKeys: left(heldKeys) },
    mayHoldWrites: mayHoldWrites.filter((name) => !names.has(name)),
    keysLeft: true,
  };
}

/** For our own writes the record decides, unless it was lost: then it has this very debt, or is not there. */
function ownDebt(
  debt: Debt,
  record: VolumeRecord | undefined,
  meanwhile: readonly string[],
): readonly Debt[] {
  const isLost = record?.debts?.some((one) => formerNodeOf(one) === formerNodeOf(debt)) ?? false;
  if (record === undefined || isLost) return [debt];
  if (debt.allPaths) return [];
  const { mayHoldWrites, keptOut = [], nexuses = {} } = record;
  const known = [...mayHoldWrites.filter((name) => !meanwhile.includes(name)), ...keptOut];
  // Kept out it has another name since its path was moved (left-behind.ts).
  const isMoved = (path: DebtPath): boolean =>
    keptOut.some((name) => {
      const nexus = name.startsWith(`${path.name}, `) ? nexuses[name] : undefined;
      return nexus !== undefined && sameAddress({ ...nexus, ...writtenAt(record, name) }, path);
    });
  const paths = debt.paths.filter((path) => !known.includes(path.name) && !isMoved(path));
  return paths.length === 0 ? [] : [{ ...debt, paths }];
}

/** What our reservation keeps out was so since the claim was written, which need not say it yet. */
function withKeptOut(debt: Debt, recorded: readonly Debt[]): Debt {
  const mine = recorded.filter((one) => formerNodeOf(one) === formerNodeOf(debt));
  const out = mine.flatMap(({ paths }) => paths.filter(({ keptOut }) => keptOut));
  const isOut = (path: DebtPath): boolean =>
    out.some((one) => one.name === path.name && sameAddress(one, path));
  return {
    ...debt,
    paths: debt.paths.map((path) => ({ ...path, keptOut: path.keptOut || isOut(path) })),
  };
}

/** Two entries about it: one of them was written when more was known. */
function isOneDeparture(a: Debt, b: Debt): boolean {
  return formerNodeOf(a) === formerNodeOf(b) && a.sinceUnixMs === b.sinceUnixMs;
}

function formerNodeOf({ node, initiatorName }: Debt): string {
  return initiatorName === '' ? `node ${node}` : initiatorName;
}
