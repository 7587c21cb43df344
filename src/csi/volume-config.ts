/**
 * What a volume is to be, from everything known about it: attributes, PV, topology.
 *
 * Where there is a PV to show an event on, a policy value that is unknown or malformed is told and
 * left out, so that it never keeps a volume from being mounted; pathd, which would refuse the whole
 * request, sees good values only. Every default is the careful one, so leaving a value out makes
 * nothing unsafe.
 */
import { parseVolumeConfig, POLICY_PREFIX, type VolumeConfig } from '../kubernetes/contract.ts';
import { mergeKeys } from '../kubernetes/keys.ts';
import type { Topology, TopologyWeights } from '../kubernetes/topology.ts';
import { parsePolicy } from '../paths/policy.ts';
import type { KnownVolume } from './known.ts';

export function configOf(
  { attributes, pv }: Pick<KnownVolume, 'attributes' | 'pv'>,
  topology: Topology,
  weights: TopologyWeights,
): VolumeConfig {
  const { annotations = {}, labels = {} } = pv ?? {};
  const config = parseVolumeConfig(
    mergeKeys({ attributes, labels, annotations }),
    topology,
    weights,
  );
  const checked = parsePolicy(config.policy);
  if (checked.ok) return config;
  const bad = new Map(checked.error.map(({ parameter, message }) => [parameter, message]));
  const policy = Object.fromEntries(
    Object.entries(config.policy).filter(([name]) => !bad.has(name)),
  );
  const problems = [...bad].map(
    ([name, message]) => `${POLICY_PREFIX}/${name} "${config.policy[name] ?? ''}": ${message}`,
  );
  return { ...config, policy, problems: [...config.problems, ...problems] };
}

/** The part that pathd is given, as one text to be compared. `fixed`: what else goes to pathd. */
export function wanted({ paths, policy, pin }: VolumeConfig, fixed: string): string {
  return JSON.stringify([paths, Object.entries(policy).sort(), pin ?? '', fixed]);
}
