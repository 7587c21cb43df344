/**
 * The rung `preempt` (D15): an abandoned nexus loses its registration through another one at the same device
 * server. What makes it a fence, step by step:
 *
 *   1. The unit is reserved WRITE EXCLUSIVE - REGISTRANTS ONLY by a key of this node: read, not believed.
 *      From the loss of its registration on, what the old nexus brings is refused with RESERVATION
 *      CONFLICT, however late: also what lies in the socket of a frozen front end, or in a network that
 *      heals. PREEMPT AND ABORT alone, without a reservation, ends what the device server has and lets
 *      in what comes after.
 *   2. PREEMPT takes the registrations of the old path, and the reservation over if one of them holds it:
 *      there is no moment without one. Read back: gone, ours is there, the reservation is ours.
 *   3. LOGICAL UNIT RESET, answer awaited: what passed the check before step 2 has ended. Always, for tgt
 *      has no PREEMPT AND ABORT and istgt's aborts the tasks of a holder only.
 *   4. SYNCHRONIZE CACHE, as after the reset rung.
 */
import { err, type Result } from '../../base/result.ts';
import type { CommandContext } from '../unit/command.ts';
import { emptyCache } from '../unit/empty-cache.ts';
import { preempt } from '../unit/reserve-commands.ts';
import type { Victim } from '../unit/session-key.ts';
import type { FenceLimits } from '../unit/unit-reset.ts';
import { whileAnswering } from '../unit/while-answering.ts';
import { type ReservationKeyScheme, readReservation, type Nexus } from './nexus.ts';

export interface PreemptOptions {
  readonly through: Nexus;
  readonly ring: ReservationKeyScheme;
  /** The abandoned path. */
  readonly victim: Pick<Victim, 'isid' | 'key'>;
  /** Whose keys those of the abandoned path are; absent: of this node. */
  readonly theirs?: ReservationKeyScheme;
  /** Its key was seen there in an earlier attempt, which did not come to its end. */
  readonly begun: boolean;
  readonly onBegin: () => void;
  readonly limits: FenceLimits;
}

/** The error says why it is not fenced, for people. */
export async function preemptNexus(options: PreemptOptions): Promise<Result<void, string>> {
  const { through, ring, victim, theirs = ring, begun, onBegin, limits } = options;
  const context = (): CommandContext => through.open(limits.stepMs);
  const before = await readReservation(context());
  if (!before.ok) return err(before.error.detail);
  const { keys, holder } = before.value;
  if (!ring.isReservedByUs(holder)) return err('the unit is not reserved for this node');
  if (!keys.includes(through.key)) return err(`${through.name} has lost its key`);
  const victims = [...new Set(keys.filter((key) => theirs.isOf(victim, key)))];
  // Seen there it is the same device server, now: where it is not, nothing is known about the old nexus. A
  // key of another login of the path may have been left there before it led elsewhere.
  const isThere = victim.key === undefined ? victims.length > 0 : keys.includes(victim.key);
  if (!isThere && !begun) return err('its key is not registered there');
  onBegin();
  for (const key of victims) await preempt(context(), through.key, key);
  const after = await readReservation(context());
  if (!after.ok) return err(after.error.detail);
  const left = after.value.keys.some((key) => theirs.isOf(victim, key));
  if (left || !after.value.keys.includes(through.key))
    return err('its key could not be taken away');
  if (!ring.isReservedByUs(after.value.holder)) return err('the reservation did not hold');
  return endTasks(through, limits);
}

/** What passed the check before ends, and the cache is emptied, while the target answers pings. */
async function endTasks(
  { open, session }: Nexus,
  { stepMs, resetMs, flushMs }: FenceLimits,
): Promise<Result<void, string>> {
  const work = async (): Promise<Result<void, string>> => {
    const reset = await session.resetLogicalUnit(resetMs);
    if (!reset.ok) return err(reset.error.detail);
    const emptied = await emptyCache(open(flushMs));
    return emptied.ok ? emptied : err(emptied.error.detail);
  };
  const done = await whileAnswering(session, { clock: open(stepMs).clock, stepMs }, work());
  return done === 'silent' ? err('its target has fallen silent') : done;
}
