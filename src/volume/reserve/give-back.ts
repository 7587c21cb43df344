/**
 * The end of a reservation: the keys of this node go from a device server, and the reservation with them.
 */
import type { CommandContext } from '../unit/command.ts';
import * as pr from '../unit/reserve-commands.ts';
import type { ReservationKeyScheme, Nexus } from './nexus.ts';

interface Manner {
  /** Another volume of this node has the unit: only the key of this login goes. */
  readonly isAnothers: boolean;
  readonly stepMs: number;
}

/** Whether its key, and those of this node beside it, are gone for sure. */
export async function giveBack(
  { open, key, persists }: Nexus,
  ring: ReservationKeyScheme,
  { isAnothers, stepMs }: Manner,
): Promise<boolean> {
  const context = (): CommandContext => open(stepMs);
  const keys = await pr.readKeys(context());
  if (!keys.ok) return false;
  if (!keys.value.includes(key)) return true;
  const others = keys.value.filter((other) => ring.has(other) && other !== key);
  let gone = true;
  for (const other of isAnothers ? [] : new Set(others)) {
    const preempted = await pr.preempt(context(), key, other);
    gone = preempted.ok && gone;
  }
  const holder = await pr.readHolder(context());
  if (holder.ok && holder.value?.key === key) await pr.release(context(), key);
  const unregistered = await pr.unregister(context(), key, persists);
  return gone && unregistered.ok;
}
