/**
 * Where keys of ours come from and what the driver's own are called.
 *
 * One volume's configuration is spread over three maps: volumeAttributes (immutable, in every CSI
 * request), PV labels and PV annotations (live). They are merged here, annotations last, because the
 * thing that can be edited must win over the thing that cannot. The keys of others, the kubelet's
 * `csi.storage.k8s.io/*` among them, are left out, so that what is persisted and compared is ours.
 *
 * Pure.
 */
import { hash32 } from '../base/hash.ts';
import { cleaned, IDENTITY_PREFIX, KEY_DOMAIN, OWNER_PREFIX, STATUS_PREFIX } from './contract.ts';
import type { Topology } from './topology.ts';

export type KeyMap = Readonly<Record<string, string>>;

/** Annotation with the name of the node that has claimed a single-node volume. */
export const OWNER_KEY = `${OWNER_PREFIX}/node`;
/** Annotation with what its former nodes may still have under way at its targets (debt-annotation.ts). */
export const DEBTS_KEY = `${OWNER_PREFIX}/debts`;
/**
 * Annotation with the logical unit that the volume was first staged on, as pathd words it. Written once;
 * an operator who wants another unit removes it.
 */
export const IDENTITY_KEY = `${IDENTITY_PREFIX}/unit`;

/** The name part of a qualified key: 63 bytes (Kubernetes, validation of annotation keys). */
const NAME_MAX = 63;

/** Where the keys of one volume were found. */
export interface KeySources {
  readonly attributes: KeyMap;
  readonly labels: KeyMap;
  readonly annotations: KeyMap;
}

/**
 * Our keys of all three; annotations beat labels beat attributes. The driver's own are left out.
 */
export function mergeKeys({ attributes, labels, annotations }: KeySources): KeyMap {
  const merged: Record<string, string> = {};
  for (const map of [attributes, labels, annotations]) {
    for (const [key, value] of Object.entries(ourKeys(map))) {
      if (!isDriverKey(key)) merged[key] = value;
    }
  }
  return merged;
}

/** Those of our domain, cleaned; the driver's own (whose tables have several lines) as they are. */
export function ourKeys(map: KeyMap): KeyMap {
  const ours = Object.entries(map).filter(([key]) => {
    const [prefix = ''] = key.split('/', 1);
    return prefix === KEY_DOMAIN || prefix.endsWith(`.${KEY_DOMAIN}`);
  });
  const driver = ours.filter(([key]) => isDriverKey(key));
  const others = ours.filter(([key]) => !isDriverKey(key));
  return { ...cleaned(Object.fromEntries(others)), ...Object.fromEntries(driver) };
}

/** Written by the driver: status, owner, identity. Never configuration. */
export function isDriverKey(key: string): boolean {
  return [STATUS_PREFIX, OWNER_PREFIX, IDENTITY_PREFIX].some((prefix) =>
    key.startsWith(`${prefix}/`),
  );
}

/**
 * `status.prioritypath.io/<node>`. A node name may have 253 characters: a longer one than fits
 * becomes its beginning and eight hex digits of a hash of the whole.
 */
export function statusKey(nodeName: string): string {
  if (nodeName.length <= NAME_MAX) return `${STATUS_PREFIX}/${nodeName}`;
  const hash = hash32('status', nodeName).toString(16).padStart(8, '0');
  const head = nodeName.slice(0, NAME_MAX - 9).replace(/[^a-zA-Z0-9]+$/, '');
  return `${STATUS_PREFIX}/${head}-${hash}`;
}

/**
 * Names of nodes other than `self` that have a status on this PV. What may be a shortened name is left
 * out, since no such Node exists: code that removes those compares `statusKey(name)`.
 */
export function statusNodes(annotations: KeyMap, self: string): readonly string[] {
  return Object.keys(annotations)
    .filter((key) => key.startsWith(`${STATUS_PREFIX}/`) && key !== statusKey(self))
    .map((key) => key.slice(STATUS_PREFIX.length + 1))
    .filter((name) => name.length < NAME_MAX - 9 || !/-[0-9a-f]{8}$/.test(name))
    .sort();
}

/** Which node labels say where a node stands. */
export interface TopologyKeys {
  readonly rack: string;
  readonly room: string;
  /** Used where the node has no room label; empty: no fallback. */
  readonly roomFallback: string;
}

export const DEFAULT_TOPOLOGY_KEYS: TopologyKeys = {
  rack: `topology.${KEY_DOMAIN}/rack`,
  room: `topology.${KEY_DOMAIN}/room`,
  roomFallback: 'topology.kubernetes.io/zone',
};

/**
 * Where a node stands by its labels. An empty value is no value: it would equal other empty ones.
 */
export function topologyOf(labels: KeyMap, keys: TopologyKeys): Topology {
  const value = (key: string): string | undefined => labels[key]?.trim() || undefined;
  return {
    rack: value(keys.rack),
    room: value(keys.room) ?? (keys.roomFallback === '' ? undefined : value(keys.roomFallback)),
  };
}

/** A label key as Kubernetes allows it: `[prefix/]name`. */
export function isLabelKey(text: string): boolean {
  const name = '[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
  const prefix = '[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?';
  return new RegExp(`^(${prefix}/)?${name}$`).test(text);
}
