/** What pathd is asked for, checked: every refusal names the value and what is expected. */
import { writePolicyProblem } from '../paths/policy-check.ts';
import { parsePolicy, type Policy, type PolicySet } from '../paths/policy.ts';
import { PathdError, type UpdateRequest } from './api.ts';

const VOLUME_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const PATH_NAME = /^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/;
const PATHS_MAX = 16;

/** It becomes the name of a file and of a directory; throws INVALID_ARGUMENT. */
export function checkVolumeId(text: string): void {
  if (VOLUME_ID.test(text)) return;
  const shown = JSON.stringify(text.slice(0, 140));
  throw new PathdError('INVALID_ARGUMENT', `volume id ${shown}: expected letters, digits, . _ -`);
}

/** Names of paths, each once; throws INVALID_ARGUMENT. */
export function checkPathNames(names: readonly string[]): void {
  const bad = names.find((name) => !PATH_NAME.test(name));
  if (bad !== undefined) {
    throw new PathdError('INVALID_ARGUMENT', `path name "${bad}": expected a-z, 0-9 and -`);
  }
  if (names.length > PATHS_MAX) {
    const text = `${String(names.length)} paths: a volume has at most ${String(PATHS_MAX)}`;
    throw new PathdError('INVALID_ARGUMENT', text);
  }
}

/** The policy of a request whose values are all good; throws INVALID_ARGUMENT. */
export function checkRequest(request: UpdateRequest, policySet: PolicySet): Policy {
  const { volumeId, paths, pin } = request;
  checkVolumeId(volumeId);
  const bad = (text: string): never => {
    throw new PathdError('INVALID_ARGUMENT', text);
  };
  if (paths.length === 0 || paths.length > PATHS_MAX) {
    bad(`${String(paths.length)} paths: a volume has 1 to ${String(PATHS_MAX)}`);
  }
  if (new Set(paths.map(({ name }) => name)).size !== paths.length) bad('path names repeat');
  for (const { name, port, maxWeight } of paths) {
    if (!PATH_NAME.test(name)) bad(`path name "${name}": expected a-z, 0-9 and -`);
    if (port < 1 || port > 65_535) bad(`port ${String(port)} of ${name}: expected 1..65535`);
    if (maxWeight < 1 || maxWeight > 1_000) bad(`max weight of ${name}: expected 1..1000`);
  }
  if (pin !== '' && !paths.some(({ name }) => name === pin)) bad(`pin "${pin}": no such path`);
  const policy = parsePolicy({ policy: policySet, ...request.policy });
  const unsafe = policy.ok ? writePolicyProblem(policy.value) : undefined;
  if (policy.ok && unsafe === undefined) return policy.value;
  const found = policy.ok ? [] : policy.error;
  const problems = [...found, ...(unsafe === undefined ? [] : [unsafe])].map(
    ({ parameter, message }) => `${parameter}: ${message}`,
  );
  return bad(`policy: ${problems.join('; ')}`);
}

/** What is wanted, as text: equal for requests that want the same, in whatever order they say it. */
export function asText(request: UpdateRequest): string {
  const policy = Object.entries(request.policy).sort(([a], [b]) => (a < b ? -1 : 1));
  const paths = request.paths.map(
    ({ name, host, port, targetName, lun, maxWeight, drained, rack = '', room = '' }) =>
      [name, host, port, targetName, lun, maxWeight, drained, rack, room] as const,
  );
  return JSON.stringify([paths, policy, request.pin]);
}
