/** What `inquiry` has found, as text. Pure. */
import type { SessionTarget } from '../../ports/session.ts';
import type { BlockLimits } from '../../protocol/scsi/block-limits.ts';
import type { BlockDeviceCharacteristics } from '../../protocol/scsi/characteristics.ts';
import type { Designator } from '../../protocol/scsi/designators.ts';
import type { InquiryData } from '../../protocol/scsi/inquiry.ts';
import type { LogicalBlockProvisioning } from '../../protocol/scsi/provisioning.ts';
import { printable } from '../terminal-text.ts';
import { productText, typeText } from './unit.ts';
import { formatUrl } from './url.ts';

/** A page, or why there is none. */
export type Page<T> = { readonly value: T } | { readonly problem: string };

export interface Inquired {
  readonly standard: InquiryData;
  readonly supported: Page<readonly number[]>;
  readonly serial: Page<string>;
  readonly designators: Page<readonly Designator[]>;
  readonly limits: Page<BlockLimits>;
  readonly characteristics: Page<BlockDeviceCharacteristics>;
  readonly provisioning: Page<LogicalBlockProvisioning>;
}

export function renderInquiry(target: SessionTarget, inquired: Inquired): string {
  const { standard, supported, serial, designators } = inquired;
  const { limits, characteristics, provisioning } = inquired;
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ['standard', standardLines(standard)],
    ['00h pages', lines(supported, (codes) => [codes.map(hex).join(' ')])],
    ['80h serial', lines(serial, (text) => [text === '' ? 'empty' : `"${printable(text)}"`])],
    ['83h names', lines(designators, (all) => all.map(designatorLine))],
    ['B0h limits', lines(limits, limitLines)],
    ['B1h medium', lines(characteristics, characteristicsLines)],
    ['B2h thin', lines(provisioning, provisioningLines)],
  ];
  return [
    formatUrl(target),
    ...sections.flatMap(([title, body]) =>
      body.map((line, index) => `  ${(index === 0 ? title : '').padEnd(12)}${line}`),
    ),
  ].join('\n');
}

function lines<T>(page: Page<T>, render: (value: T) => readonly string[]): readonly string[] {
  if ('problem' in page) return [`not there: ${printable(page.problem)}`];
  const body = render(page.value);
  return body.length === 0 ? ['empty'] : body;
}

function hex(code: number): string {
  return `${code.toString(16).padStart(2, '0').toUpperCase()}h`;
}

/** VERSION (SPC-5 table 142). */
const VERSIONS = new Map<number, string>([
  [3, 'SPC'],
  [4, 'SPC-2'],
  [5, 'SPC-3'],
  [6, 'SPC-4'],
  [7, 'SPC-5'],
]);

function standardLines(standard: InquiryData): string[] {
  const version = VERSIONS.get(standard.version) ?? `version ${hex(standard.version)}`;
  const type = typeText(standard.peripheralDeviceType);
  return [`${type}, ${printable(productText(standard))}, ${version}`];
}

function designatorLine({ kind, association, value }: Designator): string {
  const of = association === 'logical-unit' ? '' : ` (${association})`;
  return `${kind}  ${printable(value)}${of}`;
}

function blocks(what: string, value: number | undefined): string {
  return `${what} ${value === undefined ? 'not reported' : String(value)}`;
}

function limitLines(limits: BlockLimits): string[] {
  return [
    `blocks of one transfer: ${blocks('max', limits.maximumTransferLength)}, ` +
      `${blocks('optimal', limits.optimalTransferLength)}, ` +
      blocks('granularity', limits.optimalTransferLengthGranularity),
    `UNMAP: ${blocks('max blocks', limits.maximumUnmapBlocks)}, ` +
      `${blocks('ranges', limits.maximumUnmapRanges)}, ` +
      `${blocks('granularity', limits.optimalUnmapGranularity)}, ` +
      blocks('alignment', limits.unmapGranularityAlignment),
    `WRITE SAME: ${blocks('max blocks', limits.maximumWriteSameBlocks)}`,
  ];
}

const FORM_FACTORS = ['not reported', '5.25 inch', '3.5 inch', '2.5 inch', '1.8 inch', 'smaller'];

function characteristicsLines(is: BlockDeviceCharacteristics): string[] {
  const { rotationsPerMinute: rate, formFactor } = is;
  const medium =
    rate === undefined ? 'not reported' : rate === 0 ? 'does not rotate' : `${String(rate)} rpm`;
  const form = FORM_FACTORS[formFactor] ?? `form factor ${String(formFactor)}`;
  return [`medium: ${medium}; form factor: ${form}`];
}

const PROVISIONING = ['not reported or full', 'resource', 'thin'];

function provisioningLines(is: LogicalBlockProvisioning): string[] {
  const ways = [
    ...(is.unmap ? ['UNMAP'] : []),
    ...(is.writeSame16Unmap ? ['WRITE SAME(16)'] : []),
    ...(is.writeSame10Unmap ? ['WRITE SAME(10)'] : []),
  ];
  return [
    `provisioning: ${PROVISIONING[is.provisioningType] ?? hex(is.provisioningType)}`,
    `unmaps by ${ways.join(', ') || 'nothing'}; unmapped blocks read as ` +
      (is.readsZeros ? 'zeros' : 'anything'),
  ];
}
