/**
 * Is this the volume's logical unit (D1, D2, D5)? The answer decides whether one byte may be written to it.
 *
 * Strong identifiers are unique in the world by construction: NAA 2, 5 and 6 and EUI-64 with a non-zero
 * company id, and UUIDs (SPC-4 7.8.6). Everything else is weak: NAA 3 is locally assigned, T10 vendor
 * ids and serial numbers are what a target's author chose (tgt gives unrelated LUNs equal ones). A weak
 * identity counts only where the operator said which serial number to expect, and is backed by reading
 * recent writes back (recent-writes.ts). Without that word only the path that founded the record is the
 * volume; the others may be, which is not enough.
 *
 * Pure: the reading is in lu.ts.
 */
import { isCount, isObject, isStrings } from '../../base/shape.ts';
import type { Identity } from '../../paths/model.ts';

/** Of a logical unit that can be used. */
export const BLOCK_SIZES: readonly number[] = [512, 4096];

export interface LuIdentity {
  /** Peripheral device type of INQUIRY byte 0; 0 is a disk. */
  readonly deviceType: number;
  /** "naa.6…", "eui.…", "uuid.…", sorted. */
  readonly strong: readonly string[];
  /** "naa.3…", "t10.…", "name.…", sorted. */
  readonly weak: readonly string[];
  /** Unit serial number, VPD 80h, without padding; empty: none. */
  readonly serial: string;
  readonly blockSize: number;
  readonly blocks: number;
}

/** The volume's record of its logical unit. */
export interface LuRecord {
  readonly identity: LuIdentity;
  /** Name of the path that it was first read from. */
  readonly founder: string;
}

export function describeIdentity(identity: LuIdentity): string {
  const name = identity.strong[0] ?? identity.weak[0] ?? 'no identifier';
  const serial = identity.serial === '' ? 'no serial' : `serial ${identity.serial}`;
  const bytes = identity.blocks * identity.blockSize;
  return `${name}, ${serial}, ${String(bytes)} bytes of ${String(identity.blockSize)}`;
}

function banned(detail: string): Identity {
  return { kind: 'banned', detail };
}

/** What makes a logical unit unusable whatever it is compared with; undefined: nothing. */
function unusable(seen: LuIdentity, expectedSerial: string | undefined): Identity | undefined {
  if (seen.deviceType !== 0) {
    return banned(`not a disk (peripheral device type ${String(seen.deviceType)})`);
  }
  if (!BLOCK_SIZES.includes(seen.blockSize)) {
    const known = BLOCK_SIZES.join(' or ');
    return banned(`block size ${String(seen.blockSize)} is not supported (${known})`);
  }
  if (expectedSerial !== undefined && seen.serial !== expectedSerial) {
    const has = seen.serial === '' ? 'none' : `"${seen.serial}"`;
    return banned(`serial number is ${has}, expected "${expectedSerial}"`);
  }
  return undefined;
}

/**
 * May this path found the record of a volume that has none? Any path with strong identifiers or the
 * expected serial; with weak ones alone only the first path of the volume, so that the answer does not
 * depend on which target was quickest.
 */
export function canFound(
  seen: LuIdentity,
  path: string,
  firstPath: string,
  expectedSerial: string | undefined,
): Identity {
  const bad = unusable(seen, expectedSerial);
  if (bad !== undefined) return bad;
  if (seen.strong.length > 0 || expectedSerial !== undefined || path === firstPath) {
    return { kind: 'verified' };
  }
  return weakIdentity(seen);
}

function weakIdentity(seen: LuIdentity): Identity {
  const serial = seen.serial === '' ? '' : ` if "${seen.serial}" is the right serial number`;
  return {
    kind: 'unverified',
    detail:
      `weak identity (${seen.weak[0] ?? 'no identifier'}): not used. To use several paths set ` +
      `policy.prioritypath.io/expected-serial${serial}`,
  };
}

/** Compares what a path leads to with the record. */
export function compareIdentity(
  record: LuRecord,
  seen: LuIdentity,
  path: string,
  expectedSerial: string | undefined,
): Identity {
  const bad = unusable(seen, expectedSerial);
  if (bad !== undefined) return bad;
  const { identity } = record;
  if (seen.blockSize !== identity.blockSize) {
    return banned(
      `block size ${String(seen.blockSize)}, the volume has ${String(identity.blockSize)}`,
    );
  }
  // Larger is a LUN that was grown: the volume keeps its size until it is expanded.
  if (seen.blocks < identity.blocks) {
    return banned(`${String(seen.blocks)} blocks, the volume has ${String(identity.blocks)}`);
  }
  if (identity.strong.length > 0 || seen.strong.length > 0) {
    const common = seen.strong.some((name) => identity.strong.includes(name));
    if (common) return { kind: 'verified' };
    const other = seen.strong[0] ?? 'no strong identifier';
    return banned(`is ${other}, the volume is ${identity.strong[0] ?? 'one without'}`);
  }
  // The operator's word stands in for weak identifiers, not for the record: with the word and the paths of
  // another volume, copied by mistake, that one's unit would be written to.
  const { serial } = identity;
  if (expectedSerial !== undefined && seen.serial === serial) return { kind: 'verified' };
  const same = seen.serial === serial && seen.weak.join('|') === identity.weak.join('|');
  if (!same)
    return banned(`is ${describeIdentity(seen)}, the volume ${describeIdentity(identity)}`);
  return path === record.founder ? { kind: 'verified' } : weakIdentity(seen);
}

/** Identifiers alone prove it; else recent writes are read back before the path is used. */
export function isStrong(identity: LuIdentity): boolean {
  return identity.strong.length > 0;
}

export function parseIdentity(value: unknown): LuIdentity | undefined {
  if (!isObject(value)) return undefined;
  const { deviceType, strong, weak, serial, blockSize, blocks } = value;
  if (!isCount(deviceType) || !isStrings(strong) || !isStrings(weak)) return undefined;
  if (typeof serial !== 'string' || !isCount(blockSize) || !isCount(blocks)) return undefined;
  return { deviceType, strong, weak, serial, blockSize, blocks };
}
