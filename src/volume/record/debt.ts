/**
 * What a node may still have under way at targets: which addresses may execute its writes, under which
 * InitiatorName, since when. It follows the volume, not the node (D38): the next node fences each address
 * before its first write.
 *
 * Here is what a debt says and how it is read from a record. What cannot be understood is an error, never
 * "nothing": a debt that is dropped is a path that is not fenced.
 */
import type { SessionTarget } from '../../ports/session.ts';

/** A path as it was configured, and the ISID of a node on it. */
export interface RecordedNexus extends SessionTarget {
  readonly isid: string;
}

/** At the address that was written to, or the configured one; texts are empty where it is not known. */
export interface DebtPath extends RecordedNexus {
  readonly name: string;
  /** Fenced by `preempt` and not logged in since: only a reservation refuses what it brings. */
  readonly keptOut: boolean;
}

export interface Debt {
  /** For people; empty: this node itself, or not known. */
  readonly node: string;
  /** The release, or the take-over: a declared `delay` counts from here. */
  readonly sinceUnixMs: number;
  /** Never released: every path, configured now or listed here, may hold writes. */
  readonly allPaths: boolean;
  /** Of that node; empty: not known. */
  readonly initiatorName: string;
  /** None and not `allPaths`: only keys of that node are left. */
  readonly paths: readonly DebtPath[];
}

type Fields = Record<string, unknown>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

export function parseDebts(value: unknown): readonly Debt[] | undefined | 'malformed' {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) return 'malformed';
  const debts = value.map(debtOf);
  return debts.every((debt) => debt !== undefined) ? debts : 'malformed';
}

function debtOf(value: unknown): Debt | undefined {
  if (!isFields(value)) return undefined;
  const { node, sinceUnixMs, allPaths, initiatorName, paths } = value;
  if (!isText(node) || !isText(initiatorName) || !isCount(sinceUnixMs)) return undefined;
  if (typeof allPaths !== 'boolean' || !Array.isArray(paths)) return undefined;
  const read = paths.map(pathOf);
  if (!read.every((path) => path !== undefined)) return undefined;
  return { node, sinceUnixMs, allPaths, initiatorName, paths: read };
}

function pathOf(value: unknown): DebtPath | undefined {
  if (!isFields(value)) return undefined;
  const { name, keptOut } = value;
  const nexus = nexusOf(value);
  if (!isText(name) || typeof keptOut !== 'boolean' || nexus === undefined) return undefined;
  return { name, ...nexus, keptOut };
}

function nexusOf(value: unknown): RecordedNexus | undefined {
  if (!isFields(value)) return undefined;
  const { host, port, targetName, lun, isid } = value;
  if (!isText(host) || !isText(targetName) || !isText(isid)) return undefined;
  return isCount(port) && isCount(lun) ? { host, port, targetName, lun, isid } : undefined;
}

export function parseNexuses(
  value: unknown,
): Readonly<Record<string, RecordedNexus>> | undefined | 'malformed' {
  if (value === undefined) return undefined;
  if (!isFields(value)) return 'malformed';
  const read = Object.entries(value).map(([name, nexus]) => [name, nexusOf(nexus)] as const);
  const good = read.flatMap(([name, nexus]) =>
    nexus === undefined ? [] : [[name, nexus] as const],
  );
  return good.length === read.length ? Object.fromEntries(good) : 'malformed';
}
