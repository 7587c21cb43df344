/**
 * The Kubernetes contract: which keys people write on a PersistentVolume, and what they mean. The
 * only place where the driver's name and the domain of its keys are spelled.
 *
 * `parseVolumeConfig` takes one flat map, because the same keys may come from annotations, labels and
 * volumeAttributes (the caller merges them and decides which one wins). It is total: good paths come out
 * even when others are malformed, and every malformed value is reported with what was expected, all at
 * once, so that a PV is corrected in one edit. Unknown keys of our domain are reported too, because a
 * misspelt `drain.` that is silently ignored leaves I/O on a target that is about to be switched off. Of
 * a volume that is in use a malformed value leaves in force what the key said before (kept.ts).
 *
 * Pure: no node, no Kubernetes client, no clock.
 */
import { printable } from '../base/printable.ts';
import { err, ok, type Result } from '../base/result.ts';
import type { PathSpec } from '../pathd/api.ts';
import { isPathName, PATH_NAME_MAX, PATHS_MAX, WEIGHT_MAX } from '../pathd/facts.ts';
import { hidden, KeptValues, shown, type KeyTexts } from './kept.ts';
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
export const IDENTITY_PREFIX = `identity.${KEY_DOMAIN}`;

export interface VolumeConfig {
  /** At most 16, sorted by name, no two with the same portal, target and LUN. */
  readonly paths: readonly PathSpec[];
  /** Name of one of `paths`. */
  readonly pin: string | undefined;
  /** Policy parameters by name, values as typed; pathd knows which exist. */
  readonly policy: KeyTexts;
  /** PV named by `prioritypath.io/pv`. */
  readonly pvName: string | undefined;
  /** Paths whose weight is a guess because rack and room labels are missing. */
  readonly topologyUnknown: readonly string[];
  /** One line per malformed key: `key "value": expected …`. Empty when all is well. */
  readonly problems: readonly string[];
  /** By key, the values in force: to be given back as `before` when the keys are read again. */
  readonly good: KeyTexts;
}

/**
 * Reads our keys out of a map; other people's keys are ignored.
 *
 * @param before `good` of what the volume in use has now; empty: it is not in use.
 */
export function parseVolumeConfig(
  keys: KeyTexts,
  node: Topology,
  weights: TopologyWeights,
  before: KeyTexts = {},
): VolumeConfig {
  const kept = new KeptValues(before);
  const own = cleaned(keys);
  const sections = sortKeys(own, kept);
  const paths: PathSpec[] = [];
  const topologyUnknown: string[] = [];
  for (const [name, url] of goodUrls(sections.path, kept)) {
    // An empty label is no label: it would equal other empty ones, or hide that it is missing.
    const place = (of: ReadonlyMap<string, string>): string | undefined =>
      of.get(name)?.trim() || undefined;
    const target = { rack: place(sections.rack), room: place(sections.room) };
    const { tier, unknown } = distance(node, target);
    const byHand = readValue(WEIGHT_PREFIX, sections.weight, name, kept, parseWeight);
    if (unknown && byHand === undefined) topologyUnknown.push(name);
    const drained = readValue(DRAIN_PREFIX, sections.drain, name, kept, parseDrain) ?? false;
    const { rack, room } = target;
    const stands = {
      ...(rack === undefined ? {} : { rack }),
      ...(room === undefined ? {} : { room }),
    };
    paths.push({ name, ...url, maxWeight: byHand ?? weights[tier], drained, ...stands });
  }
  reportDangling(sections, kept);
  const names = new Set(paths.map(({ name }) => name));
  return {
    paths,
    pin: readPin(own[PIN_KEY], names, kept),
    policy: goodPolicy(sections.policy, kept),
    pvName: own[PV_KEY],
    topologyUnknown,
    problems: kept.problems,
    good: kept.good,
  };
}

/** More than any good value has; a target's name has 223 bytes at most. */
const VALUE_MAX = 1024;
/** `prefix/name`: 253 and 63 characters. volumeAttributes may have longer keys. */
const KEY_MAX = 317;

/** Keys and values as they may be kept, compared and repeated: see base/printable.ts. */
export function cleaned(keys: KeyTexts): KeyTexts {
  return Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [
      printable(key, KEY_MAX),
      printable(value.length > VALUE_MAX ? hidden(value) : value, VALUE_MAX).trim(),
    ]),
  );
}

/** As many problems as one error or Event repeats; the first ones are corrected first. */
const PROBLEMS_MAX = 16;

/** All problems as one text for an error or an Event. */
export function describeProblems(problems: readonly string[]): string {
  const left = problems.length - PROBLEMS_MAX;
  const more = left > 0 ? [`and ${String(left)} more`] : [];
  return [...problems.slice(0, PROBLEMS_MAX), ...more].join('; ');
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
function sortKeys(keys: KeyTexts, kept: KeptValues): Sections {
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
    if ([STATUS_PREFIX, OWNER_PREFIX, IDENTITY_PREFIX].includes(prefix)) continue;
    if (key === PIN_KEY || key === PV_KEY) continue;
    const section = PREFIXES.get(prefix);
    if (section === undefined || name === undefined || rest.length > 0) {
      kept.problem(key, value, `unknown key, expected ${KNOWN_KEYS}`);
    } else if (!isPathName(name)) {
      const most = String(PATH_NAME_MAX);
      const why = `the name after "/" must be lower-case letters, digits and "-", at most ${most}`;
      kept.problem(key, value, why);
    } else {
      sections[section].set(name, value);
    }
  }
  return sections;
}

/** A path that is to be in force: as the key says now, or as it was. */
interface Claim {
  readonly name: string;
  readonly key: string;
  readonly text: string;
  readonly isNew: boolean;
}

/**
 * Parsed URLs by path name, without duplicates and without more than PATHS_MAX. What has not changed goes
 * before what has: of two paths that an edit made equal, the one that was edited is at fault.
 */
function goodUrls(texts: ReadonlyMap<string, string>, kept: KeptValues): Map<string, PathUrl> {
  /** Why a value is not taken, by path. */
  const refused = new Map<string, string>();
  for (;;) {
    const claims = claimsOf(texts, refused, kept);
    const { urls, clashes } = place(claims);
    const news = [...clashes].filter(([name]) => !refused.has(name));
    for (const [name, why] of news) refused.set(name, why);
    // What came into force in place of a refused value may be in the way of another new one.
    if (news.length > 0) continue;
    for (const [name, text] of texts) {
      const key = `${PATH_PREFIX}/${name}`;
      const inForce = claims.find((claim) => claim.name === name && urls.has(name))?.text;
      if (inForce !== undefined) kept.accept(key, inForce);
      const why = refused.get(name);
      if (why === undefined) continue;
      kept.problem(key, text, inForce === undefined ? why : `${why}; it stays "${shown(inForce)}"`);
    }
    return new Map([...urls].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

/** Those in force before come first, each group in the order of names. */
function claimsOf(
  texts: ReadonlyMap<string, string>,
  refused: ReadonlyMap<string, string>,
  kept: KeptValues,
): readonly Claim[] {
  const claims: Claim[] = [];
  for (const [name, typed] of texts) {
    const key = `${PATH_PREFIX}/${name}`;
    const before = kept.before(key);
    const text = refused.has(name) ? before : typed;
    if (text !== undefined) claims.push({ name, key, text, isNew: text !== before });
  }
  return claims.toSorted((a, b) => Number(a.isNew) - Number(b.isNew));
}

function place(claims: readonly Claim[]): {
  readonly urls: Map<string, PathUrl>;
  readonly clashes: ReadonlyMap<string, string>;
} {
  const urls = new Map<string, PathUrl>();
  const clashes = new Map<string, string>();
  const seen = new Map<string, string>();
  for (const { name, text } of claims) {
    const url = parsePathUrl(text);
    if (!url.ok) {
      clashes.set(name, url.error);
      continue;
    }
    const { host, port, targetName, lun } = url.value;
    const where = `${host} ${String(port)} ${targetName} ${String(lun)}`;
    const other = seen.get(where);
    if (other !== undefined) {
      clashes.set(name, `the same portal, target and LUN as path ${other}`);
    } else if (urls.size === PATHS_MAX) {
      clashes.set(name, `expected at most ${String(PATHS_MAX)} paths`);
    } else {
      seen.set(where, name);
      urls.set(name, url.value);
    }
  }
  return { urls, clashes };
}

function readValue<T>(
  prefix: string,
  section: ReadonlyMap<string, string>,
  name: string,
  kept: KeptValues,
  parse: (text: string) => Result<T, string>,
): T | undefined {
  const text = section.get(name);
  return text === undefined ? undefined : kept.read(`${prefix}/${name}`, text, parse);
}

function parseWeight(text: string): Result<number, string> {
  const weight = Number(text);
  if (/^[1-9]\d{0,3}$/.test(text) && weight <= WEIGHT_MAX) return ok(weight);
  return err(`expected a number from 1 to ${String(WEIGHT_MAX)}`);
}

function parseDrain(text: string): Result<boolean, string> {
  return text === 'true' || text === 'false' ? ok(text === 'true') : err('expected true or false');
}

function readPin(
  text: string | undefined,
  names: ReadonlySet<string>,
  kept: KeptValues,
): string | undefined {
  if (text === undefined) return undefined;
  return kept.read(PIN_KEY, text, (name) =>
    names.has(name) ? ok(name) : err('expected the name of a path'),
  );
}

/** `weight.…/p7` where there is no path p7, well-formed or not. */
function reportDangling(sections: Sections, kept: KeptValues): void {
  const about = [
    [RACK_PREFIX, sections.rack],
    [ROOM_PREFIX, sections.room],
    [WEIGHT_PREFIX, sections.weight],
    [DRAIN_PREFIX, sections.drain],
  ] as const;
  for (const [prefix, section] of about) {
    for (const [name, value] of section) {
      if (sections.path.has(name)) continue;
      kept.problem(`${prefix}/${name}`, value, `there is no ${PATH_PREFIX}/${name}`);
    }
  }
}

function goodPolicy(texts: ReadonlyMap<string, string>, kept: KeptValues): KeyTexts {
  const policy: Record<string, string> = {};
  const parse = (text: string): Result<string, string> =>
    text === '' ? err('expected a value') : ok(text);
  for (const name of texts.keys()) {
    const value = readValue(POLICY_PREFIX, texts, name, kept, parse);
    if (value !== undefined) policy[name] = value;
  }
  return policy;
}
