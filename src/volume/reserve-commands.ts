/**
 * Persistent reservation commands through one session (protocol/scsi/persistent-reserve.ts). A target
 * without them answers ILLEGAL REQUEST, which is a fault of kind `error`; RESERVATION CONFLICT is one of
 * kind `fenced`.
 *
 * None of them is sent again when its answer was lost: whoever asked reads keys and holder and decides
 * by what is there, for that is what counts.
 */
import { err, ok, type Result } from '../base/result.ts';
import type { Decoded } from '../protocol/scsi/decode.ts';
import {
  decodeFullStatus,
  decodeReadKeys,
  decodeReadReservation,
  NO_KEY,
  persistentReserveIn,
  persistentReserveOut,
  type Registrant,
  ReserveIn,
  type ReserveInAction,
  ReserveOut,
  type ReserveOutAction,
  reserveOutParameters,
  type Reservation,
} from '../protocol/scsi/persistent-reserve.ts';
import { type CommandContext, type CommandFault, runCommand } from './command.ts';

type Answer<T> = Promise<Result<T, CommandFault>>;

/** Room for 1,023 registrations; a longer list would be cut and is refused. */
const ANSWER_BYTES = 8 + 1_023 * 8;

/** One key for each registration at the device server that this session leads to. */
export async function readKeys(context: CommandContext): Answer<readonly string[]> {
  const read = await reserveIn(context, 'READ KEYS', ReserveIn.READ_KEYS, decodeReadKeys);
  return read.ok ? ok(read.value.keys) : read;
}

/** Who holds the reservation; undefined: nobody. */
export function readHolder(context: CommandContext): Answer<Reservation | undefined> {
  const action = ReserveIn.READ_RESERVATION;
  return reserveIn(context, 'READ RESERVATION', action, decodeReadReservation);
}

/** Who has registered each key; tgt has no such command. */
export function readRegistrants(context: CommandContext): Answer<readonly Registrant[]> {
  return reserveIn(context, 'READ FULL STATUS', ReserveIn.READ_FULL_STATUS, decodeFullStatus);
}

/**
 * Registers `key` for this nexus, whatever it had. `former` is what it may have had: the standard
 * ignores it, istgt needs it to keep a reservation with its holder.
 */
export function register(context: CommandContext, key: string, former = NO_KEY): Answer<void> {
  const action = ReserveOut.REGISTER_AND_IGNORE_EXISTING_KEY;
  return reserveOut(context, 'REGISTER', action, former, key);
}

export function unregister(context: CommandContext, key: string): Answer<void> {
  const action = ReserveOut.REGISTER_AND_IGNORE_EXISTING_KEY;
  return reserveOut(context, 'unregister', action, key, NO_KEY);
}

/** WRITE EXCLUSIVE - REGISTRANTS ONLY, for the nexus that has registered `key`. */
export function reserve(context: CommandContext, key: string): Answer<void> {
  return reserveOut(context, 'RESERVE', ReserveOut.RESERVE, key, NO_KEY);
}

export function release(context: CommandContext, key: string): Answer<void> {
  return reserveOut(context, 'RELEASE', ReserveOut.RELEASE, key, NO_KEY);
}

/**
 * Takes every registration of `victim` away, and the reservation over if one of them holds it; with
 * PREEMPT AND ABORT where the target has it. That is no barrier by itself: tgt has no such command, and
 * istgt aborts only tasks of the nexus that held the reservation. A LOGICAL UNIT RESET has to follow.
 */
export async function preempt(context: CommandContext, key: string, victim: string): Answer<void> {
  const action = ReserveOut.PREEMPT_AND_ABORT;
  const both = await reserveOut(context, 'PREEMPT AND ABORT', action, key, victim);
  if (both.ok || both.error.kind !== 'error') return both;
  return reserveOut(context, 'PREEMPT', ReserveOut.PREEMPT, key, victim);
}

async function reserveOut(
  context: CommandContext,
  what: string,
  action: ReserveOutAction,
  key: string,
  actionKey: string,
): Answer<void> {
  const dataOut = reserveOutParameters(key, actionKey);
  const command = { what, cdb: persistentReserveOut(action), receive: 0, dataOut };
  const result = await runCommand(context, command);
  return result.kind === 'good' ? ok(undefined) : err(result.fault);
}

async function reserveIn<T>(
  context: CommandContext,
  what: string,
  action: ReserveInAction,
  decode: (bytes: Uint8Array) => Decoded<T>,
): Answer<T> {
  const cdb = persistentReserveIn(action, ANSWER_BYTES);
  const result = await runCommand(context, { what, cdb, receive: ANSWER_BYTES });
  if (result.kind === 'fault') return err(result.fault);
  const decoded = decode(result.data);
  if (decoded.ok) return ok(decoded.value);
  return err({
    kind: 'error',
    cause: 'protocol-error',
    detail: `${what}: ${decoded.error.detail}`,
  });
}
