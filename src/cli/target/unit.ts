/** One logical unit in a few words: what INQUIRY and READ CAPACITY say. */
import { err, ok, type Result } from '../../base/result.ts';
import { decodeCapacity16 } from '../../protocol/scsi/capacity.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import { decodeInquiry, type InquiryData } from '../../protocol/scsi/inquiry.ts';
import type { CommandContext } from '../../volume/unit/command.ts';
import { ask } from './ask-target.ts';

/** Peripheral device types (SPC-4 table 141) that iSCSI targets show. */
const TYPES = new Map<number, string>([
  [0x00, 'disk'],
  [0x01, 'tape'],
  [0x05, 'CD/DVD'],
  [0x08, 'media changer'],
  [0x0c, 'controller'],
  [0x0d, 'enclosure'],
  [0x11, 'object storage'],
  [0x1e, 'well-known unit'],
  [0x1f, 'no unit'],
]);

export function typeText(peripheralDeviceType: number): string {
  const code = peripheralDeviceType.toString(16).padStart(2, '0').toUpperCase();
  return TYPES.get(peripheralDeviceType) ?? `device type ${code}h`;
}

/** `IET VIRTUAL-DISK 0001`. */
export function productText({ vendor, product, revision }: InquiryData): string {
  return [vendor, product, revision].filter((part) => part !== '').join(' ');
}

export interface UnitSummary {
  readonly lun: number;
  readonly type: string;
  readonly product: string;
  /** Bytes; undefined: no disk, or not said. */
  readonly sizeBytes: number | undefined;
}

export async function summariseUnit(
  context: CommandContext,
  lun: number,
): Promise<Result<UnitSummary, string>> {
  const answer = await ask(context, 'INQUIRY', cdb.inquiry(96), 96);
  if (!answer.ok) return err(answer.error.detail);
  const inquiry = decodeInquiry(answer.value.data);
  if (!inquiry.ok) return err(inquiry.error.detail);
  const { peripheralQualifier, peripheralDeviceType } = inquiry.value;
  const isThere = peripheralQualifier === 0;
  return ok({
    lun,
    type: isThere ? typeText(peripheralDeviceType) : 'no unit',
    product: productText(inquiry.value),
    sizeBytes: isThere && peripheralDeviceType === 0 ? await sizeOf(context) : undefined,
  });
}

async function sizeOf(context: CommandContext): Promise<number | undefined> {
  const answer = await ask(context, 'READ CAPACITY(16)', cdb.readCapacity16(), 32);
  const capacity = answer.ok ? decodeCapacity16(answer.value.data) : undefined;
  return capacity?.ok === true ? capacity.value.sizeBytes : undefined;
}
