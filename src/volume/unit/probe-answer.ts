/**
 * The answer of a path that was asked: it works, it does not and why, or it leads to another unit. Failures of
 * transports and faults of commands become one here.
 */
import type { Cause, CauseKind, Identity } from '../../paths/model.ts';
import type { TransportFailure, TransportFailureKind } from '../../ports/session.ts';
import type { CommandFault } from './command.ts';

export type ProbeAnswer = { readonly kind: 'good'; readonly latencyUs: number } | PathFault;

/** Why a path cannot be used. */
export type PathFault =
  | { readonly kind: 'failed'; readonly hard: boolean; readonly cause: Cause }
  /** The path answers, but it is not, or not provably, the volume's logical unit. */
  | { readonly kind: 'not-ours'; readonly identity: Identity };

const CAUSES: Readonly<Record<TransportFailureKind, CauseKind>> = {
  refused: 'refused',
  unreachable: 'unreachable',
  timeout: 'connect-timeout',
  reset: 'connection-reset',
  'login-rejected': 'login-rejected',
  authentication: 'authentication',
  protocol: 'protocol-error',
  logout: 'target-logout',
  aborted: 'connection-reset',
};

export function causeOf(failure: TransportFailure): Cause {
  return { kind: CAUSES[failure.kind], detail: failure.detail };
}

/** A login that failed. No answer in time, and one that we ended ourselves, are no proof. */
export function loginAnswer(failure: TransportFailure): PathFault {
  const hard = failure.kind !== 'timeout' && failure.kind !== 'aborted';
  return { kind: 'failed', hard, cause: causeOf(failure) };
}

/** Not even pings were answered. */
export function silence(forMs: number): PathFault {
  return faultAnswer(silentFault(forMs));
}

export function silentFault(forMs: number): CommandFault {
  const detail = `no answer to anything in ${String(forMs)} ms`;
  return { kind: 'timeout', cause: 'probe-timeout', detail };
}

/** There is no session, or not that one any more. */
export function noSession(detail: string, hard = true): PathFault {
  return { kind: 'failed', hard, cause: { kind: 'connection-reset', detail } };
}

/** It was to take over. */
export function notLoggedIn(): PathFault {
  return noSession('not logged in when it was to take over');
}

/** It answers, and may not be used as long as another node has the unit. */
export function reservedByOthers(by = ''): PathFault {
  const detail = `reserved by another node${by}`;
  return { kind: 'not-ours', identity: { kind: 'unverified', detail } };
}

export function faultAnswer(fault: CommandFault): PathFault {
  const hard = fault.kind === 'lost' || fault.kind === 'path';
  return { kind: 'failed', hard, cause: { kind: fault.cause, detail: fault.detail } };
}

/** For people. */
export function answerText(answer: ProbeAnswer): string {
  if (answer.kind === 'failed') return answer.cause.detail;
  return answer.kind === 'not-ours' && 'detail' in answer.identity ? answer.identity.detail : '';
}
