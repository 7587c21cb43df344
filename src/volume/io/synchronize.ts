/**
 * SYNCHRONIZE CACHE in the request flow, sent again on the same path while the target is busy, aborts it
 * or has news. Before planned switches and at detach it is flush-cache.ts.
 */
import type { Clock } from '../../ports/clock.ts';
import type { ScsiOutcome } from '../../ports/session.ts';
import { isNeedless, synchronizeCache } from '../unit/empty-cache.ts';
import type { LuFacts } from '../unit/lu.ts';
import { judge, type Verdict } from '../unit/outcome.ts';
import type { AnswerSignal } from './io-signal.ts';
import { ABORTED, ABORTS_MAX, busyPauseMs, LONG_BUSY_TRIES } from './retries.ts';

export interface SyncContext {
  readonly clock: Clock;
  /** Hands the command to the session; `answered` is not called once the path was abandoned. */
  execute(bytes: Uint8Array, answered: (outcome: ScsiOutcome) => void): void;
  /** Whether the path that it began on is still the one. */
  isCurrent(): boolean;
  readonly writeCache: LuFacts['writeCache'];
  /** The path that it began on. */
  readonly path: string;
  readonly emit: (signal: AnswerSignal) => void;
}

/** Sends it; `done` gets good or error, once, unless the path is abandoned first. */
export function synchronize(context: SyncContext, done: (verdict: Verdict) => void): void {
  const { clock, path, emit } = context;
  let aborts = 0;
  const send = (tries: number): void => {
    if (!context.isCurrent()) return;
    context.execute(synchronizeCache().cdb, (outcome) => {
      let verdict = judge(outcome);
      const aborted = verdict.kind === 'retry' && verdict.attention === undefined;
      if (aborted && ++aborts > ABORTS_MAX) verdict = ABORTED;
      const again = conclude(verdict, context, done);
      if (verdict.kind === 'busy' && tries === LONG_BUSY_TRIES) {
        emit({ kind: 'put-off', path, command: 'flush' });
      }
      if (again) clock.after(busyPauseMs(tries), () => send(tries + 1));
    });
  };
  send(0);
}

/** Whether it is to be sent again. */
function conclude(
  verdict: Verdict,
  { path, emit, writeCache }: SyncContext,
  done: (verdict: Verdict) => void,
): boolean {
  switch (verdict.kind) {
    case 'retry':
      if (verdict.attention !== undefined) {
        emit({ kind: 'attention', path, sense: verdict.attention });
      }
      return true;
    case 'busy':
      return true;
    case 'path':
      emit({ kind: 'path-fault', path, verdict });
      return false;
    case 'reservation-conflict':
      emit({ kind: 'conflict', path, detail: verdict.detail });
      return false;
    case 'error': {
      const needless = isNeedless(verdict.error === 'EOPNOTSUPP', writeCache);
      done(needless ? { kind: 'good' } : verdict);
      return false;
    }
    case 'good':
      done(verdict);
      return false;
    case 'unknown':
      return false;
  }
}
