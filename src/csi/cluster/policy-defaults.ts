/**
 * Policy values of the whole cluster (chart values), beneath what a volume's annotations say. They
 * belong to csi and not to pathd's flags, because a csi that is rolled takes new ones to every mounted
 * volume by an ordinary update, while pathd's flags change only where its pod is replaced.
 *
 * Merged at the border to pathd, so that everything else in csi (what is persisted, compared, shown)
 * is about what the volume itself says.
 */
import { type Result, err, ok } from '../../base/result.ts';
import type { TopologyWeights } from '../../kubernetes/topology.ts';
import type { PathdApi } from '../../pathd/api.ts';
import { checkPolicy } from '../../paths/policy-check.ts';
import { parsePolicy } from '../../paths/policy.ts';

/** Parameter names and values as typed. */
export type PolicyDefaults = Readonly<Record<string, string>>;

/**
 * Reads `{"policy":"fast","no-path-timeout":"30s"}`. The error names every value that is wrong, also
 * those that cannot work together or with the weights: once at start, not at every stage.
 */
export function parsePolicyDefaults(
  json: string,
  weights: TopologyWeights,
): Result<PolicyDefaults, string> {
  const defaults = stringsOf(json);
  if (defaults === undefined) return err('expected a JSON object of texts by parameter name');
  const policy = parsePolicy(defaults);
  const problems = policy.ok
    ? checkPolicy(policy.value, Object.values(weights) as number[])
    : policy.error;
  if (problems.length === 0) return ok(defaults);
  return err(problems.map(({ parameter, message }) => `${parameter}: ${message}`).join('; '));
}

function stringsOf(json: string): PolicyDefaults | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const texts = Object.values(value).every((one) => typeof one === 'string');
  return texts ? (value as PolicyDefaults) : undefined;
}

/** `pathd`, with the defaults beneath every volume's own values. */
export function withPolicyDefaults<P extends PathdApi>(pathd: P, defaults: PolicyDefaults): P {
  return {
    ...pathd,
    attach: (request) => pathd.attach({ ...request, policy: { ...defaults, ...request.policy } }),
    update: (request) => pathd.update({ ...request, policy: { ...defaults, ...request.policy } }),
  };
}
