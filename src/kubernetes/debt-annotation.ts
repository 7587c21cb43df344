/**
 * What former nodes of a single-node volume may still have under way at its targets, as the annotation
 * `owner.prioritypath.io/debts` says it (D38: the debt follows the volume, not the node).
 *
 * The claim itself is an entry: written in the patch that names the owner, it says which sessions this
 * node is about to open. So a claim means "may hold writes" from the moment it is made, and a node that
 * takes over without a release can reinstate exactly these sessions. Only a release that pathd has
 * vouched for removes the entry. A release that is not clean replaces the entry by what pathd says.
 *
 * A value that cannot be read never means "no debts": a value that is not understood, in whole or in
 * part, counts as one former node of which nothing is known and which may have written through every
 * path. Writing keeps to a bound, since all annotations of a PV share 256 KiB: entries that do not fit
 * lose their paths, and then mean every path that is configured. Then the addresses that were removed
 * before are lost, and the sessions to reinstate. One node comes to the bound after some 140 edits of
 * addresses during one stage.
 *
 * Pure.
 */
import type { Debt, PathSpec } from '../pathd/api.ts';
import { isPathName } from '../pathd/facts.ts';
import { formatPortal, parsePathUrl } from './path-url.ts';

export type { Debt };
export type DebtEntryPath = Debt['paths'][number];

/** One entry of the annotation. */
export interface DebtEntry {
  readonly debt: Debt;
  /** Written with the claim of the node that it names; that node has not given the volume back. */
  readonly isClaim: boolean;
}

/** Longest value ever written, in bytes. */
export const DEBTS_MAX_BYTES = 16_384;
const ENTRIES_MAX = 32;
const NODE_MAX = 253;
const NAME_MAX = 223;
/** What pathd adds to the name of a path that is kept out and not configured any more. */
const REMOVED = /, removed( \d{1,4})?$/;
const ISID = /^[0-9a-f]{12}$/i;

/** A claim as it is about to be written: every path, under the names that this node has there. */
export function claimEntry(
  node: string,
  nowMs: number,
  paths: readonly Pick<PathSpec, 'name' | 'host' | 'port' | 'targetName' | 'lun'>[],
  nexuses: Nexuses | undefined,
): DebtEntry {
  const isids = new Map(nexuses?.isids.map(({ path, isid }) => [path, isid]));
  return {
    isClaim: true,
    debt: {
      node,
      sinceUnixMs: nowMs,
      allPaths: true,
      initiatorName: nexuses?.initiatorName ?? '',
      paths: paths.map(({ name, host, port, targetName, lun }) => {
        const isid = isids.get(name) ?? '';
        return { name, host, port, targetName, lun, isid, keptOut: false };
      }),
    },
  };
}

/** Who a node is to its targets, as pathd says it; undefined: pathd is older and does not. */
export interface Nexuses {
  readonly initiatorName: string;
  readonly isids: readonly { readonly path: string; readonly isid: string }[];
}

/** The sessions of both: the later entry's name counts, and every path of either is named. */
export function mergeNexuses({ isClaim, debt }: DebtEntry, more: DebtEntry): DebtEntry {
  const initiatorName = more.debt.initiatorName || debt.initiatorName;
  return { isClaim, debt: { ...debt, initiatorName, paths: [...debt.paths, ...more.debt.paths] } };
}

/** A former node of which nothing but the name is known; empty: not even the name. */
export function unknownDebt(node: string, nowMs: number): Debt {
  return { node, sinceUnixMs: nowMs, allPaths: true, initiatorName: '', paths: [] };
}

/**
 * What the annotation says; undefined: there is none. What is not understood is a former node that may
 * have written through every path, until now.
 */
export function parseDebts(text: string | undefined, nowMs: number): readonly DebtEntry[] {
  if (text === undefined) return [];
  const unknown: DebtEntry = { isClaim: false, debt: unknownDebt('', nowMs) };
  const list = text.length > 2 * DEBTS_MAX_BYTES ? undefined : parseList(text);
  if (list === undefined) return [unknown];
  const entries = list.map((value) => parseEntry(value, nowMs) ?? unknown);
  // Many that say nothing say no more than one.
  const good = entries.filter((entry) => entry !== unknown);
  return good.length === entries.length ? good : [...good, unknown];
}

/** The entries as the annotation's value; undefined: it is to be removed. */
export function formatDebts(entries: readonly DebtEntry[]): string | undefined {
  if (entries.length === 0) return undefined;
  const kept = [...entries];
  let text = write(kept);
  // The longest lists of paths go first: without its list an entry means every path.
  while (Buffer.byteLength(text) > DEBTS_MAX_BYTES) {
    const longest = kept.reduce(
      (best, { debt }, index) =>
        debt.paths.length > (kept[best]?.debt.paths.length ?? 0) ? index : best,
      0,
    );
    const entry = kept[longest];
    if (entry === undefined || entry.debt.paths.length === 0) break;
    kept[longest] = { ...entry, debt: { ...entry.debt, allPaths: true, paths: [] } };
    text = write(kept);
  }
  return text;
}

/**
 * Entries that differ in their time say no more than the latest of them: each attempt of a stage that fails
 * leaves one. Too many become one of which only the time is known.
 */
export function mergeDebts(entries: readonly DebtEntry[]): readonly DebtEntry[] {
  const latest = new Map<string, DebtEntry>();
  for (const entry of entries) {
    const what = write([{ ...entry, debt: { ...entry.debt, sinceUnixMs: 0 } }]);
    const before = latest.get(what);
    if (before !== undefined && before.debt.sinceUnixMs >= entry.debt.sinceUnixMs) continue;
    latest.set(what, entry);
  }
  const different = [...latest.values()];
  if (different.length <= ENTRIES_MAX) return different;
  const [kept, rest] = [different.slice(0, ENTRIES_MAX - 1), different.slice(ENTRIES_MAX - 1)];
  const sinceUnixMs = Math.max(...rest.map(({ debt }) => debt.sinceUnixMs));
  return [...kept, { isClaim: false, debt: unknownDebt('', sinceUnixMs) }];
}

// ------------------------------------------------------------------------------------- the text

/** `p0 iscsi://10.0.0.1:3260/iqn.…/1 isid=400001370000 kept-out`: one word a fact, for people too. */
function formatPath({ name, host, port, targetName, lun, isid, keptOut }: DebtEntryPath): string {
  const words = [
    encodeURI(name),
    `iscsi://${formatPortal({ host, port })}/${targetName}/${String(lun)}`,
  ];
  if (isid !== '') words.push(`isid=${isid}`);
  if (keptOut) words.push('kept-out');
  return words.join(' ');
}

function write(entries: readonly DebtEntry[]): string {
  return JSON.stringify(
    entries.map(({ isClaim, debt }) => ({
      node: debt.node,
      ...(isClaim ? { claim: true } : {}),
      since: new Date(debt.sinceUnixMs).toISOString(),
      ...(debt.allPaths ? { every: true } : {}),
      ...(debt.initiatorName === '' ? {} : { as: debt.initiatorName }),
      ...(debt.paths.length === 0 ? {} : { paths: debt.paths.map(formatPath) }),
    })),
  );
}

function parseList(text: string): readonly unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    // None at all is no value that is ever written.
    return Array.isArray(value) && value.length > 0 ? value : undefined;
  } catch {
    return undefined;
  }
}

const FIELDS: ReadonlySet<string> = new Set(['node', 'claim', 'since', 'every', 'as', 'paths']);

/** undefined: not understood. A field of a later version may say more than is known here. */
function parseEntry(value: unknown, nowMs: number): DebtEntry | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if (Object.keys(value).some((key) => !FIELDS.has(key))) return undefined;
  const fields = value as Record<string, unknown>;
  const { node, claim = false, since, every = false, as = '', paths = [] } = fields;
  const sinceUnixMs = typeof since === 'string' ? Date.parse(since) : Number.NaN;
  if (typeof node !== 'string' || node.length > NODE_MAX || Number.isNaN(sinceUnixMs)) {
    return undefined;
  }
  if (typeof claim !== 'boolean' || typeof every !== 'boolean') return undefined;
  if (typeof as !== 'string' || as.length > NAME_MAX || !Array.isArray(paths)) return undefined;
  const read = paths.map(parsePath).filter((path) => path !== undefined);
  if (read.length !== paths.length) return undefined;
  return {
    isClaim: claim,
    debt: {
      node,
      // The clock of another node may be ahead: what counts from then on counts from now.
      sinceUnixMs: Math.min(sinceUnixMs, nowMs),
      allPaths: every || claim,
      initiatorName: as,
      paths: read,
    },
  };
}

function parsePath(value: unknown): DebtEntryPath | undefined {
  if (typeof value !== 'string') return undefined;
  const [written = '', url = '', ...words] = value.split(' ');
  // "p0, removed"
  const name = written.replaceAll('%20', ' ');
  const target = parsePathUrl(url);
  if (!target.ok || !isPathName(name.replace(REMOVED, ''))) return undefined;
  const [isids, others] = [
    words.filter((word) => word.startsWith('isid=')).map((word) => word.slice(5)),
    words.filter((word) => !word.startsWith('isid=')),
  ];
  const [isid = ''] = isids;
  if (isids.length > 1 || (isid !== '' && !ISID.test(isid))) return undefined;
  if (others.some((word) => word !== 'kept-out')) return undefined;
  return { name, ...target.value, isid, keptOut: others.length > 0 };
}

function unimposed(what: 'write' | 'use'): string {
  return (
    `Several nodes may ${what} this volume, so that is imposed on none of them: restart those targets, or ` +
    'wait as long as they keep the commands of a lost initiator, before what it wrote is relied on or ' +
    'written anew'
  );
}

/** `node`: the node that tells it. */
function listOf(debts: readonly Debt[], node: string): string {
  const of = (debt: Debt): string => {
    const listed = debt.paths.map((path) => `${path.name} (${formatPortal(path)})`).join(', ');
    const what = debt.allPaths ? 'every path' : listed || 'its registrations';
    return debt.node === node && node !== '' ? what : `${what} of node ${debt.node || 'unknown'}`;
  };
  return debts.map(of).join('; ');
}

/** For people: what a node that has given the volume back may still have under way. */
export function describeLeft(node: string, debts: readonly Debt[], isClaimed: boolean): string {
  const after = isClaimed
    ? 'The node that has the volume next fences that before its first write'
    : unimposed('write');
  const left = listOf(debts, node);
  return `node ${node} has given the volume back and has left this at its targets: ${left}. ${after}`;
}

/** For people: what stands on a PersistentVolume that is attached unclaimed; undefined: nothing. */
export function describeStanding(text: string | undefined, nowMs: number): string | undefined {
  const debts = parseDebts(text, nowMs).flatMap(({ isClaim, debt }) => (isClaim ? [] : [debt]));
  if (debts.length === 0) return undefined;
  return `a former node has left this at the targets: ${listOf(debts, '')}. ${unimposed('use')}`;
}
