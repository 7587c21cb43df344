/**
 * Whether a path that falls silent with writes unanswered could be fenced, found out while the paths
 * answer, before it is needed (D19). `reset` needs a portal that answers; for one that does not there is
 * `preempt`, where the paths share a device server that is reserved, or what the operator declared.
 */
import { type Fencing, isAnyDeclared } from '../../paths/policy-values.ts';

export type FenceOutlook =
  | { readonly kind: 'covered' }
  /** Proved: nothing could fence them. */
  | { readonly kind: 'apart'; readonly detail: string }
  /** Not known, or not yet. */
  | { readonly kind: 'unproved'; readonly detail: string };

export interface OutlookQuestion {
  readonly policy: Fencing;
  readonly paths: readonly string[];
  /** Paths of the device server that is reserved. */
  readonly members: readonly string[];
  /** Pairs proved to lead to device servers of their own. */
  readonly apart: readonly (readonly [string, string])[];
}

const ADVICE =
  'set policy.prioritypath.io/fencing to what is true of the targets: "gone" if a refused connection ' +
  'means a dead target, "delay=<time>" if a target drops a lost initiator\'s commands within that time, ' +
  'or "none" to go on unfenced at your own risk';

export function fenceOutlook(question: OutlookQuestion): FenceOutlook {
  const { policy, paths, members, apart } = question;
  if (isAnyDeclared(policy) || paths.length < 2) return { kind: 'covered' };
  if (paths.every((path) => members.includes(path))) return { kind: 'covered' };
  const [pair] = apart.filter((both) => both.every((path) => paths.includes(path)));
  if (pair !== undefined) {
    const detail = `${pair.join(' and ')} lead to device servers of their own`;
    return { kind: 'apart', detail: `${detail}: ${silent(pair)}; ${ADVICE}` };
  }
  const others = paths.filter((path) => !members.includes(path));
  const detail = `whether ${others.join(', ')} can be fenced through another path is not proved`;
  return {
    kind: 'unproved',
    detail: `${detail}: ${silent(others)} as long as it is not; ${ADVICE}`,
  };
}

function silent(paths: readonly string[]): string {
  const which = paths.length > 1 ? 'one of them' : 'it';
  return `I/O would be held if ${which} fell silent with writes unanswered`;
}
