/**
 * What a volume is to be, from everything known about it: attributes, PV, topology.
 *
 * Where there is a PV to show an event on, a policy value that is unknown or malformed is told and
 * left out, so that it never keeps a volume from being mounted; pathd, which would refuse the whole
 * request, sees good values only. Every default is the careful one, so leaving a value out makes
 * nothing unsafe. So is a value that is good alone and cannot work with the others; where the values
 * that clash are not the volume's own, or are max weights, it is only told.
 */
import {
  parseVolumeConfig,
  POLICY_PREFIX,
  type VolumeConfig,
  WEIGHT_PREFIX,
} from '../kubernetes/contract.ts';
import { mergeKeys } from '../kubernetes/keys.ts';
import { isMaintained, type Maintenance, NO_MAINTENANCE } from '../kubernetes/maintenance.ts';
import type { Topology, TopologyWeights } from '../kubernetes/topology.ts';
import { checkPolicy, writePolicyProblem } from '../paths/policy-check.ts';
import { PARAMETERS, parsePolicy, type PolicyProblem } from '../paths/policy.ts';
import type { KnownVolume } from './known.ts';
import type { PolicyDefaults } from './policy-defaults.ts';

export function configOf(
  { attributes, pv }: Pick<KnownVolume, 'attributes' | 'pv'>,
  topology: Topology,
  weights: TopologyWeights,
  defaults: PolicyDefaults,
  maintenance: Maintenance = NO_MAINTENANCE,
): VolumeConfig {
  const { annotations = {}, labels = {} } = pv ?? {};
  const config = underMaintenance(
    parseVolumeConfig(mergeKeys({ attributes, labels, annotations }), topology, weights),
    maintenance,
  );
  const alone = parsePolicy(config.policy);
  const good = alone.ok ? config : withoutValues(config, alone.error);
  const together = parsePolicy({ ...defaults, ...good.policy });
  if (!together.ok) return good;
  const maxWeights = good.paths.map(({ maxWeight }) => maxWeight);
  const able = withoutValues(good, checkPolicy(together.value, maxWeights));
  if (writePolicyProblem(together.value) === undefined) return able;
  // pathd would refuse the whole request, and left out the chart's value could count again.
  return { ...able, policy: { ...able.policy, [PARAMETERS.writePolicy.name]: 'through' } };
}

/** Drained is what the volume drains, and what the cluster's operator does. */
function underMaintenance(config: VolumeConfig, maintenance: Maintenance): VolumeConfig {
  const paths = config.paths.map((path) =>
    isMaintained(path, maintenance) ? { ...path, drained: true } : path,
  );
  return { ...config, paths };
}

/** Without the volume's own values that are the problem; each problem is told. */
function withoutValues(config: VolumeConfig, problems: readonly PolicyProblem[]): VolumeConfig {
  const bad = new Map(problems.map(({ parameter, message }) => [parameter, message]));
  const policy = Object.fromEntries(
    Object.entries(config.policy).filter(([name]) => !bad.has(name)),
  );
  const told = [...bad].map(([name, message]) => {
    if (name === 'weight') return `${WEIGHT_PREFIX}: ${message}`;
    const value = config.policy[name];
    const shown = value === undefined ? '' : ` "${value}"`;
    return `${POLICY_PREFIX}/${name}${shown}: ${message}`;
  });
  return { ...config, policy, problems: [...config.problems, ...told] };
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
