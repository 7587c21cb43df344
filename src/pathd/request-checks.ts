/** Checks of the requests to pathd: every refusal names the value and what is expected. */
import { writePolicyProblem } from '../paths/policy-check.ts';
import { parsePolicy, type Policy, type PolicySet } from '../paths/policy.ts';
import { type Debt, PathdError, type PathSpec, type UpdateRequest } from './api.ts';
import { isPathName, PATH_SPEC, PATHS_MAX, WEIGHT_MAX } from './facts.ts';
import { initiatorNameProblem } from './node-state.ts';

const VOLUME_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** It becomes the name of a file and of a directory; throws INVALID_ARGUMENT. */
export function checkVolumeId(text: string): void {
  if (VOLUME_ID.test(text)) return;
  const shown = JSON.stringify(text.slice(0, 140));
  throw new PathdError('INVALID_ARGUMENT', `volume id ${shown}: expected letters, digits, . _ -`);
}

const DEBTS_MAX = 64;
/** Of one debt: a claim names every address that a path has had while it stood; the annotation's bound is ahead of it. */
const DEBT_PATHS_MAX = 1_024;
/** Of a target, of an initiator, of a host, of a node: what people read, and what goes into a login. */
const PLAIN = /^[!-~ ]{0,255}$/;
const ISID = /^([0-9a-f]{12})?$/i;

/** Debts as a claim tells them; throws INVALID_ARGUMENT: what is not understood is not fenced. */
export function checkDebts(debts: readonly Debt[]): void {
  const bad = (text: string): never => {
    throw new PathdError('INVALID_ARGUMENT', `debts of former nodes: ${text}`);
  };
  if (debts.length > DEBTS_MAX)
    bad(`${String(debts.length)} of them, at most ${String(DEBTS_MAX)}`);
  for (const { node, sinceUnixMs, initiatorName, paths } of debts) {
    if (!PLAIN.test(node)) bad('the name of a node has characters that no name has');
    const problem = initiatorName === '' ? undefined : initiatorNameProblem(initiatorName);
    if (problem !== undefined) bad(problem);
    if (!Number.isSafeInteger(sinceUnixMs) || sinceUnixMs < 0) bad(`since ${String(sinceUnixMs)}`);
    if (paths.length > DEBT_PATHS_MAX) bad(`${String(paths.length)} paths of node ${node}`);
    for (const { name, host, port, targetName, lun, isid } of paths) {
      const texts = [name, host, targetName].every((text) => PLAIN.test(text));
      if (!texts) bad(`a path of node ${node} has characters that none has`);
      if (!(port >= 0 && port <= 65_535 && lun >= 0)) bad(`port or LUN of ${name} of node ${node}`);
      if (!ISID.test(isid)) bad(`ISID of ${name} of node ${node}: expected 12 hex digits`);
    }
  }
}

/** Names of paths, each once; throws INVALID_ARGUMENT. */
export function checkPathNames(names: readonly string[]): void {
  const bad = names.find((name) => !isPathName(name));
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
    if (!isPathName(name)) bad(`path name "${name}": expected a-z, 0-9 and -`);
    if (port < 1 || port > 65_535) bad(`port ${String(port)} of ${name}: expected 1..65535`);
    if (maxWeight < 1 || maxWeight > WEIGHT_MAX) {
      bad(`max weight of ${name}: expected 1..${String(WEIGHT_MAX)}`);
    }
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

const ATTRIBUTES = Object.keys(PATH_SPEC) as readonly (keyof PathSpec)[];

/** What is wanted, as text: equal for requests that want the same, in whatever order they say it. */
export function asText(request: UpdateRequest): string {
  const policy = Object.entries(request.policy).sort(([a], [b]) => (a < b ? -1 : 1));
  const paths = request.paths.map((path) => ATTRIBUTES.map((name) => path[name] ?? ''));
  return JSON.stringify([paths, policy, request.pin]);
}
