/**
 * Codes of SAM-5 5.3 (status) and SPC-4 4.5.6 (sense keys): the ones this program acts on or
 * prints.
 */

export const ScsiStatus = {
  GOOD: 0x00,
  CHECK_CONDITION: 0x02,
  CONDITION_MET: 0x04,
  BUSY: 0x08,
  RESERVATION_CONFLICT: 0x18,
  TASK_SET_FULL: 0x28,
  ACA_ACTIVE: 0x30,
  TASK_ABORTED: 0x40,
} as const;

export const SenseKey = {
  NO_SENSE: 0x0,
  RECOVERED_ERROR: 0x1,
  NOT_READY: 0x2,
  MEDIUM_ERROR: 0x3,
  HARDWARE_ERROR: 0x4,
  ILLEGAL_REQUEST: 0x5,
  UNIT_ATTENTION: 0x6,
  DATA_PROTECT: 0x7,
  BLANK_CHECK: 0x8,
  COPY_ABORTED: 0xa,
  ABORTED_COMMAND: 0xb,
  VOLUME_OVERFLOW: 0xd,
  MISCOMPARE: 0xe,
  COMPLETED: 0xf,
} as const;

const STATUS_NAMES = new Map<number, string>(
  Object.entries(ScsiStatus).map(([name, code]) => [code, name.replaceAll('_', ' ')]),
);
const KEY_NAMES = new Map<number, string>(
  Object.entries(SenseKey).map(([name, code]) => [code, name.replaceAll('_', ' ')]),
);

/** "CHECK CONDITION", or "status 22h" for a code without a name here. */
export function statusName(status: number): string {
  return STATUS_NAMES.get(status) ?? `status ${status.toString(16).padStart(2, '0')}h`;
}

/** "UNIT ATTENTION", or "sense key 9h". */
export function senseKeyName(key: number): string {
  return KEY_NAMES.get(key) ?? `sense key ${key.toString(16)}h`;
}
