/**
 * The fence (D10, D12): before any write goes out on another path, the abandoned one must not be able to execute
 * what it still has of ours. A closed socket proves nothing: a frozen target executes what already lies
 * in its receive buffer hours later (a ghost write), over data that is newer.
 *
 * The rungs, strongest that the situation allows first; one success is enough:
 *
 *   reset    the old portal answers: the session is reinstated (same InitiatorName and ISID, from CSG=0:
 *            the target drops the old session and what it had not read), then LOGICAL UNIT RESET, whose
 *            answer says that every task has ended (RFC 7143 6.3.5, 11.5.1), then SYNCHRONIZE CACHE,
 *            for a reset leaves old data in a write cache of the target's own. Always allowed; where
 *            addresses may move to another gateway it counts only with proof (nexus-proof.ts).
 *   preempt  the old portal is silent, and another path leads to the same device server, which holds the
 *            unit reserved for registered paths: the old one loses its registration there, so that what
 *            it brings is refused, and a LOGICAL UNIT RESET ends what it has begun (preempt-fence.ts).
 *   gone     nothing listens on the old portal: the target process is dead. Only where the operator said
 *            that a refused connection means that, for a load balancer may refuse for a live target.
 *   delay    the time after which the operator's target has given up what it had of us.
 *   none     asked for by name: go on without a fence.
 *
 * If one rung fails, the next is tried. If all fail, the I/O is held and the ladder is climbed again.
 */
import type { Instant } from '../../base/brand.ts';
import { err, type Result } from '../../base/result.ts';
import type { Policy } from '../../paths/policy.ts';
import type { Fencing } from '../../paths/policy-values.ts';
import type { TransportFailure } from '../../ports/session.ts';
import type { FenceLimits } from '../unit/unit-reset.ts';
import { unprovable } from './nexus-proof.ts';

/** Strongest first. `test/unit/pathd/facts.test.ts` finds what names them by hand and forgets one. */
export const FENCE_RUNGS = ['reset', 'preempt', 'gone', 'delay', 'none'] as const;
export type FenceRung = (typeof FENCE_RUNGS)[number];
export type FenceUsed = FenceRung | 'not-needed';

/** What is declared, and how long the commands of a fence may take. */
export interface FenceTerms extends Fencing {
  /** Addresses may move to another gateway: `reset` needs proof that it is still the old one. */
  readonly floating: boolean;
  /** LOGICAL UNIT RESET. */
  readonly resetTimeoutMs: number;
  /** SYNCHRONIZE CACHE takes as long as any flush. */
  readonly flushDeadlineMs: number;
}

/** What the terms of a fence are made of. */
export type FenceParameters = Pick<
  Policy,
  'fencing' | 'portals' | 'resetTimeoutMs' | 'flushDeadlineMs'
>;

/** The abandoned path, as far as a fence needs it. Its connection was reset already. */
export interface PathToFence {
  readonly name: string;
  /** Where addresses float, `resetNexus` succeeds only at the old session's device server (nexus-proof.ts). */
  readonly proves?: true;
  /** Reinstates the session, resets the logical unit and empties its cache. */
  resetNexus(limits: FenceLimits): Promise<Result<void, TransportFailure>>;
  /** Takes its registration away through another path; the error says why not. */
  preempt(limits: FenceLimits): Promise<Result<void, string>>;
  knock(timeoutMs: number): Promise<'accepted' | 'refused' | 'silent'>;
  /** Left by this node before it attached the volume, as its own record has it. */
  readonly isOfRecord?: true;
}

/** A path that may hold writes and is not configured any more: only time or an order can fence it. */
export function absentPath(name: string): PathToFence {
  const detail = `path ${name} may hold writes and is not configured any more`;
  return {
    name,
    resetNexus: () => Promise.resolve(err({ kind: 'unreachable', detail })),
    preempt: () => Promise.resolve(err('the path is not configured any more')),
    knock: () => Promise.resolve('silent'),
  };
}

export type FenceResult =
  | { readonly kind: 'fenced'; readonly rung: FenceRung }
  /** Why each rung did not work, and what the operator could declare. */
  | { readonly kind: 'unfenced'; readonly why: string };

type Attempt = { readonly fenced: true } | { readonly fenced: false; readonly why: string };

interface Climb {
  readonly path: PathToFence;
  readonly policy: FenceTerms;
  readonly limits: FenceLimits;
  /** Time since the connection of the path was reset, ms. */
  readonly severedForMs: number;
}

/** Limit of a login and of silence in the rungs reset and preempt. */
const STEP_MS = 1_000;
/** Where the operator declared `none`, each step of a fence may only cost this much. */
const STEP_MS_BEFORE_NONE = 150;

/** What a policy says about fences now. */
export function fenceTerms(policy: FenceParameters): FenceTerms {
  const { fencing, portals, resetTimeoutMs, flushDeadlineMs } = policy;
  return { ...fencing, floating: portals === 'floating', resetTimeoutMs, flushDeadlineMs };
}

export function limitsOf({ none, resetTimeoutMs, flushDeadlineMs }: FenceTerms): FenceLimits {
  const hurried = STEP_MS_BEFORE_NONE;
  return none
    ? { stepMs: hurried, resetMs: hurried, flushMs: hurried }
    : { stepMs: STEP_MS, resetMs: resetTimeoutMs, flushMs: flushDeadlineMs };
}

const FENCED: Attempt = { fenced: true };

function failed(why: string): Attempt {
  return { fenced: false, why };
}

const ATTEMPTS: Readonly<Record<FenceRung, (climb: Climb) => Promise<Attempt> | Attempt>> = {
  reset: async ({ path, policy, limits }) => {
    if (policy.floating && path.proves !== true) return failed(`reset: ${unprovable().detail}`);
    const done = await path.resetNexus(limits);
    return done.ok ? FENCED : failed(`reset: ${done.error.detail}`);
  },
  preempt: async ({ path, limits }) => {
    const done = await path.preempt(limits);
    return done.ok ? FENCED : failed(`preempt: ${done.error}`);
  },
  gone: async ({ path, policy, limits }) => {
    if (!policy.gone) return failed('gone: not declared');
    const answer = await path.knock(limits.stepMs);
    return answer === 'refused' ? FENCED : failed(`gone: the portal ${knocked(answer)}`);
  },
  delay: ({ policy, severedForMs }) => {
    if (policy.delayMs === undefined) return failed('delay: not declared');
    const left = policy.delayMs - severedForMs;
    return left <= 0 ? FENCED : failed(`delay: ${String(Math.ceil(left / 1000))} s to go`);
  },
  none: ({ policy }) => (policy.none ? FENCED : failed('none: not asked for')),
};

const RUNGS = FENCE_RUNGS.map((rung) => ({ rung, attempt: ATTEMPTS[rung] }));

function knocked(answer: 'accepted' | 'silent'): string {
  return answer === 'accepted' ? 'accepts connections' : 'does not answer';
}

const ADVICE =
  'set policy.prioritypath.io/fencing to "gone" if a refused connection means a dead target, to ' +
  '"delay=<time>" if the target drops a lost initiator\'s commands within that time, or to "none" to ' +
  'go on unfenced at your own risk';

/** A later owner may have fenced it; that the claim does not name it any more is no proof of that. */
const ADVICE_OF_RECORD =
  'this node has left them itself, and its record does not say whether a node that had the volume since has ' +
  'fenced them: bring that portal back, or, where every target of the volume was restarted since, end its ' +
  'pods on this node, run `priority-path forget` here and take this path off the annotation ' +
  'owner.prioritypath.io/debts, which names it too, or ';

/** Climbs the ladder once for one path. */
export async function climbFence(
  path: PathToFence,
  policy: FenceTerms,
  severedAt: Instant,
  now: () => Instant,
): Promise<FenceResult> {
  const failures: string[] = [];
  const limits = limitsOf(policy);
  for (const { rung, attempt } of RUNGS) {
    const result = await attempt({ path, policy, limits, severedForMs: now() - severedAt });
    if (result.fenced) return { kind: 'fenced', rung };
    failures.push(result.why);
  }
  const advice = path.isOfRecord === true ? `${ADVICE_OF_RECORD}${ADVICE}` : ADVICE;
  const why = `unanswered writes on ${path.name} are not fenced (${failures.join('; ')}); ${advice}`;
  return { kind: 'unfenced', why };
}

/**
 * The rungs that there are, as people read them: "reset, preempt (p0,p1), gone". `groups`: paths that
 * share a device server which is reserved for this node.
 */
export function describeFencing(
  policy: Fencing,
  groups: readonly (readonly string[])[],
  floating = false,
): string {
  const describe = (rung: FenceRung): string | undefined => {
    switch (rung) {
      case 'reset':
        return floating ? 'reset (where proved)' : 'reset';
      case 'preempt':
        if (groups.length === 0) return undefined;
        return `preempt (${groups.map((group) => group.join()).join('; ')})`;
      case 'gone':
        return policy.gone ? 'gone' : undefined;
      case 'delay':
        if (policy.delayMs === undefined) return undefined;
        return `delay=${String(policy.delayMs / 1000)}s`;
      case 'none':
        return policy.none ? 'none' : undefined;
    }
  };
  return FENCE_RUNGS.map(describe)
    .filter((text) => text !== undefined)
    .join(', ');
}

/** The path stays kept out by the reservation of this node alone, and not by the rung itself. */
export const KEPT_OUT_BY: Readonly<Record<FenceRung, boolean>> = {
  reset: false,
  preempt: true,
  gone: false,
  delay: false,
  none: false,
};
