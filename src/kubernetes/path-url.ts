/**
 * `iscsi://host[:port]/<target name>/<lun>`: a path as people write it.
 *
 * Parsed by hand: WHATWG `URL` does not know the scheme, so it neither checks an IPv4 address nor
 * takes apart what follows the host, and it would percent-decode target names. Its IPv6 parser is
 * used, which also gives the one canonical spelling that makes duplicates visible. RFC 4173's
 * `iscsi:` form was rejected: its fields are separated by the colons that target names and IPv6
 * addresses are full of.
 *
 * Pure. Credentials are refused, and never repeated in an error.
 */
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';

export interface PathUrl {
  /** IPv4, IPv6 without brackets (canonical), or a DNS name in lower case. */
  readonly host: string;
  readonly port: number;
  readonly targetName: string;
  readonly lun: number;
}

/** IANA's iSCSI port (RFC 7143 4.2.7). */
export const DEFAULT_PORT = 3260;
/** Flat LUNs that fit peripheral device addressing (SAM-5 4.7.7.2). */
export const MAX_LUN = 255;
/** RFC 7143 4.2.7.1: 223 bytes at most. */
const MAX_NAME_BYTES = 223;

const SHAPE = 'iscsi://host[:port]/<target name>/<lun>';

/** The parts of a path URL, or one line that says what is wrong and what is expected. */
export function parsePathUrl(text: string): Result<PathUrl, string> {
  if (text.includes('@')) {
    return err(`expected ${SHAPE} without credentials ("@"): CHAP secrets come from a Secret only`);
  }
  const match = /^iscsi:\/\/([^/]*)\/([^/]*)\/([^/]*)$/.exec(text);
  if (match === null) return err(`expected ${SHAPE}`);
  const [, authority = '', targetName = '', lunText = ''] = match;
  const portal = parsePortal(authority);
  if (!portal.ok) return portal;
  const nameProblem = targetNameProblem(targetName);
  if (nameProblem !== undefined) return err(nameProblem);
  if (!/^(0|[1-9]\d{0,4})$/.test(lunText) || Number(lunText) > MAX_LUN) {
    return err(`LUN "${lunText}": expected a number from 0 to ${String(MAX_LUN)}`);
  }
  return ok({ ...portal.value, targetName, lun: Number(lunText) });
}

export type PortalAddress = Pick<PathUrl, 'host' | 'port'>;

/** As `parsePortal` reads it; the port is always said. */
export function formatPortal({ host, port }: PortalAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
}

/** `host[:port]`; the error is one line that says what is expected. */
export function parsePortal(authority: string): Result<PortalAddress, string> {
  const bracketed = /^(\[[^\]]*\])(?::(.*))?$/.exec(authority);
  if (bracketed === null && authority.split(':').length > 2) {
    return err(`host "${authority}": expected an IPv6 address in brackets, as in [2001:db8::1]`);
  }
  const [, hostText = '', portText] = bracketed ?? /^([^:]*)(?::(.*))?$/.exec(authority) ?? [];
  const host = parseHost(hostText);
  if (!host.ok) return host;
  const port = portText === undefined ? DEFAULT_PORT : Number(portText);
  if (portText !== undefined && (!/^[1-9]\d{0,4}$/.test(portText) || port > 65_535)) {
    return err(`port "${portText}": expected a number from 1 to 65535`);
  }
  return ok({ host: host.value, port });
}

function parseHost(text: string): Result<string, string> {
  if (text === '') return err('host is missing: expected an IPv4 address, [IPv6] or a DNS name');
  if (text.startsWith('[')) {
    const canonical = /^\[[0-9a-fA-F:.]+\]$/.test(text) ? URL.parse(`http://${text}/`) : null;
    if (canonical !== null) return ok(canonical.hostname.slice(1, -1));
    return err(`host "${text}": expected an IPv6 address without zone, as in [2001:db8::1]`);
  }
  if (/^[\d.]+$/.test(text)) {
    const octet = '(0|[1-9]\\d?|1\\d\\d|2[0-4]\\d|25[0-5])';
    if (new RegExp(`^${octet}(\\.${octet}){3}$`).test(text)) return ok(text);
    return err(`host "${text}": expected an IPv4 address of four numbers from 0 to 255`);
  }
  const label = '[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?';
  const name = text.toLowerCase();
  if (name.length <= 253 && new RegExp(`^${label}(\\.${label})*$`).test(name)) return ok(name);
  return err(`host "${text}": expected an IPv4 address, [IPv6] or a DNS name`);
}

/**
 * RFC 7143 4.2.7.2-4.2.7.5. Letters keep their case: names are lower case by the standard, but
 * targets in the field have others and compare them byte by byte; "_" likewise.
 */
function targetNameProblem(name: string): string | undefined {
  if (name === '') return 'target name is missing: expected iqn.…, eui.… or naa.…';
  if (name.length > MAX_NAME_BYTES) {
    return `target name has ${String(name.length)} bytes: at most ${String(MAX_NAME_BYTES)} are allowed`;
  }
  const good =
    /^iqn\.\d{4}-(0[1-9]|1[0-2])\.[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(:[A-Za-z0-9._:-]+)?$/.test(
      name,
    ) ||
    /^eui\.[0-9A-Fa-f]{16}$/.test(name) ||
    /^naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})$/.test(name);
  if (good) return undefined;
  return (
    `target name "${name}": expected iqn.YYYY-MM.<reversed domain>[:<text>], ` +
    'eui.<16 hex digits> or naa.<16 or 32 hex digits>'
  );
}
