/**
 * Sessions of the commands that ask targets, and what their failures mean for people.
 *
 * The ISID is random (RFC 7143 11.12.5, type 10b) with a qualifier that is never 0. pathd's have
 * qualifier 0, so a session of these commands, also under the node's own InitiatorName, never reinstates
 * (and so ends) a session that carries a volume's I/O. None of these commands changes data: INQUIRY, TEST
 * UNIT READY, REPORT LUNS, MODE SENSE, READ CAPACITY, READ.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { err, ok, type Result } from '../../base/result.ts';
import { systemClock } from '../../host/system-clock.ts';
import { type DiscoveredTarget, discoverTargets } from '../../host/iscsi/initiator-discovery.ts';
import { createInitiator } from '../../host/iscsi/initiator.ts';
import type { Portal, Session, SessionTarget, TransportFailure } from '../../ports/session.ts';
import { formatPortal } from '../../protocol/iscsi/address.ts';
import type { SessionParameters } from '../../protocol/iscsi/negotiation.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import { decodeReportLuns } from '../../protocol/scsi/lun.ts';
import { type CommandContext, type CommandFault, runCommand } from '../../volume/unit/command.ts';
import { EXIT } from '../commands.ts';
import type { TargetOptions } from './options.ts';

/** Bound for a clean good-bye; then the connection is reset. */
export const LOGOUT_MS = 1_000;

/** Beside those of every command: one side could not prove its identity. */
export const EXIT_AUTHENTICATION = 3;

export interface Failure {
  readonly exit: number;
  /** What happened and what to look at. */
  readonly text: string;
}

export interface Opened {
  readonly session: Session;
  readonly parameters: SessionParameters;
  /** TCP connect and login together. */
  readonly loginUs: number;
}

export interface TargetAnswer {
  readonly data: Buffer;
  readonly us: number;
}

export function randomIsid(): string {
  const qualifier = randomInt(1, 0x1_0000).toString(16).padStart(4, '0');
  return `80${randomBytes(3).toString('hex')}${qualifier}`;
}

export async function openSession(
  target: SessionTarget,
  options: TargetOptions,
  signal: AbortSignal,
): Promise<Result<Opened, Failure>> {
  const { initiatorName, credentials, timeoutMs } = options;
  let parameters: SessionParameters | undefined;
  const initiator = createInitiator({
    loggedIn: (_target, negotiated) => (parameters = negotiated),
  });
  const startUs = systemClock.nowUs();
  const connected = await initiator.connect({
    ...{ target, initiatorName, timeoutMs, signal, isid: randomIsid() },
    ...(credentials === undefined ? {} : { credentials }),
    headerDigest: 'prefer',
    dataDigest: 'prefer',
  });
  const loginUs = Math.round(systemClock.nowUs() - startUs);
  if (!connected.ok) return err(await explainLogin(connected.error, target, options, signal));
  if (parameters === undefined) throw new Error('logged in without parameters');
  return ok({ session: connected.value, parameters, loginUs });
}

/**
 * One session from login to logout, and what `work` finds out through it; a fault of its commands is
 * explained once that session is gone, for the explanation logs in again.
 */
export async function inSession<T>(
  target: SessionTarget,
  options: TargetOptions,
  signal: AbortSignal,
  work: (context: CommandContext, opened: Opened) => Promise<Result<T, CommandFault>>,
): Promise<Result<T, Failure>> {
  const opened = await openSession(target, options, signal);
  if (!opened.ok) return opened;
  const { session } = opened.value;
  const done = await work(contextOf(session, options.timeoutMs), opened.value);
  await session.logout(LOGOUT_MS);
  return done.ok ? done : err(await explainFault(done.error, target, options, signal));
}

/** Unit attentions of the new session are answered by asking again, as pathd does. */
export function contextOf(session: Session, deadlineMs: number): CommandContext {
  return { session, clock: systemClock, deadlineMs, attention: () => undefined };
}

export async function ask(
  context: CommandContext,
  what: string,
  command: Uint8Array,
  receive: number,
): Promise<Result<TargetAnswer, CommandFault>> {
  const startUs = systemClock.nowUs();
  const result = await runCommand(context, { what, cdb: command, receive });
  if (result.kind === 'fault') return err(result.fault);
  return ok({ data: result.data, us: Math.round(systemClock.nowUs() - startUs) });
}

const REPORT_BYTES = 4_096;

/** LUNs as the target reports them. */
export async function listLuns(
  context: CommandContext,
): Promise<Result<readonly number[], string>> {
  const answer = await ask(context, 'REPORT LUNS', cdb.reportLuns(REPORT_BYTES), REPORT_BYTES);
  if (!answer.ok) return err(answer.error.detail);
  const luns = decodeReportLuns(answer.value.data);
  return luns.ok ? luns : err(luns.error.detail);
}

export async function discover(
  portal: Portal,
  options: TargetOptions,
  signal: AbortSignal,
): Promise<Result<readonly DiscoveredTarget[], TransportFailure>> {
  const { initiatorName, credentials, timeoutMs } = options;
  return discoverTargets({
    ...{ host: portal.host, port: portal.port, initiatorName, timeoutMs, signal },
    ...(credentials === undefined ? {} : { credentials }),
    isid: randomIsid(),
  });
}

/** A failed login at a portal, in words. */
export function explainPortal(failure: TransportFailure, portal: Portal): Failure {
  const where = formatPortal(portal);
  const { kind, detail } = failure;
  const text = ((): string => {
    switch (kind) {
      case 'refused':
        return `nothing listens at ${where}: check address and port, and that the target runs`;
      case 'unreachable':
        return `${where} cannot be reached (${detail}): check the name, the route, the network`;
      case 'timeout':
        return `${where} does not answer (${detail}): wrong address, a firewall, or a target that hangs`;
      case 'reset':
        return `${where} closes the connection (${detail}): is that an iSCSI portal?`;
      case 'authentication':
        return `${where}: ${detail}`;
      case 'login-rejected':
      case 'protocol':
      case 'logout':
      case 'aborted':
        return `${where}: ${detail}`;
    }
  })();
  return { exit: kind === 'authentication' ? EXIT_AUTHENTICATION : EXIT.failed, text };
}

/** A login that a target refuses may be to a target that is not there: the portal knows which are. */
async function explainLogin(
  failure: TransportFailure,
  target: SessionTarget,
  options: TargetOptions,
  signal: AbortSignal,
): Promise<Failure> {
  const plain = explainPortal(failure, target);
  if (failure.kind !== 'login-rejected') return plain;
  const found = await discover(target, options, signal);
  const names = found.ok ? found.value.map(({ targetName }) => targetName) : [];
  if (names.length === 0 || names.includes(target.targetName)) return plain;
  const there = names.map((name) => `\n  ${name}`).join('');
  return { ...plain, text: `${plain.text}; the portal has these targets:${there}` };
}

/** A command that failed because the LUN is not there: then the ones that are help most. */
export async function explainFault(
  fault: CommandFault,
  target: SessionTarget,
  options: TargetOptions,
  signal: AbortSignal,
): Promise<Failure> {
  const plain = { exit: EXIT.failed, text: fault.detail };
  if (fault.kind !== 'path') return plain;
  // A LUN that does not exist reports no others; LUN 0 always does (SPC-4 6.33).
  const opened = await openSession({ ...target, lun: 0 }, options, signal);
  if (!opened.ok) return plain;
  const { session } = opened.value;
  const luns = await listLuns(contextOf(session, options.timeoutMs));
  await session.logout(LOGOUT_MS);
  if (!luns.ok || luns.value.includes(target.lun)) return plain;
  const there = luns.value.length === 0 ? 'none' : luns.value.join(', ');
  const text = `there is no LUN ${String(target.lun)} for this initiator name; there are: ${there}`;
  return { ...plain, text: `${text} (${fault.detail})` };
}
