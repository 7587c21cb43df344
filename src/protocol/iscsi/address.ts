/**
 * TargetAddress (RFC 7143 13.8): "host[:port][,portal-group-tag]", the host a DNS name, an IPv4
 * address or an IPv6 address in brackets. It comes from a target that has not authenticated itself,
 * so nothing that could not be a host is let through.
 */
import { parseNumber } from './text.ts';

export interface TargetAddress {
  /** DNS name, IPv4 or IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Target Portal Group Tag; undefined: not said. */
  readonly tpgt: number | undefined;
}

/** IANA's port for iSCSI. */
const DEFAULT_PORT = 3260;

const SHAPE =
  /^(?:\[(?<v6>[0-9a-fA-F:.]{2,45})\]|(?<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9.])?))(?::(?<port>\d{1,5}))?(?:,(?<tag>\w{1,10}))?$/u;

export function parseTargetAddress(text: string): TargetAddress | undefined {
  const groups = SHAPE.exec(text)?.groups;
  const host = groups?.['v6'] ?? groups?.['name'];
  if (groups === undefined || host === undefined) return undefined;
  if (groups['v6'] !== undefined && !host.includes(':')) return undefined;
  const port = groups['port'] === undefined ? DEFAULT_PORT : Number(groups['port']);
  const tpgt = groups['tag'] === undefined ? undefined : parseNumber(groups['tag']);
  if (port < 1 || port > 65_535) return undefined;
  if (groups['tag'] !== undefined && (tpgt === undefined || tpgt > 65_535)) return undefined;
  return { host, port, tpgt };
}

/** "[::1]:3260". */
export function formatPortal({ host, port }: { host: string; port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
