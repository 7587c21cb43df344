/**
 * Sets of values that are each in range and cannot work together (D62). Checked when a volume is staged,
 * with the weights of its paths; every problem is named, with the figures that clash.
 */
import type { Policy, PolicyProblem } from './policy.ts';
import { PARAMETERS } from './policy.ts';
import { formatDuration, isAnyDeclared } from './policy-values.ts';
import { FLOOR } from './weight.ts';

/** How long a silent death goes unnoticed at worst, without I/O: one period and k deadlines. */
export function detectionBoundMs(policy: Policy): number {
  // Not times 1.1: 100 ms would be 110.00000000000001.
  const period = (policy.probeIntervalMs * (100 + policy.probeJitterPercent)) / 100;
  return Math.ceil(period) + policy.probeFailures * policy.probeTimeoutMs;
}

/** All problems of a policy for paths of these max weights; empty when it can work. */
export function checkPolicy(
  policy: Policy,
  maxWeights: readonly number[],
): readonly PolicyProblem[] {
  const problems = [...weightProblems(policy, maxWeights), ...orderProblems(policy)];
  const more = [writePolicyProblem(policy), portalsProblem(policy)];
  return [...problems, ...more.filter((problem) => problem !== undefined)];
}

/**
 * Write policy `log` under a policy that takes away what it needs. Not only told but refused by the code
 * that opens a volume: acknowledged writes are at stake.
 */
export function writePolicyProblem(policy: Policy): PolicyProblem | undefined {
  if (policy.writePolicy !== 'log' || !policy.fencing.none) return undefined;
  const message =
    'log replays writes that were acknowledged, and without a fence the abandoned path may still write ' +
    `older data over them: take none out of ${PARAMETERS.fencing.name}, or use through`;
  return { parameter: PARAMETERS.writePolicy.name, message };
}

/** Where addresses float, a reset counts by a registered key; without reservations there is none. */
function portalsProblem({ portals, reservation, fencing }: Policy): PolicyProblem | undefined {
  if (portals === 'fixed' || reservation === 'auto' || isAnyDeclared(fencing)) return undefined;
  const message =
    `floating needs ${PARAMETERS.reservation.name}: auto, or gone, delay= or none in ` +
    `${PARAMETERS.fencing.name}: nothing else could fence a path`;
  return { parameter: PARAMETERS.portals.name, message };
}

function weightProblems(policy: Policy, maxWeights: readonly number[]): readonly PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  const tiers = [...new Set(maxWeights)].sort((a, b) => a - b);
  const min = tiers[0];
  const max = tiers.at(-1);
  if (min === undefined || max === undefined) return problems;
  if (min <= FLOOR || max >= 2 * min) {
    const message =
      `max weights ${max} and ${min}: one halving must bring every path below every healthy one, ` +
      `so the largest has to be less than twice the smallest (and that more than ${FLOOR})`;
    problems.push({ parameter: 'weight', message });
  }
  const gap = Math.min(...tiers.slice(1).map((tier, i) => tier - (tiers[i] ?? 0)));
  if (policy.failbackLead > gap) {
    const message =
      `${policy.failbackLead} is more than the smallest gap between two max weights (${gap}): ` +
      'the volume could never go back';
    problems.push({ parameter: PARAMETERS.failbackLead.name, message });
  }
  return problems;
}

type DurationField = {
  readonly [K in keyof Policy]: Policy[K] extends number ? K : never;
}[keyof Policy];

/** Pairs that must be in this order: the first no longer than the second. */
export const LADDER: readonly (readonly [DurationField, DurationField])[] = [
  ['probeGapMs', 'probeIntervalMs'],
  ['probeGapMs', 'probeIntervalStandbyMs'],
  ['probeGapMs', 'probeIntervalDownMs'],
  ['probeIntervalDownMs', 'probeIntervalDownMaxMs'],
  ['brownOutLatencyMs', 'probeTimeoutMs'],
  ['ioDeadlineMs', 'flushDeadlineMs'],
  ['ioDeadlineMs', 'commandTimeoutMs'],
  ['holdDownMs', 'holdDownMaxMs'],
  ['probeTimeoutMs', 'loginTimeoutMs'],
];

function orderProblems(policy: Policy): readonly PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  for (const [shorter, longer] of LADDER) {
    if (policy[shorter] <= policy[longer]) continue;
    const parameter = PARAMETERS[shorter].name;
    const [a, b] = [formatDuration(policy[shorter]), formatDuration(policy[longer])];
    const message = `${a} is longer than ${PARAMETERS[longer].name} (${b})`;
    problems.push({ parameter, message });
  }
  if (policy.brownOutWindows > policy.brownOutSpan) {
    const message = `${policy.brownOutWindows} of ${policy.brownOutSpan} windows cannot be slow`;
    problems.push({ parameter: PARAMETERS.brownOutWindows.name, message });
  }
  return [...problems, ...timeoutProblems(policy)];
}

/** I/O that is held must outlast a failover; 0 stands for not holding it at all. */
function timeoutProblems(policy: Policy): readonly PolicyProblem[] {
  const held = policy.noPathTimeoutMs;
  const problems: PolicyProblem[] = [];
  const add = (parameter: string, message: string): void => {
    problems.push({ parameter, message });
  };
  const bound = detectionBoundMs(policy);
  if (held > 0 && held <= bound) {
    const [a, b] = [formatDuration(held), formatDuration(bound)];
    add(PARAMETERS.noPathTimeoutMs.name, `${a} ends before a dead path is noticed (up to ${b})`);
  }
  const delay = policy.fencing.delayMs;
  if (delay !== undefined && held > 0 && held <= delay) {
    const [a, b] = [formatDuration(held), formatDuration(delay)];
    add(PARAMETERS.noPathTimeoutMs.name, `${a} ends before the fence's delay of ${b} is over`);
  }
  return problems;
}
