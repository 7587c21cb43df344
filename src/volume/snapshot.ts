/** What people see of a volume at one moment, put together from its parts. */
import type { PathView } from '../paths/model.ts';
import type { Dispatcher } from './io/dispatch.ts';
import { describeIdentity } from './unit/identity.ts';
import type { IdentityBook } from './unit/identity-book.ts';
import type { PathBoard } from './link/path-board.ts';
import type { SwitchReport } from './switch/switch-report.ts';
import type { VolumeSnapshot } from './volume-types.ts';

/** Switches since attach. */
export interface SwitchHistory {
  last: SwitchReport | undefined;
  failovers: number;
  failbacks: number;
}

interface Parts {
  readonly dispatcher: Dispatcher;
  readonly board: PathBoard;
  readonly book: IdentityBook;
  readonly views: readonly PathView[];
  readonly pinned: string;
  readonly failure: string | undefined;
  readonly stuck: string;
  readonly allDown: boolean;
  readonly history: SwitchHistory;
  readonly members: readonly string[];
}

export function takeSnapshot(parts: Parts): VolumeSnapshot {
  const { dispatcher, board, book, views, failure, history } = parts;
  const { ledger, isHolding: held, ioErrors, route } = dispatcher;
  const { record } = book;
  return {
    state: failure !== undefined ? 'failed' : held ? 'holding' : 'serving',
    reason: reasonOf(parts),
    current: route?.path,
    paths: views.map((view) => ({
      ...view,
      portal: board.link(view.name)?.portal ?? '',
      answered: board.answered(view.name),
      lastError: board.lastError(view.name),
    })),
    lastSwitch: history.last,
    queued: ledger.waiting,
    outstanding: ledger.issued,
    oldest: dispatcher.flights.oldest(),
    ioErrors,
    unflushed: {
      count: ledger.unflushed,
      bytes: ledger.unflushedBytes,
      forcedFlushes: dispatcher.ahead.forced,
    },
    identity: record === undefined ? '' : describeIdentity(record.identity),
    failovers: history.failovers,
    failbacks: history.failbacks,
    preemptible: parts.members.length > 1 ? [parts.members] : [],
    pinned: parts.pinned,
  };
}

function reasonOf({ failure, stuck, dispatcher, allDown, board }: Parts): string {
  if (failure !== undefined) return failure;
  if (stuck !== '') return stuck;
  if (!dispatcher.isHolding) return '';
  return allDown ? `no usable path (${board.problems()})` : 'switching';
}
