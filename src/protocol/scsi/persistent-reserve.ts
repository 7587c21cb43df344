/**
 * Persistent reservations (SPC-4 5.13, 6.15, 6.16): PERSISTENT RESERVE OUT with its parameter list,
 * PERSISTENT RESERVE IN with its answers. All of them belong to an I_T nexus: a key that is registered
 * through one session is registered for that session's ports and for no other session.
 *
 * A reservation key is eight bytes; here it is 16 lower-case hex digits, for a number cannot hold it.
 */
import { assert } from '../../base/assert.ts';
import { get16, get32, hex, put16, put32 } from '../../base/bytes.ts';
import { ok } from '../../base/result.ts';
import { type Decoded, malformed, short } from './decode.ts';

/** Service actions of PERSISTENT RESERVE OUT (SPC-4 table 211). */
export const ReserveOut = {
  REGISTER: 0x00,
  RESERVE: 0x01,
  RELEASE: 0x02,
  PREEMPT: 0x04,
  PREEMPT_AND_ABORT: 0x05,
  REGISTER_AND_IGNORE_EXISTING_KEY: 0x06,
} as const;
export type ReserveOutAction = (typeof ReserveOut)[keyof typeof ReserveOut];

/** Service actions of PERSISTENT RESERVE IN (SPC-4 table 200). */
export const ReserveIn = {
  READ_KEYS: 0x00,
  READ_RESERVATION: 0x01,
  REPORT_CAPABILITIES: 0x02,
  READ_FULL_STATUS: 0x03,
} as const;
export type ReserveInAction = (typeof ReserveIn)[keyof typeof ReserveIn];

/** WRITE EXCLUSIVE - REGISTRANTS ONLY: registered initiators write, all initiators read (SPC-4 table 206). */
export const WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 0x05;

/** No key: unregisters as SERVICE ACTION RESERVATION KEY. */
export const NO_KEY = '0000000000000000';

const KEY = /^[0-9a-f]{16}$/;
/** Length of the parameter list without transport IDs (SPC-4 6.16.3); some targets take no other. */
const PARAMETER_LIST_BYTES = 24;

/**
 * CDB of a service action. The scope is the logical unit, the type that of RESERVE, RELEASE and the
 * PREEMPTs; the others ignore it.
 */
export function persistentReserveOut(
  action: ReserveOutAction,
  type: number = WRITE_EXCLUSIVE_REGISTRANTS_ONLY,
): Uint8Array {
  const cdb = new Uint8Array(10);
  cdb[0] = 0x5f;
  cdb[1] = action;
  cdb[2] = type & 0x0f;
  put32(cdb, 5, PARAMETER_LIST_BYTES);
  return cdb;
}

/**
 * The parameter list that goes with it: SPEC_I_PT and ALL_TG_PT are 0. `key` is what this nexus has
 * registered, `actionKey` what is to be registered or preempted. `persist` (APTPL): all registrations and
 * the reservation outlive a loss of power, until a REGISTER says otherwise.
 */
export function reserveOutParameters(key: string, actionKey = NO_KEY, persist = false): Buffer {
  assert(KEY.test(key) && KEY.test(actionKey), 'a reservation key is 16 hex digits');
  const list = Buffer.alloc(PARAMETER_LIST_BYTES);
  list.write(key, 0, 'hex');
  list.write(actionKey, 8, 'hex');
  list[20] = persist ? 1 : 0;
  return list;
}

export function persistentReserveIn(action: ReserveInAction, allocationLength: number): Uint8Array {
  const cdb = new Uint8Array(10);
  cdb[0] = 0x5e;
  cdb[1] = action;
  put16(cdb, 7, allocationLength);
  return cdb;
}

export interface RegisteredKeys {
  /** Counts changes of the set of keys, 32 bits, wraps. */
  readonly generation: number;
  /** One for each registration, so a key may repeat. */
  readonly keys: readonly string[];
}

/** READ KEYS parameter data (SPC-4 6.15.2). One that does not fit the allocation length is refused. */
export function decodeReadKeys(bytes: Uint8Array): Decoded<RegisteredKeys> {
  if (bytes.length < 8) return short('READ KEYS data', 8, bytes.length);
  const length = get32(bytes, 4);
  if (length % 8 !== 0) return malformed(`READ KEYS: a list of ${length} bytes`);
  if (8 + length > bytes.length) return short('READ KEYS data', 8 + length, bytes.length);
  const keys: string[] = [];
  for (let at = 8; at < 8 + length; at += 8) keys.push(hex(bytes.subarray(at, at + 8)));
  return ok({ generation: get32(bytes, 0), keys });
}

export interface Reservation {
  /** Of the holder; zero for the "all registrants" types. */
  readonly key: string;
  /** 0: the logical unit. */
  readonly scope: number;
  readonly type: number;
}

/** READ RESERVATION parameter data (SPC-4 6.15.3); undefined: there is no reservation. */
export function decodeReadReservation(bytes: Uint8Array): Decoded<Reservation | undefined> {
  if (bytes.length < 8) return short('READ RESERVATION data', 8, bytes.length);
  const length = get32(bytes, 4);
  if (length === 0) return ok(undefined);
  if (length < 16) return malformed(`READ RESERVATION: a descriptor of ${length} bytes`);
  if (bytes.length < 24) return short('READ RESERVATION data', 24, bytes.length);
  const scopeType = bytes[21] as number;
  return ok({ key: hex(bytes.subarray(8, 16)), scope: scopeType >> 4, type: scopeType & 0x0f });
}

export interface ReserveCapabilities {
  /** PTPL_C: registrations can outlive a power loss of the target. */
  readonly persistsThroughPowerLoss: boolean;
  /**
   * Whether WRITE EXCLUSIVE - REGISTRANTS ONLY can be had; undefined: the target does not say (TMV=0).
   */
  readonly writeExclusiveRegistrantsOnly: boolean | undefined;
}

/** REPORT CAPABILITIES parameter data (SPC-4 6.15.4). */
export function decodeReserveCapabilities(bytes: Uint8Array): Decoded<ReserveCapabilities> {
  if (bytes.length < 8) return short('REPORT CAPABILITIES data', 8, bytes.length);
  const length = get16(bytes, 0);
  if (length !== 8) return malformed(`REPORT CAPABILITIES: says ${length} bytes, has 8`);
  const masked = ((bytes[3] as number) & 0x80) !== 0;
  return ok({
    persistsThroughPowerLoss: ((bytes[2] as number) & 0x01) !== 0,
    writeExclusiveRegistrantsOnly: masked ? ((bytes[4] as number) & 0x20) !== 0 : undefined,
  });
}

/** One registration, and the initiator port that it belongs to. */
export interface Registrant {
  readonly key: string;
  /** iSCSI name, lower case; empty: the target does not say, or the transport is another one. */
  readonly initiatorName: string;
}

const STATUS_DESCRIPTOR_BYTES = 24;
const TRANSPORT_ISCSI = 0x5;
/** Of an iSCSI name (RFC 7143 4.2.7.1). */
const NAME_MAX = 223;

/** READ FULL STATUS parameter data (SPC-4 6.15.5). */
export function decodeFullStatus(bytes: Uint8Array): Decoded<readonly Registrant[]> {
  if (bytes.length < 8) return short('READ FULL STATUS data', 8, bytes.length);
  const end = 8 + get32(bytes, 4);
  if (end > bytes.length) return short('READ FULL STATUS data', end, bytes.length);
  const registrants: Registrant[] = [];
  for (let at = 8; at < end;) {
    if (at + STATUS_DESCRIPTOR_BYTES > end) return malformed('READ FULL STATUS: a cut descriptor');
    const next = at + STATUS_DESCRIPTOR_BYTES + get32(bytes, at + 20);
    if (next > end) return malformed('READ FULL STATUS: a descriptor beyond the end');
    const initiatorName = portName(bytes.subarray(at + STATUS_DESCRIPTOR_BYTES, next));
    registrants.push({ key: hex(bytes.subarray(at, at + 8)), initiatorName });
    at = next;
  }
  return ok(registrants);
}

/**
 * The name in an iSCSI TransportID (SPC-4 7.6.4.6): "name" or "name,i,0xISID". istgt leaves the header of
 * four bytes out.
 */
function portName(transportId: Uint8Array): string {
  const text = Buffer.from(transportId).toString('latin1');
  const isBare = /^(iqn|eui|naa)\./u.test(text);
  if (!isBare && ((transportId[0] ?? 0) & 0x0f) !== TRANSPORT_ISCSI) return '';
  const [name = ''] = (isBare ? text : text.slice(4)).split(/\0|,i,/u);
  return name
    .toLowerCase()
    .replace(/[^!-~]/gu, '?')
    .slice(0, NAME_MAX);
}
