/**
 * VPD page 83h, device identification (SPC-4 7.8.6): the names of a logical unit, of the port it
 * was reached through, and of the device. All of them are returned: which ones prove that two paths
 * lead to one logical unit is for the volume to judge (association 0, and how unique the kind is).
 */
import { ascii, hex, utf8 } from '../../base/bytes.ts';
import { printable } from '../../base/printable.ts';
import { ok } from '../../base/result.ts';
import { type Decoded, malformed } from './decode.ts';
import { vpdBody, VpdPage } from './vpd.ts';

export type DesignatorKind =
  | 'vendor-specific' // type 0h
  | 't10-vendor-id' // 1h
  | 'eui-64' // 2h
  | 'naa-2' // 3h, NAA 2h: IEEE extended
  | 'naa-3' // 3h, NAA 3h: locally assigned, unique nowhere
  | 'naa-5' // 3h, NAA 5h: IEEE registered
  | 'naa-6' // 3h, NAA 6h: IEEE registered extended
  | 'naa-other'
  | 'relative-target-port' // 4h
  | 'target-port-group' // 5h
  | 'logical-unit-group' // 6h
  | 'md5-logical-unit' // 7h
  | 'scsi-name' // 8h
  | 'protocol-specific-port' // 9h
  | 'uuid' // Ah
  | 'other';

export interface Designator {
  readonly kind: DesignatorKind;
  readonly association: 'logical-unit' | 'target-port' | 'target-device' | 'reserved';
  /** DESIGNATOR TYPE, 0..15. */
  readonly type: number;
  /** CODE SET: 1 binary, 2 ASCII, 3 UTF-8. */
  readonly codeSet: number;
  /**
   * Binary: hex digits; text: the text without trailing blanks and NULs. Equal names compare equal.
   */
  readonly value: string;
  /** Any bit of the DESIGNATOR is set: an all-zero name identifies nothing. */
  readonly nonZero: boolean;
  /** IEEE company id of eui-64 and naa-2, -5, -6; undefined for other kinds or if cut short. */
  readonly oui: number | undefined;
}

const ASSOCIATIONS = ['logical-unit', 'target-port', 'target-device', 'reserved'] as const;
const KINDS: readonly DesignatorKind[] = [
  'vendor-specific',
  't10-vendor-id',
  'eui-64',
  'naa-other',
  'relative-target-port',
  'target-port-group',
  'logical-unit-group',
  'md5-logical-unit',
  'scsi-name',
  'protocol-specific-port',
  'uuid',
];

export function decodeDesignators(bytes: Uint8Array): Decoded<readonly Designator[]> {
  const body = vpdBody(bytes, VpdPage.DEVICE_IDENTIFICATION);
  if (!body.ok) return body;
  const designators: Designator[] = [];
  for (let at = 0; at < body.value.length;) {
    if (at + 4 > body.value.length) return malformed('VPD page 83h: descriptor header is cut');
    const end = at + 4 + (body.value[at + 3] as number);
    if (end > body.value.length) return malformed('VPD page 83h: descriptor runs past the page');
    designators.push(decodeOne(body.value.subarray(at, end)));
    at = end;
  }
  return ok(designators);
}

function decodeOne(bytes: Uint8Array): Designator {
  const codeSet = (bytes[0] as number) & 0xf;
  const type = (bytes[1] as number) & 0xf;
  const name = bytes.subarray(4);
  const kind = type === 3 ? naaKind(name) : (KINDS[type] ?? 'other');
  return {
    kind,
    association: ASSOCIATIONS[((bytes[1] as number) >> 4) & 3] ?? 'reserved',
    type,
    codeSet,
    value:
      codeSet === 2
        ? trim(ascii(name))
        : codeSet === 3
          ? trim(printable(utf8(name), NAME_MAX))
          : hex(name),
    nonZero: name.some((byte) => byte !== 0),
    oui: companyId(kind, name),
  };
}

/** A DESIGNATOR LENGTH is one byte. */
const NAME_MAX = 255;

/** NULs pad SCSI name strings; `ascii` has made question marks of them, `printable` U+FFFD. */
function trim(text: string): string {
  return text.replace(/[\uFFFD ]+$/u, '').replace(/\?+$/u, '');
}

function naaKind(name: Uint8Array): DesignatorKind {
  switch ((name[0] ?? 0) >> 4) {
    case 2:
      return 'naa-2';
    case 3:
      return 'naa-3';
    case 5:
      return 'naa-5';
    case 6:
      return 'naa-6';
    default:
      return 'naa-other';
  }
}

function companyId(kind: DesignatorKind, name: Uint8Array): number | undefined {
  // Where the 24-bit company id starts, in hex digits. The 16-byte EUI-64 has an identifier
  // extension in front of it (SPC-4 7.8.6.5.4); an NAA takes the first digit.
  let digit: number;
  if (kind === 'eui-64') digit = name.length === 16 ? 16 : 0;
  else if (kind === 'naa-2') digit = 4;
  else if (kind === 'naa-5' || kind === 'naa-6') digit = 1;
  else return undefined;
  return name.length < 8 ? undefined : Number.parseInt(hex(name).slice(digit, digit + 6), 16);
}
