/**
 * Maintenance of racks and portals for the whole cluster, from one ConfigMap:
 *
 *   drain.racks    racks whose paths are taken out of use: "r1", or "room-a/r1" where rack names repeat
 *   drain.portals  portals likewise: "10.0.0.1", "10.0.0.1:3261", "[2001:db8::1]", a DNS name as written
 *
 * Values are separated by white space or commas. A portal without a port means all ports of that host.
 * What is malformed is told and left out: a misspelt portal must not undrain the others. Nor itself: while
 * a key has a malformed value, what it drained before stays drained.
 *
 * Pure.
 */
import { printable } from '../base/printable.ts';
import type { PathSpec } from '../pathd/api.ts';
import type { KeyMap } from './keys.ts';
import { parsePortal } from './path-url.ts';

const RACKS_KEY = 'drain.racks';
const PORTALS_KEY = 'drain.portals';
const STAYS = 'what this key drained before stays drained until it is mended';

export interface Maintenance {
  /** "rack" or "room/rack". */
  readonly racks: readonly string[];
  readonly portals: readonly DrainedPortal[];
  /** One line per malformed value; empty when all is well. */
  readonly problems: readonly string[];
}

export interface DrainedPortal {
  readonly host: string;
  /** Undefined: all of them. */
  readonly port: number | undefined;
}

export const NO_MAINTENANCE: Maintenance = { racks: [], portals: [], problems: [] };

/**
 * The `data` of the ConfigMap.
 *
 * @param before what is in force.
 */
export function parseMaintenance(data: KeyMap, before: Maintenance = NO_MAINTENANCE): Maintenance {
  const problems: string[] = [];
  for (const key of Object.keys(data)) {
    if (key === RACKS_KEY || key === PORTALS_KEY) continue;
    problems.push(`${printable(key, 253)}: unknown key, expected ${RACKS_KEY} or ${PORTALS_KEY}`);
  }
  const racks = words(data[RACKS_KEY]).filter((word) => {
    const good = /^[^/\s]+(\/[^/\s]+)?$/.test(word);
    if (!good) problems.push(`${RACKS_KEY} "${word}": expected <rack> or <room>/<rack>; ${STAYS}`);
    return good;
  });
  const isRackBad = racks.length < words(data[RACKS_KEY]).length;
  const portals = words(data[PORTALS_KEY]).flatMap((word) => {
    const portal = parseDrainedPortal(word);
    if (typeof portal !== 'string') return [portal];
    problems.push(`${PORTALS_KEY} "${word}": ${portal}; ${STAYS}`);
    return [];
  });
  const isPortalBad = portals.length < words(data[PORTALS_KEY]).length;
  return {
    racks: isRackBad ? [...new Set([...racks, ...before.racks])] : racks,
    portals: isPortalBad ? distinct([...portals, ...before.portals]) : portals,
    problems,
  };
}

function distinct(portals: readonly DrainedPortal[]): readonly DrainedPortal[] {
  return [...new Map(portals.map((portal) => [JSON.stringify(portal), portal])).values()];
}

/** What is in force, as the ConfigMap would say it without its mistakes. */
export function maintenanceData({ racks, portals }: Maintenance): KeyMap {
  const hosts = portals.map(({ host, port }) => {
    const name = host.includes(':') ? `[${host}]` : host;
    return port === undefined ? name : `${name}:${String(port)}`;
  });
  return {
    ...(hosts.length === 0 ? {} : { [PORTALS_KEY]: hosts.join(' ') }),
    ...(racks.length === 0 ? {} : { [RACKS_KEY]: racks.join(' ') }),
  };
}

/** A DNS name has 253 characters, a label's value 63. */
const WORD_MAX = 320;

function words(text = ''): readonly string[] {
  const found = text.split(/[\s,]+/).filter((word) => word !== '');
  return found.map((word) => printable(word, WORD_MAX));
}

/** `HOST[:PORT]`, or what is wrong with it. */
export function parseDrainedPortal(text: string): DrainedPortal | string {
  const portal = parsePortal(text);
  if (!portal.ok) return portal.error;
  const { host, port } = portal.value;
  return { host, port: /:\d+$/.test(text.replace(/^\[[^\]]*\]/, '')) ? port : undefined };
}

type Place = Pick<PathSpec, 'host' | 'port' | 'rack' | 'room'>;

/** Whether a path leads into what is under maintenance. */
export function isMaintained(path: Place, { racks, portals }: Maintenance): boolean {
  return racks.some((rack) => isInRack(path, rack)) || portals.some((one) => isAt(path, one));
}

/** @param rack "rack", or "room/rack". */
export function isInRack(path: Pick<PathSpec, 'rack' | 'room'>, rack: string): boolean {
  const name = path.rack ?? '';
  return name !== '' && (rack === name || rack === `${path.room ?? ''}/${name}`);
}

export function isAt(
  path: Pick<PathSpec, 'host' | 'port'>,
  { host, port }: DrainedPortal,
): boolean {
  return path.host === host && (port === undefined || path.port === port);
}
