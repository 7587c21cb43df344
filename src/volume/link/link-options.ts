/** What a path's link is made of, and what it asks its volume. */
import type { Result } from '../../base/result.ts';
import type { Identity } from '../../paths/model.ts';
import type { Policy } from '../../paths/policy.ts';
import type { Session } from '../../ports/session.ts';
import type { CommandContext } from '../unit/command.ts';
import type { LuReading } from '../unit/lu.ts';
import type { PathFault } from '../unit/probe-answer.ts';
import type { RecentWrites } from '../unit/recent-writes.ts';
import type { ReservedPath, Victim } from '../unit/session-key.ts';
import type { FenceLimits } from '../unit/unit-reset.ts';
import type { PathLoginOptions, LoginParameters } from './path-login.ts';

/** `loginTimeoutMs` bounds connect and login, and silence while the unit is identified. */
export type LinkParameters = LoginParameters & Pick<Policy, 'loginTimeoutMs' | 'portals'>;

export interface LinkOptions extends PathLoginOptions {
  readonly name: string;
  readonly policy: () => LinkParameters;
}

/** What a link asks its volume; what it tells is in link-signal.ts. */
export interface LinkQuestions {
  /** Judges what the path leads to; called after every login. */
  judge(link: ReservedPath, reading: LuReading): Identity;
  /** What this path has to show; undefined: nothing to compare. */
  recent(): RecentWrites | undefined;
  /** Registers a session whose identity is verified; the error says why the path cannot be used. */
  join(
    link: ReservedPath,
    session: Session,
    open: (deadlineMs: number) => CommandContext,
    deadlineMs: number,
  ): Promise<Result<void, PathFault>>;
  /** Takes this path's registration away through another path; the error says why not. */
  preempt(victim: Victim, limits: FenceLimits): Promise<Result<void, string>>;
}
