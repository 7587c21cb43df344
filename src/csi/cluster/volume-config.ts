/**
 * What a volume is to be, from everything known about it: attributes, PV, topology.
 *
 * Where there is a PV to show an event on, a policy value that is unknown or malformed is told and left
 * out, so that it does not keep a volume from being mounted; pathd, which would refuse the whole request,
 * sees good values only. Their defaults are the safe ones. `portals` and `reservation` are not like that: the
 * default `fixed` would take a gateway for the one that was written to. So a stage is refused where one of
 * them is not understood, or where an unknown name is likely to be meant for one of them.
 * A value that is good alone and cannot work with the others is left out too. Where the values that clash
 * are not the volume's own, or are max weights, the clash is only told.
 *
 * A volume that is in use may be edited. A value that is malformed leaves the value before in force;
 * values that cannot work together leave all values before in force.
 */
import {
  parseVolumeConfig,
  POLICY_PREFIX,
  type VolumeConfig,
  WEIGHT_PREFIX,
} from '../../kubernetes/contract.ts';
import type { KeyTexts } from '../../kubernetes/kept.ts';
import { mergeKeys } from '../../kubernetes/keys.ts';
import { isMaintained, type Maintenance, NO_MAINTENANCE } from '../../kubernetes/maintenance.ts';
import type { Topology, TopologyWeights } from '../../kubernetes/topology.ts';
import { checkPolicy, writePolicyProblem } from '../../paths/policy-check.ts';
import { PARAMETERS, parsePolicy, type PolicyProblem } from '../../paths/policy.ts';
import type { KnownVolume } from './known.ts';
import type { PolicyDefaults } from './policy-defaults.ts';

/** @param known with what is in force while the volume is in use (`good`); without: nothing is. */
export function configOf(
  { attributes, pv, good: before = {} }: Pick<KnownVolume, 'attributes' | 'pv' | 'good'>,
  topology: Topology,
  weights: TopologyWeights,
  defaults: PolicyDefaults,
  maintenance: Maintenance = NO_MAINTENANCE,
): VolumeConfig {
  const { annotations = {}, labels = {} } = pv ?? {};
  const config = underMaintenance(
    parseVolumeConfig(mergeKeys({ attributes, labels, annotations }), topology, weights, before),
    maintenance,
  );
  const was = policyIn(before);
  const alone = parsePolicy(config.policy);
  const good = alone.ok ? config : eachGood(config, alone.error, was);
  const able = together(good, defaults, was);
  return { ...able, good: { ...withoutPolicy(able.good), ...asKeys(able.policy) } };
}

/** Each value that is malformed is what it was before, or left out. */
function eachGood(
  config: VolumeConfig,
  problems: readonly PolicyProblem[],
  was: KeyTexts,
): VolumeConfig {
  const kept = keptOf(problems, was);
  const left = withoutValues(config, problems, (name) =>
    kept[name] === undefined ? '' : `; it stays "${kept[name]}"`,
  );
  return { ...left, policy: { ...left.policy, ...kept } };
}

/** The former values of parameters whose present ones are malformed. */
function keptOf(problems: readonly PolicyProblem[], was: KeyTexts): KeyTexts {
  const names = problems.map(({ parameter }) => parameter).filter((name) => name in was);
  const kept = Object.fromEntries(names.map((name) => [name, was[name] ?? '']));
  return parsePolicy(kept).ok ? kept : {};
}

/** Values that are good each for itself, and work together. */
function together(config: VolumeConfig, defaults: PolicyDefaults, was: KeyTexts): VolumeConfig {
  const maxWeights = config.paths.map(({ maxWeight }) => maxWeight);
  const problemsOf = (policy: KeyTexts): readonly PolicyProblem[] | undefined => {
    const parsed = parsePolicy({ ...defaults, ...policy });
    return parsed.ok ? checkPolicy(parsed.value, maxWeights) : undefined;
  };
  const problems = problemsOf(config.policy) ?? [];
  if (problems.some(({ parameter }) => parameter in config.policy) && !isSame(config.policy, was)) {
    const before = problemsOf(was);
    const others = before?.filter(({ parameter }) => parameter in was);
    if (Object.keys(was).length > 0 && others?.length === 0) {
      const told = withoutValues(config, problems, () => '; the policy stays as it was');
      return { ...told, policy: was };
    }
  }
  const able = withoutValues(config, problems);
  const parsed = parsePolicy({ ...defaults, ...config.policy });
  if (!parsed.ok || writePolicyProblem(parsed.value) === undefined) return able;
  // pathd would refuse the whole request, and left out the chart's value could count again.
  return { ...able, policy: { ...able.policy, [PARAMETERS.writePolicy.name]: 'through' } };
}

function isSame(a: KeyTexts, b: KeyTexts): boolean {
  return JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
}

const POLICY_KEY = `${POLICY_PREFIX}/`;

/** Policy parameters among values by key. */
function policyIn(values: KeyTexts): KeyTexts {
  const keys = Object.entries(values).filter(([key]) => key.startsWith(POLICY_KEY));
  return Object.fromEntries(keys.map(([key, value]) => [key.slice(POLICY_KEY.length), value]));
}

function asKeys(policy: KeyTexts): KeyTexts {
  return Object.fromEntries(
    Object.entries(policy).map(([name, value]) => [`${POLICY_KEY}${name}`, value]),
  );
}

function withoutPolicy(values: KeyTexts): KeyTexts {
  return Object.fromEntries(Object.entries(values).filter(([key]) => !key.startsWith(POLICY_KEY)));
}

/** Drained is what the volume drains, and what the cluster's operator does. */
function underMaintenance(config: VolumeConfig, maintenance: Maintenance): VolumeConfig {
  const paths = config.paths.map((path) =>
    isMaintained(path, maintenance) ? { ...path, drained: true } : path,
  );
  return { ...config, paths };
}

/** Without the volume's own values that are the problem; each problem is told. */
function withoutValues(
  config: VolumeConfig,
  problems: readonly PolicyProblem[],
  instead: (name: string) => string = () => '',
): VolumeConfig {
  const bad = new Map(problems.map(({ parameter, message }) => [parameter, message]));
  const policy = Object.fromEntries(
    Object.entries(config.policy).filter(([name]) => !bad.has(name)),
  );
  const told = [...bad].map(([name, message]) => {
    if (name === 'weight') return `${WEIGHT_PREFIX}: ${message}`;
    const value = config.policy[name];
    const shown = value === undefined ? '' : ` "${value}"`;
    return `${POLICY_PREFIX}/${name}${shown}: ${message}${instead(name)}`;
  });
  return { ...config, policy, problems: [...config.problems, ...told] };
}

const NEEDED_TO_BE_SAFE: readonly string[] = [PARAMETERS.portals.name, PARAMETERS.reservation.name];

/** Problems because of which the volume must not be staged: a value left out would not be safe. */
export function unsafeToLeaveOut({ problems }: VolumeConfig): readonly string[] {
  return problems.filter((problem) => {
    if (!problem.startsWith(POLICY_KEY)) return false;
    const name = /^[^\s:]*/.exec(problem.slice(POLICY_KEY.length))?.[0] ?? '';
    const meant = /did you mean ([^?]*)\?/.exec(problem)?.[1] ?? name;
    return NEEDED_TO_BE_SAFE.includes(meant);
  });
}

/**
 * The part that pathd is given, as one text to be compared; the defaults go there too, so where they
 * differ from the last csi's, every volume is updated once.
 */
export function wanted({ paths, policy, pin }: VolumeConfig, defaults: PolicyDefaults): string {
  return JSON.stringify([
    paths,
    Object.entries(policy).sort(),
    pin ?? '',
    JSON.stringify(defaults),
  ]);
}
