/**
 * `priority-path inquiry URL`: what a logical unit says about itself, decoded: standard INQUIRY data and
 * the VPD pages that the data path knows. What iscsi-inq does.
 */
import { err, ok, type Result } from '../../base/result.ts';
import { parsePathUrl } from '../../kubernetes/path-url.ts';
import type { SessionTarget } from '../../ports/session.ts';
import { decodeBlockLimits } from '../../protocol/scsi/block-limits.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import { decodeCharacteristics } from '../../protocol/scsi/characteristics.ts';
import type { Decoded } from '../../protocol/scsi/decode.ts';
import { decodeDesignators } from '../../protocol/scsi/designators.ts';
import { decodeInquiry } from '../../protocol/scsi/inquiry.ts';
import { decodeLogicalBlockProvisioning } from '../../protocol/scsi/provisioning.ts';
import { decodeSupportedPages, decodeUnitSerialNumber, VpdPage } from '../../protocol/scsi/vpd.ts';
import type { CommandContext, CommandFault } from '../../volume/unit/command.ts';
import { type Command, EXIT } from '../commands.ts';
import type { TargetOptions } from './options.ts';
import { type Inquired, type Page, renderInquiry } from './render-inquiry.ts';
import { ask, type Failure, inSession } from './ask-target.ts';
import { type Report, targetCommand } from './target-command.ts';
import { formatUrl } from './url.ts';

const VPD_BYTES = 4_096;

export function inquiryCommand(): Command {
  return targetCommand<SessionTarget>({
    words: {
      name: 'inquiry',
      subject: 'URL',
      help:
        'Shows what the unit at iscsi://host[:port]/<target name>/<lun> says about itself: standard\n' +
        'INQUIRY data and VPD pages 00h, 80h, 83h, B0h, B1h and B2h. Nothing is written.',
    },
    summary: 'show what a logical unit says about itself',
    parse: parsePathUrl,
    run,
  });
}

async function run(
  target: SessionTarget,
  options: TargetOptions,
  signal: AbortSignal,
): Promise<Result<Report, Failure>> {
  const asked = await inSession(target, options, signal, inquire);
  if (!asked.ok) return asked;
  const data = { url: formatUrl(target), ...asked.value };
  return ok({ text: renderInquiry(target, asked.value), data, exit: EXIT.ok });
}

async function inquire(context: CommandContext): Promise<Result<Inquired, CommandFault>> {
  const answer = await ask(context, 'INQUIRY', cdb.inquiry(96), 96);
  if (!answer.ok) return answer;
  const standard = decodeInquiry(answer.value.data);
  if (!standard.ok) {
    return err({ kind: 'error', cause: 'protocol-error', detail: standard.error.detail });
  }
  if (standard.value.peripheralQualifier !== 0) {
    const qualifier = String(standard.value.peripheralQualifier);
    return err({ kind: 'path', cause: 'lun-absent', detail: `peripheral qualifier ${qualifier}` });
  }
  const page = async <T>(
    code: number,
    decode: (bytes: Uint8Array) => Decoded<T>,
  ): Promise<Page<T>> => {
    const command = cdb.inquiryVpd(code, VPD_BYTES);
    const got = await ask(context, 'INQUIRY', command, VPD_BYTES);
    if (!got.ok) return { problem: got.error.detail };
    const decoded = decode(got.value.data);
    return decoded.ok ? { value: decoded.value } : { problem: decoded.error.detail };
  };
  return ok({
    standard: standard.value,
    supported: await page(VpdPage.SUPPORTED_PAGES, decodeSupportedPages),
    serial: await page(VpdPage.UNIT_SERIAL_NUMBER, decodeUnitSerialNumber),
    designators: await page(VpdPage.DEVICE_IDENTIFICATION, decodeDesignators),
    limits: await page(VpdPage.BLOCK_LIMITS, decodeBlockLimits),
    characteristics: await page(VpdPage.BLOCK_DEVICE_CHARACTERISTICS, decodeCharacteristics),
    provisioning: await page(VpdPage.LOGICAL_BLOCK_PROVISIONING, decodeLogicalBlockProvisioning),
  });
}
