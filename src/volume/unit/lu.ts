/**
 * Reads what a path leads to: the identity of the logical unit (identity.ts judges it) and what it can do.
 *
 * INQUIRY and the pages that carry identity must be answered; a target without VPD 83h or 80h has no
 * identifiers, which is a fact and not an error. Limits and provisioning pages are optional (SBC-3
 * 6.6.4, 6.6.5): absent means no limit and no thin provisioning.
 */
import { err, ok, type Result } from '../../base/result.ts';
import { type BlockLimits, decodeBlockLimits } from '../../protocol/scsi/block-limits.ts';
import { type Capacity, decodeCapacity16 } from '../../protocol/scsi/capacity.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import { decodeDesignators, type Designator } from '../../protocol/scsi/designators.ts';
import { decodeInquiry } from '../../protocol/scsi/inquiry.ts';
import { type CachingMode, decodeCachingMode6, ModePage } from '../../protocol/scsi/mode.ts';
import { decodeLogicalBlockProvisioning } from '../../protocol/scsi/provisioning.ts';
import { decodeUnitSerialNumber, VpdPage } from '../../protocol/scsi/vpd.ts';
import { type CommandContext, type CommandFault, runCommand } from './command.ts';
import type { LuIdentity } from './identity.ts';

/** What the logical unit can do, as seen through one path. */
export interface LuFacts {
  readonly blockSize: number;
  /** WCE: whether an answered write may sit in a volatile cache. Unknown is treated as volatile. */
  readonly writeCache: 'none' | 'volatile' | 'unknown';
  /** DPOFUA: the FUA bit works. */
  readonly fua: boolean;
  readonly writeProtected: boolean;
  /** Largest READ or WRITE, blocks. */
  readonly maxTransferBlocks: number;
  /** Largest WRITE SAME, blocks; 0: not offered. */
  readonly maxWriteSameBlocks: number;
  /** WRITE SAME with UNMAP releases the blocks, and they read as zeros afterwards. */
  readonly unmapsToZeros: boolean;
}

export interface LuReading {
  readonly identity: LuIdentity;
  readonly facts: LuFacts;
  /**
   * The unit is reserved and this nexus has not registered: it shows its identity and not all it can do
   * (SPC-4 table 72). To be read again.
   */
  readonly reserved: boolean;
}

/** VPD pages are asked for with room for many designators; a longer page would be cut and refused. */
const VPD_BYTES = 1_024;
/** A READ or WRITE never needs to be larger: the device hands out at most 1 MiB at a time. */
const MAX_TRANSFER_BYTES = 4 * 1024 * 1024;
/** Where WRITE SAME has no reported limit: keeps one command within any sane deadline. */
const MAX_WRITE_SAME_BYTES = 32 * 1024 * 1024;

export async function readLu(context: CommandContext): Promise<Result<LuReading, CommandFault>> {
  const ask = async (
    what: string,
    command: Uint8Array,
    receive: number,
  ): Promise<Result<Buffer, CommandFault>> => {
    const result = await runCommand(context, { what, cdb: command, receive });
    return result.kind === 'good' ? ok(result.data) : err(result.fault);
  };
  const page = (what: string, code: number): Promise<Result<Buffer, CommandFault>> =>
    ask(what, cdb.inquiryVpd(code, VPD_BYTES), VPD_BYTES);

  const ready = await ask('TEST UNIT READY', cdb.testUnitReady(), 0);
  if (!ready.ok) return ready;
  const answers = await Promise.all([
    ask('INQUIRY', cdb.inquiry(96), 96),
    page('INQUIRY 83h', VpdPage.DEVICE_IDENTIFICATION),
    page('INQUIRY 80h', VpdPage.UNIT_SERIAL_NUMBER),
    ask('READ CAPACITY(16)', cdb.readCapacity16(), 32),
    ask('MODE SENSE(6)', cdb.modeSense6(ModePage.CACHING, 255), 255),
    page('INQUIRY B0h', VpdPage.BLOCK_LIMITS),
    page('INQUIRY B2h', VpdPage.LOGICAL_BLOCK_PROVISIONING),
  ]);
  const [inquiry, designators, serial, capacity, mode, limits, provisioning] = answers;
  for (const answer of answers) {
    // A refused page is a fact; silence or "no such LUN" is not.
    if (answer === mode && isConflict(mode)) continue;
    if (!answer.ok && answer.error.kind !== 'error') return answer;
  }
  if (!inquiry.ok) return inquiry;
  if (!capacity.ok) return capacity;
  const standard = decodeInquiry(inquiry.value);
  const size = decodeCapacity16(capacity.value);
  if (!standard.ok) return err(undecodable(standard.error.detail));
  if (!size.ok) return err(undecodable(size.error.detail));
  if (standard.value.peripheralQualifier !== 0) {
    const detail = `no such LUN (peripheral qualifier ${String(standard.value.peripheralQualifier)})`;
    return err({ kind: 'path', cause: 'lun-absent', detail });
  }
  const names = designators.ok ? decodeNames(designators.value) : ok({ strong: [], weak: [] });
  if (!names.ok) return names;
  const unitSerial = serial.ok ? decodeUnitSerialNumber(serial.value) : undefined;
  const caching = mode.ok ? decodeCachingMode6(mode.value) : undefined;
  const blockLimits = limits.ok ? decodeBlockLimits(limits.value) : undefined;
  const thin = provisioning.ok ? decodeLogicalBlockProvisioning(provisioning.value) : undefined;
  return ok({
    reserved: isConflict(mode),
    identity: {
      deviceType: standard.value.peripheralDeviceType,
      ...names.value,
      serial: unitSerial?.ok === true ? unitSerial.value : '',
      blockSize: size.value.blockSize,
      blocks: size.value.blocks,
    },
    facts: facts(
      size.value,
      caching?.ok === true ? caching.value : undefined,
      blockLimits?.ok === true ? blockLimits.value : undefined,
      thin?.ok === true && thin.value.writeSame16Unmap && thin.value.readsZeros,
    ),
  });
}

function isConflict(answer: Result<Buffer, CommandFault>): boolean {
  return !answer.ok && answer.error.kind === 'reservation-conflict';
}

function undecodable(detail: string): CommandFault {
  return { kind: 'error', cause: 'protocol-error', detail };
}

/** Names of a logical unit, sorted so that equal ones compare equal. */
export interface LuNames {
  readonly strong: readonly string[];
  readonly weak: readonly string[];
}

/** Reads VPD page 83h. */
export function decodeNames(page: Uint8Array): Result<LuNames, CommandFault> {
  const designators = decodeDesignators(page);
  return designators.ok
    ? ok(sortNames(designators.value))
    : err(undecodable(designators.error.detail));
}

export function sameNames(a: LuNames, b: LuNames): boolean {
  return a.strong.join('|') === b.strong.join('|') && a.weak.join('|') === b.weak.join('|');
}

function sortNames(designators: readonly Designator[]): LuNames {
  const strong: string[] = [];
  const weak: string[] = [];
  for (const designator of designators) {
    if (designator.association !== 'logical-unit' || !designator.nonZero) continue;
    const { kind, value, oui } = designator;
    const name = `${kind.startsWith('naa') ? 'naa' : kind}.${value}`;
    switch (kind) {
      case 'naa-2':
      case 'naa-5':
      case 'naa-6':
      case 'eui-64':
        (oui !== undefined && oui !== 0 ? strong : weak).push(name);
        break;
      case 'uuid':
        strong.push(name);
        break;
      case 'naa-3':
      case 'naa-other':
      case 't10-vendor-id':
      case 'vendor-specific':
      case 'scsi-name':
      case 'md5-logical-unit':
        weak.push(name);
        break;
      // Names of ports and groups, not of the logical unit.
      case 'relative-target-port':
      case 'target-port-group':
      case 'logical-unit-group':
      case 'protocol-specific-port':
      case 'other':
        break;
    }
  }
  return { strong: strong.sort(), weak: weak.sort() };
}

function facts(
  size: Capacity,
  caching: CachingMode | undefined,
  limits: BlockLimits | undefined,
  unmapsToZeros: boolean,
): LuFacts {
  const { blockSize } = size;
  const atMost = (bytes: number, reported: number | undefined): number =>
    Math.min(Math.floor(bytes / blockSize), reported ?? Number.MAX_SAFE_INTEGER);
  return {
    blockSize,
    writeCache: caching === undefined ? 'unknown' : caching.writeCacheEnabled ? 'volatile' : 'none',
    fua: caching?.dpofua ?? false,
    writeProtected: caching?.writeProtected ?? false,
    maxTransferBlocks: atMost(MAX_TRANSFER_BYTES, limits?.maximumTransferLength),
    maxWriteSameBlocks: atMost(MAX_WRITE_SAME_BYTES, limits?.maximumWriteSameBlocks),
    unmapsToZeros: unmapsToZeros && size.thin,
  };
}
