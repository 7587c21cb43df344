/**
 * What a volume takes over when it starts (D37, D38, D39): a restart is a failover, and so is a
 * hand-over. Paths that may hold writes of a process of this node before this one, and the debts of
 * former nodes, are fenced before the first write.
 *
 * Of a volume that several nodes write, none resets the unit for the debt of one that has left: the others'
 * commands would end as well. The debt is told.
 */
import type { Instant } from '../base/brand.ts';
import { ok, type Result } from '../base/result.ts';
import type { Policy } from '../paths/policy.ts';
import { formatPortal } from '../protocol/iscsi/address.ts';
import type { Debt } from './record/debt.ts';
import { Debts } from './debt/debts.ts';
import { absentPath, type PathToFence } from './fence/fence.ts';
import { debtPath } from './debt/left-behind.ts';
import type { IdentityBook } from './unit/identity-book.ts';
import type { PathBoard } from './link/path-board.ts';
import type { PathLink } from './link/path-link.ts';
import { Predecessors } from './reserve/predecessors.ts';
import { writtenAt, type StoreError } from './record/record.ts';
import type { RecordKeeper } from './record/record-keeper.ts';
import type { Reservations } from './reserve/reservations.ts';
import type { Switcher } from './switch/switcher.ts';
import type { VolumeOptions } from './volume-types.ts';

interface Heir {
  readonly options: VolumeOptions;
  readonly link: (path: string) => PathLink | undefined;
  readonly switcher: Switcher;
  readonly debts: Debts;
  /** Now, or when the last process before this one ended. */
  readonly quietSince: Instant;
}

/** The error: what is to be fenced could not be put on disk. */
export async function inherit(heir: Heir): Promise<Result<void, StoreError>> {
  const { options, switcher, debts, quietSince } = heir;
  for (const name of options.record.mayHoldWrites) {
    switcher.inherit({ ...ownPath(name, heir), isOfRecord: true }, quietSince);
  }
  if (options.singleNode === false) {
    const left = options.debts ?? [];
    if (left.length > 0) options.onEvent({ kind: 'debts-left', detail: debtsLeft(left) });
    return ok(undefined);
  }
  const recorded = await debts.record();
  // A volume that is only read writes nothing: the debts stay, for the next writer.
  if (!recorded.ok || options.readOnly) return recorded;
  await debts.resetFirst();
  for (const { path, severedAt } of debts.due()) switcher.inherit(path, severedAt);
  return recorded;
}

function ownPath(name: string, { options, link, debts }: Heir): PathToFence {
  const { record } = options;
  const nexus = record.nexuses?.[name];
  const configured = link(name);
  const { target } = configured ?? {};
  const isSame = nexus?.targetName === target?.targetName && nexus?.lun === target?.lun;
  if (configured !== undefined && (nexus === undefined || isSame)) {
    return configured.writtenAt(writtenAt(record, name), record.heldKeys?.[name]);
  }
  return nexus === undefined ? absentPath(name) : debts.ownPath(debtPath(record, name));
}

/** The debts that this volume is to pay. */
export function debtsOfVolume({ singleNode, debts, record }: VolumeOptions): readonly Debt[] {
  return (singleNode === false ? undefined : debts) ?? record.debts ?? [];
}

interface Parts {
  readonly options: VolumeOptions;
  readonly board: PathBoard;
  readonly book: IdentityBook;
  readonly keeper: RecordKeeper;
  readonly reservations: Reservations;
}

export function makeDebts(parts: Parts, policy: () => Policy): Debts {
  const { options, board, book, keeper, reservations } = parts;
  const { initiatorName, clock, initiator, credentials, paths, debtIsids = new Map() } = options;
  const wanted = { initiatorName, clock, initiator, credentials, paths, isids: debtIsids };
  return new Debts(
    {
      ...{ ...wanted, keeper, policy },
      link: (path) => board.link(path),
      haveAnswered: () => board.allAnswered,
      isAnothers: (path) => book.isAnothers(path),
      problem: (path) => board.lastError(path)?.detail,
      preempt: (former, limits) => reservations.fenceFormer(former, limits),
    },
    debtsOfVolume(options),
  );
}

export function predecessorsOf(options: VolumeOptions): Predecessors {
  const debts = debtsOfVolume(options);
  const names = debts.map(({ initiatorName }) => initiatorName);
  const others = names.filter((name) => name !== '' && name !== options.initiatorName);
  const isAnybody = debts.some(({ node, initiatorName }) => node !== '' && initiatorName === '');
  return new Predecessors(others, options.mayTakeOver === true && isAnybody);
}

function debtsLeft(debts: readonly Debt[]): string {
  const all = debts.map(({ node, allPaths, initiatorName, paths }) => {
    const listed = paths.map((path) => `${path.name} (${formatPortal(path)})`).join(', ');
    return `${node === '' ? initiatorName : node}: ${allPaths ? 'every path' : listed}`;
  });
  return (
    `a node has left with writes that may still take effect (${all.join('; ')}). Several nodes write this ` +
    'volume, so the unit is not reset for it: restart those targets, or wait as long as they keep the ' +
    'commands of a lost initiator, before what it wrote is written anew'
  );
}
