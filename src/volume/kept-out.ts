/**
 * Paths of this node that were fenced by `preempt` and are not configured any more: no probe logs into them, so
 * nothing else would ever end what they may bring, and the reservation would have to stay for good. This node
 * pays them itself, as it pays those of others (debts.ts): a login under its own name and ISID where they were
 * written to, LOGICAL UNIT RESET, SYNCHRONIZE CACHE.
 *
 * Only while none of its commands is under way, for a reset ends them all: before it logs in itself, and at the
 * end, when everything is flushed. One that cannot be paid stays on record, and kept out, until the next time.
 */
import { fenceTerms, limitsOf } from './fence/fence.ts';
import type { Debts } from './debt/debts.ts';
import { debtPath, isRemoved } from './debt/left-behind.ts';
import type { VolumePath } from './link/path-board.ts';
import type { Policy } from '../paths/policy.ts';
import { writtenAt } from './record/record.ts';
import type { RecordKeeper } from './record/record-keeper.ts';
import type { Reservations } from './reserve/reservations.ts';
import type { VolumeOptions } from './volume-types.ts';

/** What all of them together may cost an attach, and a detach. */
export const PAY_REMOVED_MS = 5_000;

interface Payer {
  readonly options: VolumeOptions;
  readonly policy: () => Policy;
  readonly keeper: RecordKeeper;
  readonly debts: Debts;
  readonly reservations: Reservations;
}

/** `inUse`: paths whose sessions a login under their ISID would end. */
export async function payRemoved(payer: Payer, inUse: readonly VolumePath[]): Promise<void> {
  const { options, policy, keeper, debts, reservations } = payer;
  const { clock, readOnly, singleNode } = options;
  // No commands of another initiator are ended, and a volume that is only read pays nothing.
  if (readOnly || singleNode === false) return;
  const { stepMs, resetMs, flushMs } = limitsOf(fenceTerms(policy()));
  const until = clock.now() + PAY_REMOVED_MS;
  for (const name of keeper.record.keptOut?.filter(isRemoved) ?? []) {
    const leftMs = until - clock.now();
    if (leftMs <= 0) return;
    const path = debtPath(keeper.record, name, true);
    // What was configured need not be where a redirect has led.
    const isKnown = writtenAt(keeper.record, name) !== undefined && path.isid !== '';
    const isOurs = inUse.some(
      ({ isid, target }) => isid === path.isid && target.targetName === path.targetName,
    );
    if (!isKnown || isOurs) continue;
    const within = (limitMs: number): number => Math.min(limitMs, leftMs);
    const limits = { stepMs: within(stepMs), resetMs: within(resetMs), flushMs: within(flushMs) };
    if (await debts.payOwn(path, limits)) await reservations.paid(name);
  }
}
