/**
 * Persistent reservation commands through one session (protocol/scsi/persistent-reserve.ts). A target
 * without them answers ILLEGAL REQUEST, which is a fault of kind `error`; RESERVATION CONFLICT is one of
 * kind `fenced`.
 *
 * None of them is sent again when its answer was lost: the caller reads keys and reservation holder and
 * decides by what is there, for that is what counts.
 */
import { err, ok, type Result } from '../../base/result.ts';
import type { Decoded } from '../../protocol/scsi/decode.ts';
import {
  decodeFullStatus,
  decodeReadKeys,
  decodeReadReservation,
  decodeReserveCapabilities,
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
} from '../../protocol/scsi/persistent-reserve.ts';
import { type CommandContext, type CommandFault, runCommand } from './command.ts';

type CommandAnswer<T> = Promise<Result<T, CommandFault>>;

/** Room for 1,023 registrations; a longer list would be cut and is refused. */
const ANSWER_BYTES = 8 + 1_023 * 8;

/** One key for each registration at the device server that this session leads to. */
export async function readKeys(context: CommandContext): CommandAnswer<readonly string[]> {
  const read = await reserveIn(context, 'READ KEYS', ReserveIn.READ_KEYS, decodeReadKeys);
  return read.ok ? ok(read.value.keys) : read;
}

/** The reservation; undefined: there is none. */
export function readHolder(context: CommandContext): CommandAnswer<Reservation | undefined> {
  const action = ReserveIn.READ_RESERVATION;
  return reserveIn(context, 'READ RESERVATION', action, decodeReadReservation);
}

/** The initiator that has registered each key; tgt has no such command. */
export function readRegistrants(context: CommandContext): CommandAnswer<readonly Registrant[]> {
  return reserveIn(context, 'READ FULL STATUS', ReserveIn.READ_FULL_STATUS, decodeFullStatus);
}

/** Whether the target says that it can keep registrations over a loss of its power (PTPL_C). */
export async function readCanPersist(context: CommandContext): Promise<boolean> {
  const what = 'REPORT CAPABILITIES';
  const decode = decodeReserveCapabilities;
  const read = await reserveIn(context, what, ReserveIn.REPORT_CAPABILITIES, decode);
  return read.ok && read.value.persistsThroughPowerLoss;
}

/**
 * Registers `key` for this nexus, whatever it had. `former` is what it may have had: the standard
 * ignores it, istgt needs it to keep a reservation with its holder. `persist`: this registration and all
 * others outlive a loss of power (APTPL); the latest REGISTER decides for all of them.
 */
export function register(
  context: CommandContext,
  key: string,
  former: string,
  persist: boolean,
): CommandAnswer<void> {
  const action = ReserveOut.REGISTER_AND_IGNORE_EXISTING_KEY;
  return reserveOut(context, { what: 'REGISTER', action, key: former, actionKey: key, persist });
}

/** The same, without `persist` where the target refuses that; the value says which it was. */
export async function registerLasting(
  context: CommandContext,
  key: string,
  former: string,
  canPersist: boolean,
): Promise<Result<boolean, CommandFault>> {
  for (const persist of canPersist ? [true, false] : [false]) {
    const done = await register(context, key, former, persist);
    if (done.ok) return ok(persist);
    if (!persist || done.error.kind !== 'error') return done;
  }
  return ok(false);
}

/** `persist`: as the others of this node are registered, or this would end it for them. */
export function unregister(
  context: CommandContext,
  key: string,
  persist: boolean,
): CommandAnswer<void> {
  const action = ReserveOut.REGISTER_AND_IGNORE_EXISTING_KEY;
  return reserveOut(context, { what: 'unregister', action, key, actionKey: NO_KEY, persist });
}

/** WRITE EXCLUSIVE - REGISTRANTS ONLY, for the nexus that has registered `key`. */
export function reserve(context: CommandContext, key: string): CommandAnswer<void> {
  return reserveOut(context, { what: 'RESERVE', action: ReserveOut.RESERVE, key });
}

export function release(context: CommandContext, key: string): CommandAnswer<void> {
  return reserveOut(context, { what: 'RELEASE', action: ReserveOut.RELEASE, key });
}

/**
 * Takes every registration of `victim` away, and the reservation over if one of them holds it; with
 * PREEMPT AND ABORT where the target has it. That is no barrier by itself: tgt has no such command, and
 * istgt aborts only tasks of the nexus that held the reservation. A LOGICAL UNIT RESET has to follow.
 */
export async function preempt(
  context: CommandContext,
  key: string,
  victim: string,
): CommandAnswer<void> {
  const action = ReserveOut.PREEMPT_AND_ABORT;
  const actionKey = victim;
  const both = await reserveOut(context, { what: 'PREEMPT AND ABORT', action, key, actionKey });
  if (both.ok || both.error.kind !== 'error') return both;
  return reserveOut(context, { what: 'PREEMPT', action: ReserveOut.PREEMPT, key, actionKey });
}

interface OutAction {
  readonly what: string;
  readonly action: ReserveOutAction;
  readonly key: string;
  readonly actionKey?: string;
  readonly persist?: boolean;
}

async function reserveOut(
  context: CommandContext,
  { what, action, key, actionKey, persist }: OutAction,
): CommandAnswer<void> {
  const dataOut = reserveOutParameters(key, actionKey, persist);
  const command = { what, cdb: persistentReserveOut(action), receive: 0, dataOut };
  const result = await runCommand(context, command);
  return result.kind === 'good' ? ok(undefined) : err(result.fault);
}

async function reserveIn<T>(
  context: CommandContext,
  what: string,
  action: ReserveInAction,
  decode: (bytes: Uint8Array) => Decoded<T>,
): CommandAnswer<T> {
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
