/**
 * What the logical unit tells by itself, on whatever command it comes, and what follows from it (D29, D43): two
 * tables, of which the first row that fits counts. Nothing here is a verdict on a path. follow-up.ts carries it out.
 *
 *   loss          a deferred error: acknowledged writes are lost, the volume fails
 *   keys-taken    2A/03, 2A/04, 2A/05: our keys were taken; looked into, unless it is all over
 *   nexus-ended   29/xx, 2F/00: commands of this nexus have ended; a new login, and all of them again
 *   changed       3F/0E, 3F/03, 2A/xx: not what it was; read again before the next write
 *   conflict      RESERVATION CONFLICT: another node has the unit, or the target has lost our key
 */
import type { Sense } from '../ports/session.ts';
import type { Finding } from './reserve/reservations.ts';
import {
  asksForIdentity,
  endsOutstanding,
  tellsOfLoss,
  tellsWeArePreempted,
} from './unit/outcome.ts';

export type News = 'loss' | 'keys-taken' | 'nexus-ended' | 'changed' | 'conflict';

export type NewsStep =
  /** The volume fails: acknowledged writes are lost, or another node has it. */
  | 'writes-lost'
  | 'taken-over'
  /** Nothing goes out on the current path, not even what is sent again. */
  | 'freeze'
  /** The keys at the target are read: `FINDINGS`. */
  | 'inspect'
  | 'inspect-then-recheck'
  /** Answers of this nexus do not count any more. */
  | 'distrust'
  /** The current path is logged in to anew, and everything unanswered is sent again. */
  | 'restart'
  /** A standby is left; its next probe logs in, which registers anew. */
  | 'sever'
  /** The identity is read again before the next write. */
  | 'recheck';

/** How things stand with the path that the news comes from. */
export interface NewsStanding {
  /** It carries the I/O. */
  readonly isCurrent: boolean;
  /** It is logged in and verified; a login sees what was said to the one before it. */
  readonly isVerified: boolean;
  /** Its session has registered a key. */
  readonly isRegistered: boolean;
  /** This node wants keys registered. */
  readonly wantsKeys: boolean;
  /** Keys that are gone make this node ask for its claim. */
  readonly asksForClaim: boolean;
  /** Commands are under way, or acknowledged writes are not flushed: they may be gone as well. */
  readonly hasUnfinished: boolean;
  /** A conflict of this very session is, or was, looked into: of many commands the first asks. */
  readonly isLookedInto: boolean;
}

export interface NewsRow {
  readonly news: News;
  readonly when: Partial<NewsStanding>;
  readonly steps: readonly NewsStep[];
}

/** The target's power may be gone, and every key with it: not one write until they were looked at. */
const KEYS_FIRST: readonly NewsStep[] = ['freeze', 'inspect-then-recheck'];
const ALL_AGAIN: readonly NewsStep[] = ['distrust', 'restart'];
/** The current path, whose nexus is registered. */
const HOME = { isRegistered: true, isCurrent: true } as const;
const USED = { isVerified: true, isCurrent: true } as const;

const row = (news: News, when: Partial<NewsStanding>, ...steps: readonly NewsStep[]): NewsRow => ({
  news,
  when,
  steps,
});

export const NEWS: readonly NewsRow[] = [
  row('loss', {}, 'writes-lost'),

  row('keys-taken', { isRegistered: true }, 'inspect'),
  row('keys-taken', { isVerified: true }, 'taken-over'),
  row('keys-taken', { wantsKeys: false }, 'taken-over'),
  // A login registers anew in a moment.
  row('keys-taken', {}),

  row(
    'nexus-ended',
    { ...HOME, asksForClaim: true, hasUnfinished: true },
    ...KEYS_FIRST,
    ...ALL_AGAIN,
  ),
  row('nexus-ended', { ...HOME, asksForClaim: true }, ...KEYS_FIRST),
  row('nexus-ended', { ...HOME, hasUnfinished: true }, 'inspect', ...ALL_AGAIN),
  row('nexus-ended', { isRegistered: true }, 'inspect'),
  row('nexus-ended', { ...USED, hasUnfinished: true }, ...ALL_AGAIN),
  row('nexus-ended', {}),

  row('changed', USED, 'recheck'),
  // A login sees the attentions of its own new nexus: nothing was outstanding on it.
  row('changed', {}),

  row('conflict', { isRegistered: false }, 'taken-over'),
  row('conflict', { isLookedInto: true }),
  row('conflict', { isCurrent: true }, 'freeze', 'inspect'),
  row('conflict', {}, 'inspect'),
];

/** The keys were read. */
export interface Inspected {
  readonly finding: Finding;
  /** A command was refused for it. */
  readonly wasRefused: boolean;
  /** Refused again so soon after a new login, although everything is ours: another initiator interferes. */
  readonly isAgain: boolean;
  readonly isCurrent: boolean;
}

export interface FindingRow {
  readonly when: Partial<Inspected>;
  readonly steps: readonly NewsStep[];
}

export const FINDINGS: readonly FindingRow[] = [
  { when: { finding: 'preempted' }, steps: ['taken-over'] },
  { when: { finding: 'fine', wasRefused: true, isAgain: true }, steps: ['taken-over'] },
  // A new login registers anew; what was refused is sent again.
  { when: { finding: 'lost', isCurrent: true }, steps: ['restart'] },
  { when: { finding: 'lost' }, steps: ['sever'] },
  { when: { wasRefused: true, isCurrent: true }, steps: ['restart'] },
  { when: { wasRefused: true }, steps: ['sever'] },
  { when: {}, steps: [] },
];

/** Undefined: nothing that the volume has to act on. */
export function newsOf(sense: Sense): News | undefined {
  if (tellsOfLoss(sense)) return 'loss';
  if (tellsWeArePreempted(sense)) return 'keys-taken';
  if (endsOutstanding(sense)) return 'nexus-ended';
  return asksForIdentity(sense) ? 'changed' : undefined;
}

export function stepsOf(news: News, standing: NewsStanding): readonly NewsStep[] {
  const found = NEWS.find((one) => one.news === news && fits(one.when, standing));
  return found?.steps ?? [];
}

export function stepsAfter(inspected: Inspected): readonly NewsStep[] {
  return FINDINGS.find(({ when }) => fits(when, inspected))?.steps ?? [];
}

function fits<T extends object>(when: Partial<T>, is: T): boolean {
  return (Object.keys(when) as (keyof T)[]).every((key) => when[key] === is[key]);
}
