/**
 * The Kubernetes contract: which keys people write on a PersistentVolume, and what they mean. The
 * only place where the driver's name and the domain of its keys are spelled.
 *
 * `parseVolumeConfig` takes one flat map, because the same keys may come from annotations, labels
 * and volumeAttributes (whoever merges them decides who wins). It is total: good paths come out
 * even when others are malformed, and every malformed value is reported with what was expected, all
 * at once: people mend a PV in one edit, not in six. Unknown keys of our domain are reported too,
 * since a misspelt `drain.` that is silently ignored is a maintenance window that goes wrong.
 *
 * Pure: no node, no Kubernetes client, no clock.
 */
import type { PathSpec } from '../pathd/api.ts';
import { type PathUrl, parsePathUrl } from './path-url.ts';
import { type Topology, type TopologyWeights, distance } from './topology.ts';

/** Domain of every key of ours. */
export const KEY_DOMAIN = 'prioritypath.io';
/** CSI driver name (CSIDriver object, registration, GetPluginInfo). */
export const DRIVER_NAME = `iscsi.${KEY_DOMAIN}`;

/** volumeAttributes key that names the PV where volumeHandle is not its name. */
export const PV_KEY = `${KEY_DOMAIN}/pv`;
/** Path that carries the I/O as long as it is up. */
export const PIN_KEY = `${KEY_DOMAIN}/pin`;
/** Of a Node: the InitiatorName that it is to have, instead of the chart's. */
export const INITIATOR_NAME_KEY = `${KEY_DOMAIN}/initiator-name`;

/** Key prefixes (before "/"), each followed by the name of a path or parameter. */
export const PATH_PREFIX = `path.${KEY_DOMAIN}`;
export const RACK_PREFIX = `rack.${KEY_DOMAIN}`;
export const ROOM_PREFIX = `room.${KEY_DOMAIN}`;
export const WEIGHT_PREFIX = `weight.${KEY_DOMAIN}`;
export const DRAIN_PREFIX = `drain.${KEY_DOMAIN}`;
export const POLICY_PREFIX = `policy.${KEY_DOMAIN}`;
/** Written by the driver, never read as configuration. */
export const STATUS_PREFIX = `status.${KEY_DOMAIN}`;
export const OWNER_PREFIX = `owner.${KEY_DOMAIN}`;

export const MAX_PATHS = 16;
export const MAX_WEIGHT = 1000;
const NAME_PATTERN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const MAX_NAME_LENGTH = 32;

export interface VolumeConfig {
  /** At most 16, sorted by name, no two with the same portal, target and LUN. */
  readonly paths: readonly PathSpec[];
  /** Name of one of `paths`. */
  readonly pin: string | undefined;
  /** Policy parameters by name, values as typed; pathd knows which exist. */
  readonly policy: Readonly<Record<string, string>>;
  /** PV named by `prioritypath.io/pv`. */
  readonly pvName: string | undefined;
  /** Paths whose weight is a guess because rack and room labels are missing. */
  readonly topologyUnknown: readonly string[];
  /** One line per malformed key: `key "value": expected …`. Empty when all is well. */
  readonly problems: readonly string[];
}

/** Reads our keys out of a map; other people's keys are ignored. */
export function parseVolumeConfig(
  keys: Readonly<Record<string, string>>,
  node: Topology,
  weights: TopologyWeights,
): VolumeConfig {
  const problems: string[] = [];
  const sections = sortKeys(keys, problems);
  const paths: PathSpec[] = [];
  const topologyUnknown: string[] = [];
  for (const [name, url] of goodUrls(sections.path, problems)) {
    // An empty label is no label: it would equal other empty ones, or hide that it is missing.
    const place = (of: ReadonlyMap<string, string>): string | undefined =>
      of.get(name)?.trim() || undefined;
    const target = { rack: place(sections.rack), room: place(sections.room) };
    const { tier, unknown } = distance(node, target);
    const byHand = weightByHand(sections.weight.get(name), name, problems);
    if (unknown && byHand === undefined) topologyUnknown.push(name);
    const drained = isDrained(sections.drain.get(name), name, problems);
    const { rack, room } = target;
    const stands = {
      ...(rack === undefined ? {} : { rack }),
      ...(room === undefined ? {} : { room }),
    };
    paths.push({ name, ...url, maxWeight: byHand ?? weights[tier], drained, ...stands });
  }
  reportDangling(sections, problems);
  const pin = keys[PIN_KEY];
  if (pin !== undefined && !sections.path.has(pin)) {
    problems.push(`${PIN_KEY} "${pin}": expected the name of a path`);
  }
  return {
    paths,
    pin: paths.some((path) => path.name === pin) ? pin : undefined,
    policy: goodPolicy(sections.policy, problems),
    pvName: keys[PV_KEY],
    topologyUnknown,
    problems,
  };
}

/** All problems as one text for an error or an Event. */
export function describeProblems(problems: readonly string[]): string {
  return problems.join('; ');
}

/** Why there is no path at all: what is wrong with those there are, or that there is none. */
export function describeNoPath(problems: readonly string[]): string {
  return describeProblems(problems) || `there is no ${PATH_PREFIX}/<name>`;
}

type SectionName = 'path' | 'rack' | 'room' | 'weight' | 'drain' | 'policy';
type Sections = Readonly<Record<SectionName, Map<string, string>>>;

const PREFIXES: ReadonlyMap<string, SectionName> = new Map([
  [PATH_PREFIX, 'path'],
  [RACK_PREFIX, 'rack'],
  [ROOM_PREFIX, 'room'],
  [WEIGHT_PREFIX, 'weight'],
  [DRAIN_PREFIX, 'drain'],
  [POLICY_PREFIX, 'policy'],
]);

const KNOWN_KEYS =
  `${PATH_PREFIX}/<name>, ${[...PREFIXES.values()].slice(1, -1).join('., ')}., ` +
  `${POLICY_PREFIX}/<parameter>, ${PIN_KEY} or ${PV_KEY}`;

/** Puts every key of ours into its section, in the order of names, whatever the map's order was. */
function sortKeys(keys: Readonly<Record<string, string>>, problems: string[]): Sections {
  const sections: Sections = {
    path: new Map(),
    rack: new Map(),
    room: new Map(),
    weight: new Map(),
    drain: new Map(),
    policy: new Map(),
  };
  for (const key of Object.keys(keys).sort()) {
    const value = keys[key] ?? '';
    const [prefix = '', name, ...rest] = key.split('/');
    if (prefix !== KEY_DOMAIN && !prefix.endsWith(`.${KEY_DOMAIN}`)) continue;
    if (prefix === STATUS_PREFIX || prefix === OWNER_PREFIX) continue;
    if (key === PIN_KEY || key === PV_KEY) continue;
    const section = PREFIXES.get(prefix);
    if (section === undefined || name === undefined || rest.length > 0) {
      problems.push(`${key} "${shown(value)}": unknown key, expected ${KNOWN_KEYS}`);
    } else if (!NAME_PATTERN.test(name) || name.length > MAX_NAME_LENGTH) {
      problems.push(
        `${key} "${shown(value)}": the name after "/" must be lower-case letters, digits and "-", ` +
          `at most ${String(MAX_NAME_LENGTH)}`,
      );
    } else {
      sections[section].set(name, value);
    }
  }
  return sections;
}

/** Parsed URLs by path name, without duplicates and without more than MAX_PATHS. */
function goodUrls(texts: ReadonlyMap<string, string>, problems: string[]): Map<string, PathUrl> {
  const urls = new Map<string, PathUrl>();
  const seen = new Map<string, string>();
  for (const [name, text] of texts) {
    const key = `${PATH_PREFIX}/${name}`;
    const url = parsePathUrl(text);
    if (!url.ok) {
      problems.push(`${key} "${shown(text)}": ${url.error}`);
      continue;
    }
    const { host, port, targetName, lun } = url.value;
    const place = `${host} ${String(port)} ${targetName} ${String(lun)}`;
    const other = seen.get(place);
    if (other !== undefined) {
      problems.push(`${key} "${text}": the same portal, target and LUN as path ${other}`);
    } else if (urls.size === MAX_PATHS) {
      problems.push(`${key} "${text}": expected at most ${String(MAX_PATHS)} paths`);
    } else {
      seen.set(place, name);
      urls.set(name, url.value);
    }
  }
  return urls;
}

function weightByHand(
  text: string | undefined,
  name: string,
  problems: string[],
): number | undefined {
  if (text === undefined) return undefined;
  const weight = Number(text);
  if (/^[1-9]\d{0,3}$/.test(text) && weight <= MAX_WEIGHT) return weight;
  problems.push(
    `${WEIGHT_PREFIX}/${name} "${text}": expected a number from 1 to ${String(MAX_WEIGHT)}`,
  );
  return undefined;
}

function isDrained(text: string | undefined, name: string, problems: string[]): boolean {
  if (text !== undefined && text !== 'true' && text !== 'false') {
    problems.push(`${DRAIN_PREFIX}/${name} "${text}": expected true or false`);
  }
  return text === 'true';
}

/** `weight.…/p7` where there is no path p7, well-formed or not. */
function reportDangling(sections: Sections, problems: string[]): void {
  const about = [
    [RACK_PREFIX, sections.rack],
    [ROOM_PREFIX, sections.room],
    [WEIGHT_PREFIX, sections.weight],
    [DRAIN_PREFIX, sections.drain],
  ] as const;
  for (const [prefix, section] of about) {
    for (const [name, value] of section) {
      if (sections.path.has(name)) continue;
      problems.push(`${prefix}/${name} "${value}": there is no ${PATH_PREFIX}/${name}`);
    }
  }
}

function goodPolicy(
  texts: ReadonlyMap<string, string>,
  problems: string[],
): Readonly<Record<string, string>> {
  const policy: Record<string, string> = {};
  for (const [name, value] of texts) {
    if (value.trim() === '') problems.push(`${POLICY_PREFIX}/${name} "": expected a value`);
    else policy[name] = value;
  }
  return policy;
}

/** A value as an error may repeat it: no credentials, no novel. */
function shown(value: string): string {
  const safe = value.replace(/^([a-z]+:\/\/)?.*@/is, '$1…@');
  return safe.length > 256 ? `${safe.slice(0, 256)}…` : safe;
}
